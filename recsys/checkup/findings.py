"""The findings of a look at a pipeline."""

from dataclasses import dataclass, field

from recsys.errors import ConfigError, DataError, RecsysError


@dataclass
class Findings:
    """Facts, in lines; problems, for which a run would stop; warnings, for which it would not."""

    facts: list[str] = field(default_factory=list)
    config: list[str] = field(default_factory=list)  # problems of the TOML
    data: list[str] = field(default_factory=list)  # problems of the files
    warnings: list[str] = field(default_factory=list)

    @property
    def error(self) -> RecsysError | None:
        """The error with all problems, each once; None where there is none."""
        problems = list(dict.fromkeys([*self.config, *self.data]))
        if not problems:
            return None
        return ConfigError(problems) if self.config else DataError("\n".join(problems))
