"""A pipeline's TOML as typed, frozen options. Imports no torch, no engine; every error at once, each with its path in the file."""

import difflib
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError, model_validator

from recsys import schema
from recsys.errors import ConfigError
from recsys.objectives import Objective
from recsys.options import Options

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str) -> int:
    """"10m" → 600,000. A whole number and one of s, m, h, d."""
    number, unit = text[:-1], text[-1:]
    if not (number.isdigit() and unit in _UNITS_MS):
        raise ValueError(f'found "{text}", expected a whole number and a unit (s, m, h, d) such as "10m"')
    return int(number) * _UNITS_MS[unit]


def _is_duration(text: str) -> str:
    duration_ms(text)
    return text


def _is_zone(zone: str) -> str:
    if zone not in available_timezones():
        near = difflib.get_close_matches(zone, available_timezones(), n=1)
        raise ValueError(f'found "{zone}", expected an IANA time zone' + (f' such as "{near[0]}"' if near else ""))
    return zone


Duration = Annotated[str, AfterValidator(_is_duration)]
Zone = Annotated[str, AfterValidator(_is_zone)]
Share = Annotated[float, Field(ge=0, lt=1)]


# --- [source] -----------------------------------------------------------------------------------------------------
class TimeOptions(Options):
    """How timestamps are written. `zone` is the zone that days are cut in, and of `iso` stamps without an offset."""

    unit: Literal["s", "ms", "us", "iso"] = "ms"
    zone: Zone = "UTC"


class Columns(Options):
    """Ours = theirs. The three ids default to our own names; the others are absent unless named."""

    user_id: str = schema.USER_ID
    item_id: str = schema.ITEM_ID
    timestamp: str = schema.TIMESTAMP
    request_id: str | None = None
    query_item_id: str | None = None
    position: str | None = None
    device: str | None = None
    propensity: str | None = None

    def named(self) -> dict[str, str]:
        """Our name → theirs, for the columns that are there."""
        return {ours: theirs for ours, theirs in self.model_dump().items() if theirs is not None}


