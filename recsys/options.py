"""The base of every class that a TOML file is read into."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Frozen, checked on creation, unknown keys refused. A hyper-parameter is written once, in a subclass of this."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
