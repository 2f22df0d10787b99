"""The options that a model is trained by; a pipeline has more."""

from pydantic import Field, model_validator

from recsys import schema
from recsys.config.balance import Balance
from recsys.config.model import Model
from recsys.config.split_options import Split
from recsys.config.train_options import Train
from recsys.objectives import Objective, chain
from recsys.options import Options


class Learning(Options):
    """The options that a model is trained by, and is saved with."""

    seed: int = Field(default=7, ge=0, lt=2**31, description="Seed of every random draw; each further ensemble member's is one more.")
    split: Split
    objective: tuple[Objective, ...] = Field(
        min_length=1, description="Objectives that the model learns, one or more, each with a name of its own."
    )
    model: Model = Model()
    balance: Balance = Balance()
    train: Train = Train()

    @model_validator(mode="after")
    def _shares_what_is_balanced(self) -> "Learning":
        name, method = self.model.architecture, self.balance.method
        architecture = getattr(self.model, name)
        if self.balance.chosen.acts_on == "gradients" and not architecture.shares:
            otherwise = f', or model.{name}.descriptor = "metadata"' if "descriptor" in type(architecture).model_fields else ""
            raise ValueError(
                f'balance.method: found "{method}", which combines gradients at what the objectives share, with model.architecture ='
                f' "{name}", where they share nothing, expected one that acts on losses. Fix: "fixed", another architecture{otherwise}'
            )
        return self

    @property
    def learned_through(self) -> str:
        """The last ISO day whose labels a model has learned: the last before the test days, or without a refit the last training day."""
        parts = self.split.parts()
        last = schema.VALIDATION if self.train.refit and schema.VALIDATION in parts else schema.TRAIN
        return parts[last][1].isoformat()

    @property
    def follows_position(self) -> tuple[bool, ...]:
        """Return whether each objective's prediction depends on the position: where it, or an objective it is given, sees the position."""
        sees = self.model.position != "blind"
        return tuple(sees and any(link.sees_position for link in chain(objective, self.objective)) for objective in self.objective)