class FeedbackOptions(Options):
    """Actions in a file of their own, joined to the last matching impression at or before them, `within` a time."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    file: Path
    on: tuple[Literal["user_id", "item_id", "request_id"], ...] = (schema.USER_ID, schema.ITEM_ID)
    value: str | None = None
    timestamp: str | None = None
    within: Duration = "24h"


class Source(Options):
    max_bad: float = Field(default=0.01, ge=0, le=1)  # share of rows in quarantine beyond which a run stops


class TableSource(Source):
    """Any log by column mapping."""

    kind: Literal["table"]
    log: Path
    users: Path | None = None
    items: Path | None = None
    columns: Columns = Columns()
    time: TimeOptions = TimeOptions()
    feedback: tuple[FeedbackOptions, ...] = ()


class KuaiRandSource(Source):
    """The official folder of KuaiRand (Gao et al., CIKM 2022): Pure, 1K or 27K, whichever files are there."""

    kind: Literal["kuairand"]
    path: Path
    random: bool = False  # read the randomly exposed log (log_random_…) beside the standard one


class WorldOptions(Options):
    """The simulated watch-next feed. Equal for a seed."""

    users: PositiveInt = 2_000
    days: PositiveInt = 8
    videos: PositiveInt = 1_000  # uploaded before the first day
    new_videos: int = Field(default=50, ge=0)  # uploaded on each day
    requests: PositiveFloat = 1.0  # mean requests a user makes a day
    slots: PositiveInt = 10  # positions that a request shows
    start: date = date(2024, 1, 1)
    sharpness: NonNegativeFloat = 1.0  # of the logging policy: 0 shows at random, large shows its own best guess in order
    survey_rate: float = Field(default=0.02, gt=0, le=1)  # share of watches that get a survey


class WorldSource(WorldOptions, Source):
    kind: Literal["world"]


AnySource = Annotated[TableSource | KuaiRandSource | WorldSource, Field(discriminator="kind")]


# --- [split] ------------------------------------------------------------------------------------------------------
Days = tuple[date, date]


class Split(Options):
    """Whole days, inclusive, in time order; earlier days only feed features."""

    train: Days
    validation: Days | None = None
    test: Days | None = None

    def parts(self) -> dict[str, Days]:
        """Split name → (first day, last day), in time order, without the absent ones."""
        named = {schema.TRAIN: self.train, schema.VALIDATION: self.validation, schema.TEST: self.test}
        return {name: days for name, days in named.items() if days is not None}

    def days(self, part: str) -> list[str]:
        """The ISO days of one part, in order; empty where the part is absent."""
        if part not in self.parts():
            return []
        first, last = self.parts()[part]
        return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]

    @model_validator(mode="after")
    def _in_time_order(self) -> "Split":
        previous = None
        for name, (first, last) in self.parts().items():
            if first > last:
                raise ValueError(f"{name}: found first day {first} after last day {last}, expected first ≤ last")
            if previous is not None and first <= previous[1]:
                raise ValueError(
                    f"{name}: found first day {first}, expected a day after {previous[1]}, the last day of {previous[0]}:"
                    " the parts of a split are whole days in time order and do not overlap"
                )
            previous = (name, last)
        return self


# --- [features] ---------------------------------------------------------------------------------------------------
class Features(Options):
    """What is known before an impression. Names are columns of the log, the users or the items, without a prefix."""

    user: tuple[str, ...] = ()
    item: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    multi: dict[str, str] = Field(default_factory=dict)
    signals: tuple[str, ...] = ()
    entities: tuple[tuple[str, ...], ...] = ((schema.USER_ID,), (schema.ITEM_ID,))
    windows: tuple[PositiveInt, ...] = (1, 7, 30)
    shrinkage: PositiveFloat = 20.0  # impressions at the base rate that a smoothed rate starts from
    history: int = Field(default=10, ge=0)
    label_delay: Duration = "10m"
    today: bool = True
    ids: tuple[str, ...] = ()
    min_count: PositiveInt = 10  # a value seen on fewer training rows shares the unknown row of its space
    max_values: PositiveInt = 4  # of a multi-valued cell, for the model
    bias: tuple[Literal["position", "device"], ...] = ()
    slices: tuple[str, ...] = ()
    memory_limit: str = Field(default="4GB", pattern=r"^\d+(MB|GB)$")  # of the feature engine; beyond it spills to disk


# --- [model] ------------------------------------------------------------------------------------------------------
Widths = tuple[PositiveInt, ...]


class SingleTaskOptions(Options):
    """One net and one embedding table an objective."""

    hidden: Widths = (64,)


class SharedBottomOptions(Options):
    """One net for all objectives, a tower each (Caruana 1997)."""

    hidden: Widths = (128,)


class MMoEOptions(Options):
    """Multi-gate mixture of experts (Ma et al., KDD 2018; Zhao et al., RecSys 2019)."""

    num_experts: PositiveInt = 4
    hidden: Widths = (64,)
    expert_dropout: Share = 0.1  # probability that a gate loses an expert in a training step (Zhao et al. 2019)


class Model(Options):
    """The frame that every way of sharing is compared in, and the options of each way in a table of its own."""

    sharing: Literal["single_task", "shared_bottom", "mmoe"] = "mmoe"
    members: PositiveInt = 1
    input_share: float = Field(default=1.0, gt=0, le=1)  # of the inputs, that each member sees
    d_embedding: PositiveInt = 8
    d_shared: int = Field(default=128, ge=0)  # width of the shared hidden layer; 0: experts and gates read the input itself
    d_tower: PositiveInt = 32
    dropout: Share = 0.2
    d_attention: PositiveInt = 16
    cross_rank: int = Field(default=32, ge=0)  # of the low-rank cross layer (Wang et al. 2021); 0: none
    skip: bool = True  # a linear path from the inputs to the outputs, started at zero
    position: Literal["tower", "input", "blind"] = "tower"  # how the model meets `features.bias`
    position_dropout: Share = 0.1
    single_task: SingleTaskOptions = SingleTaskOptions()
    shared_bottom: SharedBottomOptions = SharedBottomOptions()
    mmoe: MMoEOptions = MMoEOptions()


class Balance(Options):
    """How K losses become one step. `fixed`: the weighted sum, each loss in units of its best constant prediction's."""

    method: Literal["fixed"] = "fixed"


