"""The base of every class that a TOML file is read into, and the constraint that a text is one of some names."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema


class Options(BaseModel):
    """Options that are frozen, checked on creation, and refuse unknown keys. Each hyper-parameter is written once, in a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _as_it_is_written(cls, given: Any) -> Any:
        """Refuse what pydantic would read as another value: true where a number belongs (1), and the empty text as a path (a folder)."""
        wrong: list[InitErrorDetails] = []
        for name, value in given.items() if isinstance(given, Mapping) else ():
            kinds = set(_kinds(cls.model_fields[name].annotation)) if name in cls.model_fields else set()
            parts = {(name, place): part for place, part in enumerate(value)} if isinstance(value, list | tuple) else {(name,): value}
            for loc, part in parts.items():
                if isinstance(part, bool) and kinds and kinds <= {int, float, NoneType}:
                    wrong.append({"type": "int_type" if int in kinds else "float_type", "loc": loc, "input": part})
                if isinstance(part, str) and not part and Path in kinds:
                    wrong.append({"type": PydanticCustomError("path_type", "Input is not a valid path"), "loc": loc, "input": part})
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return given


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield what an annotation is a union or a list of, without constraints; else itself."""
    if get_origin(annotation) is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType, tuple):
        for part in get_args(annotation):
            if part is not Ellipsis:
                yield from _kinds(part)
    else:
        yield annotation


class OneOf:
    """A constraint on a text, `Annotated[str, OneOf(names)]`: it is one of these names, which come from a table.

    The error is the one that a `Literal` of the same names gives.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.names))
