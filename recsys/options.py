"""The base of every class that a TOML file is read into, and the constraint that a text is one of some names."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Options(BaseModel):
    """Options that are frozen, checked on creation, and refuse unknown keys. Each hyper-parameter is written once, in a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OneOf:
    """A constraint on a text, `Annotated[str, OneOf(names)]`: it is one of these names, which come from a table.

    The error is the one that a `Literal` of the same names gives.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.names))