# --- [train], [evaluate] ------------------------------------------------------------------------------------------
class Train(Options):
    order: Literal["time", "shuffled"] = "time"
    refit: bool = True
    passes: PositiveInt = 4  # over all training days, when shuffled
    day_passes: PositiveInt = 1  # over each day, when in time order
    patience: PositiveInt = 2  # shuffled passes without a better validation loss before stopping
    batch_size: PositiveInt = 1024
    learning_rate: PositiveFloat = 2e-3
    embedding_learning_rate: PositiveFloat = 2e-2
    weight_decay: NonNegativeFloat = 1e-2
    embedding_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "cosine"] = "cosine"  # cosine: to zero over the planned passes; shuffled passes only
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    deterministic: bool = False
    checkpoint_seconds: PositiveFloat = 60.0


class Evaluate(Options):
    bootstrap: PositiveInt = 1000
    confidence: float = Field(default=0.95, gt=0, lt=1)
    baselines: tuple[Literal["popularity", "gbdt"], ...] = ("popularity", "gbdt")


class Pipeline(Options):
    """One pipeline: everything that a run depends on."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(default=7, ge=0, lt=2**31)
    source: AnySource
    split: Split
    objective: tuple[Objective, ...] = Field(min_length=1)
    features: Features = Features()
    model: Model = Model()
    balance: Balance = Balance()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()

    @property
    def zone(self) -> str:
        """The zone that days are cut in."""
        match self.source:
            case TableSource(time=time):
                return time.zone
            case KuaiRandSource():
                return "Asia/Shanghai"  # `date` is the UTC+8 date of time_ms
            case WorldSource():
                return "UTC"

    @model_validator(mode="after")
    def _objectives_have_their_own_names(self) -> "Pipeline":
        names = [objective.name for objective in self.objective]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"objective: found the name {', '.join(twice)} more than once, expected a name of its own for each")
        if not any(objective.loss_weight > 0 for objective in self.objective):
            raise ValueError("objective: found loss_weight = 0 for all, expected at least one above 0")
        return self


# --- Reading ------------------------------------------------------------------------------------------------------
def load(path: Path, overrides: Sequence[str] = ()) -> Pipeline:
    """Reads a pipeline's TOML, applies `KEY=VALUE` overrides, makes its paths absolute.

    Paths in the file are relative to the file, paths in an override to the shell's folder. Raises ConfigError with
    every problem found.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}, expected a pipeline's TOML. Fix: give the path of a file such as pipelines/tiny.toml") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: found bytes that are not UTF-8 at {error.start}, expected a TOML text file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    raw.setdefault("name", path.stem)
    raw = _absolute_paths(raw, path.resolve().parent)
    problems = []
    for override in overrides:
        try:
            _apply(raw, override)
        except ValueError as error:
            problems.append(f"--set {override}: {error}")
    if problems:
        raise ConfigError(problems)
    try:
        return Pipeline.model_validate(raw)
    except ValidationError as error:
        raise ConfigError([f"{path}: {problem}" for problem in _problems(error, raw)]) from error


_PATH_KEYS = ("log", "users", "items", "path", "file")


