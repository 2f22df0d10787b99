"""[spark]: the session of `features.engine = "spark"`."""

from pydantic import Field, field_validator

from recsys.options import Options

OURS = ("spark.sql.session.timeZone", "spark.sql.ansi.enabled", "spark.sql.caseSensitive")  # they would change what is computed


class Spark(Options):
    """A session of Spark. What spark-submit has set stays, unless it is named here."""

    master: str | None = Field(
        default=None,
        pattern=r"^(local(\[[^\]]+\])?|yarn|(spark|k8s)://.+)$",
        description="Spark's master, such as `local[8]`, `yarn`, `spark://HOST:7077`; without it: spark-submit's, else this machine.",
    )
    conf: dict[str, str] = Field(default={}, description="Options of the session by their names in Spark, such as spark.executor.memory.")

    @field_validator("conf")
    @classmethod
    def _leaves_the_values_alone(cls, conf: dict[str, str]) -> dict[str, str]:
        if found := [name for name in conf if name.lower() in map(str.lower, OURS)]:
            raise ValueError(f"found {found[0]}, expected none of {', '.join(OURS)}: with another one, values would not be those of DuckDB")
        return conf
