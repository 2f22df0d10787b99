"""The whole of a pipeline: its tables, and what must hold between them."""

from collections.abc import Sequence

from pydantic import Field, model_validator

from recsys import schema
from recsys.config.checks_options import Checks
from recsys.config.evaluate_options import Evaluate
from recsys.config.features_options import Features
from recsys.config.forms import ALIKE, NAME, alike
from recsys.config.fuse_options import ALL_OTHERS, Fuse
from recsys.config.known_truth import known_labels, known_truth
from recsys.config.learning import Learning
from recsys.config.log_options import Feedback, duration_ms
from recsys.config.promote_options import Promote
from recsys.config.sources import AnySource
from recsys.config.spark_options import Spark
from recsys.config.tracking_options import Tracking
from recsys.days import DAY_MS, Day
from recsys.objectives import Objective, chain


class LabelledObjective(Objective):
    """One objective of a feed: a label on impressions, the loss that fits its kind, and its place in the fused score."""

    label: str = Field(description="SQL expression of the label: a scalar over the log's own columns and the feedback columns.")


class Pipeline(Learning):
    """One pipeline: everything that a run depends on."""

    name: str = Field(pattern=NAME, description="Name of the pipeline, and of its folder in the workspace.")
    source: AnySource
    objective: tuple[LabelledObjective, ...] = Field(
        min_length=1, description="Objectives that the model learns, one or more, each with a name of its own."
    )
    features: Features = Features()
    evaluate: Evaluate = Evaluate()
    fuse: Fuse = Fuse()
    promote: Promote = Promote()
    checks: Checks = Checks()
    tracking: Tracking = Tracking()
    spark: Spark = Spark()

    @property
    def zone(self) -> str:
        """The time zone in which days begin and end."""
        return self.source.zone

    def baseline_days(self, days: Sequence[str]) -> list[str]:
        """Return which of these ISO days, the training days that have rows, baselines learn.

        With `evaluate.baseline_refit_days` = 7 they are those of the first 7, 14, 21, … training days, as many as there are; while there
        are fewer, all. Of these the last `evaluate.baseline_window_days`.
        """
        calendar, every = self.split.days(schema.TRAIN), self.evaluate.baseline_refit_days
        whole = len(calendar) - len(calendar) % every or len(calendar)
        found = [day for day in days if day <= calendar[whole - 1]] or list(days)
        return found[-(self.evaluate.baseline_window_days or len(found)) :]

    @property
    def late_days(self) -> int:
        """The number of days after an impression's own within which all of its labels become known, at most.

        An hour more counts, because a day may have 23.
        """
        withins = [Feedback.model_fields["within"].default, *(entry.within for entry in getattr(self.source, "feedback", ()))]
        longest = duration_ms(self.features.label_delay) + max(map(duration_ms, withins))
        return -(-(longest + DAY_MS // 24) // DAY_MS)

    def border_after(self, part: str) -> int | None:
        """Return the moment (ms UTC) at which the next part of the split begins; None after the last part."""
        day = self.split.after(part)
        return None if day is None else Day(day, self.zone).start

    @model_validator(mode="after")
    def _objectives_have_their_own_names(self) -> "Pipeline":
        names = [objective.name for objective in self.objective]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"objective: found the name {', '.join(twice)} more than once, expected a name of its own for each")
        if same := alike(names):
            raise ValueError(f"objective: found {', '.join(same)}, {ALIKE}")
        return self

    @model_validator(mode="after")
    def _objectives_fit_together(self) -> "Pipeline":
        for objective in self.objective:
            try:
                chain(objective, self.objective)
            except ValueError as error:
                raise ValueError(f"objective.{error}") from error
            if objective.duration is not None:
                try:
                    self.features.example_column(objective.duration)
                except ValueError as error:
                    raise ValueError(f"objective.{objective.name}.duration: {error}") from error
        negatives = self.train.negatives
        binary = [objective.name for objective in self.objective if objective.is_probability]
        if negatives is not None and negatives.objective not in binary:
            raise ValueError(
                f'train.negatives.objective: found "{negatives.objective}", expected a binary objective;'
                f" there are {', '.join(binary) or 'none'}"
            )
        if not any(objective.loss_weight > 0 for objective in self.objective):
            raise ValueError("objective: found loss_weight = 0 for all, expected at least one above 0")
        return self

    @model_validator(mode="after")
    def _gates_have_so_many_experts(self) -> "Pipeline":
        options = getattr(self.model, self.model.architecture)
        top_k = getattr(options, "top_k", None)
        if top_k is not None and top_k > (most := options.experts_of_a_gate(len(self.objective))):
            raise ValueError(
                f"model.{self.model.architecture}.top_k: found {top_k}, expected at most {most}, the experts that an objective's gate"
                " mixes: more would leave out none. Fix: a smaller number, more experts, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _has_what_calibration_needs(self) -> "Pipeline":
        method = self.evaluate.calibrate
        if method != "none" and self.split.validation is None:
            raise ValueError(
                f'evaluate.calibrate: found "{method}" without split.validation, expected days to fit the maps to:'
                " neither training nor test days will do. Fix: name validation days"
            )
        if method == "platt" and not any(objective.is_probability for objective in self.objective):
            kinds = ", ".join(sorted({objective.kind for objective in self.objective}))
            raise ValueError(f'evaluate.calibrate: found "platt" with {kinds} objectives alone, expected a binary one. Fix: "isotonic"')
        return self

    @model_validator(mode="after")
    def _has_what_kept_baselines_need(self) -> "Pipeline":
        every, window = self.evaluate.baseline_refit_days, self.evaluate.baseline_window_days
        if every > 1 and self.train.order != "time":
            raise ValueError(
                f'evaluate.baseline_refit_days: found {every} with train.order = "shuffled", expected "time": in shuffled order each run'
                " has an encoder of its own, which a kept baseline would not know. Fix: 1"
            )
        chosen_by = len(self.split.days(schema.VALIDATION))
        if every > 1 and window is not None and window <= chosen_by:
            raise ValueError(
                f"evaluate.baseline_window_days: found {window} beside {chosen_by} validation days, expected more: of the days that a kept"
                " baseline learns, as many choose the number of trees"
            )
        return self

    @model_validator(mode="after")
    def _knows_the_truth_it_is_held_against(self) -> "Pipeline":
        if schema.TRUTH not in self.evaluate.baselines:
            return self
        if self.source.kind != "world":
            raise ValueError(
                f'evaluate.baselines: found "truth" with source.kind = "{self.source.kind}", expected "world": only a simulated feed knows'
                ' what to expect. Fix: leave "truth" out'
            )
        unknown = [objective.name for objective in self.objective if known_truth(objective, self.objective) is None]
        if unknown:
            raise ValueError(
                f'evaluate.baselines: found "truth" with the labels of {", ".join(unknown)}, of which the simulated feed does not know what'
                f' to expect, expected some of {known_labels()}. Fix: leave "truth" out'
            )
        return self

    @model_validator(mode="after")
    def _fuse_and_promote_name_objectives(self) -> "Pipeline":
        names = [objective.name for objective in self.objective]
        for place, name in (("maximise", self.fuse.maximise), *(("constraints", name) for name in self.fuse.constraints)):
            if name is not None and name not in names and (place, name) != ("constraints", ALL_OTHERS):
                raise ValueError(f'fuse.{place}: found "{name}", expected an objective; there are {", ".join(names)}')
        if unknown := [name for name in self.promote.margins if name not in names]:
            raise ValueError(f'promote.margins: found "{unknown[0]}", expected an objective; there are {", ".join(names)}')
        return self