def _absolute_paths(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A copy in which every path of [source] and its feedback is joined to `folder`."""
    source = raw.get("source")
    if not isinstance(source, dict):
        return raw

    def joined(table: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: str(folder / value) if key in _PATH_KEYS and isinstance(value, str) else value for key, value in table.items()
        }

    source = joined(source)
    if isinstance(source.get("feedback"), list):
        source["feedback"] = [joined(entry) if isinstance(entry, dict) else entry for entry in source["feedback"]]
    return {**raw, "source": source}


def _apply(raw: dict[str, Any], override: str) -> None:
    """Writes one `a.b.c=VALUE` into the raw tables; an objective is addressed by its name."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ValueError("expected KEY=VALUE such as model.sharing=mmoe")
    *parents, last = key.strip().split(".")
    table: Any = raw
    for depth, part in enumerate(parents):
        table = _child(table, part, ".".join(parents[: depth + 1]))
    if isinstance(table, list):
        raise ValueError(f"expected the name of an entry and one of its keys behind {'.'.join(parents)}")
    value = _toml_value(text)
    is_path = key.startswith("source.") and last in _PATH_KEYS
    table[last] = str(Path(value).absolute()) if is_path and isinstance(value, str) else value


def _child(table: Any, part: str, path: str) -> Any:
    if isinstance(table, list):
        names = [entry.get("name") for entry in table if isinstance(entry, dict)]
        if part not in names:
            raise ValueError(f'found "{part}", expected one of {", ".join(map(str, names))}{_nearest(part, map(str, names))}')
        return table[names.index(part)]
    child = table.setdefault(part, {})
    if not isinstance(child, dict | list):
        raise ValueError(f"{path} is a value, not a table")
    return child


def _toml_value(text: str) -> Any:
    """`text` as a TOML value, else as a string: `--set model.sharing=mmoe` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _problems(error: ValidationError, raw: Mapping[str, Any]) -> Iterator[str]:
    for entry in error.errors(include_url=False):
        location = _location(entry["loc"], raw)
        match entry["type"]:
            case "extra_forbidden":
                yield f"{location}: unknown key{_nearest(str(entry['loc'][-1]), _keys_beside(entry['loc'], raw))}"
            case "missing":
                yield f"{location}: missing"
            case "value_error":
                message = str(entry["msg"]).removeprefix("Value error, ")
                yield f"{location}: {message}" if location else message
            case _:
                hint = ""
                if entry["type"] == "literal_error" and isinstance(entry["input"], str):
                    hint = _nearest(entry["input"], str(entry["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", "))
                yield f"{location}: found {entry['input']!r}; {entry['msg'][0].lower()}{entry['msg'][1:]}{hint}"


_SOURCES = {"table": TableSource, "kuairand": KuaiRandSource, "world": WorldSource}


def _location(loc: Sequence[int | str], raw: Mapping[str, Any]) -> str:
    """`objective.like.kind` instead of pydantic's (objective, 1, kind); the union's tag behind `source` is dropped."""
    parts: list[str] = []
    value: Any = raw
    for place, part in enumerate(loc):
        if place == 1 and loc[0] == "source" and part in _SOURCES:
            continue
        value = _step(value, part)
        name = value.get("name") if isinstance(part, int) and isinstance(value, dict) else None
        parts.append(str(name if name is not None else part))
    return ".".join(parts)


def _step(value: Any, part: int | str) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None


def _keys_beside(loc: Sequence[int | str], raw: Mapping[str, Any]) -> list[str]:
    """The valid keys of the table in which an unknown key stands."""
    model: Any = Pipeline
    for part in loc[:-1]:
        if part in _SOURCES and model is AnySource:
            model = _SOURCES[str(part)]
        elif isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            if field is None:
                return []
            model = AnySource if part == "source" else field.annotation
        elif isinstance(part, int):
            model = get_args(model)[0]
    model = _optional(model)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _optional(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(arg for arg in get_args(annotation) if arg is not type(None))
    return annotation


def _nearest(word: str, names: Any) -> str:
    near = difflib.get_close_matches(word, list(names), n=1, cutoff=0.5)
    return f'; did you mean "{near[0]}"?' if near else ""
