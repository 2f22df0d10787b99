"""[spark]: the session of `features.engine = "spark"`."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator

from recsys.options import Options


class Spark(Options):
    """A session of Spark. What spark-submit has set stays, unless it is named here."""

    FIXED: ClassVar[Mapping[str, str]] = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",  # what overflows is an error, as in DuckDB
        "spark.sql.caseSensitive": "false",
    }

    master: str | None = Field(
        default=None,
        pattern=r"^(local(\[[^\]]+\])?|yarn|(spark|k8s)://.+)$",
        description="Spark's master, such as `local[8]`, `yarn`, `spark://HOST:7077`; without it: spark-submit's, else this machine.",
    )
    conf: dict[str, str] = Field(default={}, description="Options of the session by their names in Spark, such as spark.executor.memory.")

    @field_validator("conf")
    @classmethod
    def _leaves_the_values_alone(cls, conf: dict[str, str]) -> dict[str, str]:
        if found := [name for name in conf if name.lower() in map(str.lower, cls.FIXED)]:
            raise ValueError(f"found {found[0]}, expected none of {', '.join(cls.FIXED)}: they would change values, which are DuckDB's")
        return conf
