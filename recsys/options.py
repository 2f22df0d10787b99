"""The base of every class that a TOML file is read into."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options that are frozen, checked on creation, and refuse unknown keys. Each hyper-parameter is written once, in a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
