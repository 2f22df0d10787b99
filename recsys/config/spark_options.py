"""[spark]: the session of `features.engine = "spark"`."""

from pydantic import Field

from recsys.options import Options


class Spark(Options):
    """A session of Spark. What spark-submit has set stays, unless it is named here."""

    master: str | None = Field(
        default=None,
        min_length=1,
        description="Spark's master, such as `local[8]`, `yarn`, `spark://HOST:7077`; without it: spark-submit's, else this machine.",
    )
    conf: dict[str, str] = Field(default={}, description="Options of the session by their names in Spark, such as spark.executor.memory.")
