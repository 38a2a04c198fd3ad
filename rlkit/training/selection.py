"""Measures the policy at each checkpoint of a training stage, so that the best one is left."""

from collections.abc import Callable
from typing import Any

from transformers import EarlyStoppingCallback, Trainer

from rlkit import reading
from rlkit.engines import Engine
from rlkit.errors import RunError
from rlkit.evaluation import Measurement
from rlkit.progress import Progress
from rlkit.recipe.select import SelectSection
from rlkit.runs import RunDirectory


class Selection:
    """What is measured at a checkpoint, and what is said of it.

    Args:
        section: The recipe's `select:`.
        measure: Measures the policy as it is now, with an engine that has its weights or one of its own.
        run: Where the figures of the stage are logged.
        stage: The stage's name.
        progress: Where lines for a person go.
    """

    def __init__(
        self,
        section: SelectSection,
        measure: Callable[[Engine | None], Measurement],
        run: RunDirectory,
        stage: str,
        progress: Progress,
    ):
        self.section, self.measure, self.run, self.stage, self.progress = section, measure, run, stage, progress
        self.engine: Callable[[], Engine | None] = lambda: None
        """Lends an engine that has the policy's weights of now."""

    def at(self, step: int) -> dict[str, float]:
        """Measure the policy of a step.

        Returns:
            The figures (numbers alone) as a Trainer logs them: `eval_NAME`.

        Raises:
            RunError: The metric is none of them.
        """
        found = self.measure(self.engine()).metrics
        metric, known = self.section.metric, [name for name, value in found.items() if _number(value)]
        if metric not in known:
            raise RunError(f"select.metric {metric!r} was not measured: {found.get(metric)!r}; there are {known}")
        between = f" [{found[f'{metric}_low']:.3g}, {found[f'{metric}_high']:.3g}]" if f"{metric}_low" in found else ""
        self.progress.say(f"  {self.stage} step {step}: {metric} {found[metric]:.3g}{between} (n={found['n']:,})")
        return {f"eval_{name}": float(found[name]) for name in known}

    def warn(self) -> None:
        """Say so where the training reward rises while the metric falls."""
        rows = self.run.metrics(self.stage)
        if said := reading.exploited(rows, self.section.metric, not self.section.greater_is_better):
            self.progress.say(f"  warning: {said}")

    def outcome(self, state: Any) -> dict[str, Any]:
        """The step that was chosen, and the metric there, at the start and at the end."""
        name = self.section.metric
        measured = {row["step"]: row[f"eval_{name}"] for row in self.run.metrics(self.stage) if f"eval_{name}" in row}
        made: dict[str, Any] = {"selected_step": state.best_global_step, f"selected_{name}": state.best_metric}
        if measured:
            made |= {f"last_{name}": measured[max(measured)]}
        if 0 in measured:
            made[f"first_{name}"] = measured[0]
            worse = -1 if self.section.greater_is_better else 1
            if state.best_metric is not None and worse * (state.best_metric - measured[0]) >= 0:
                self.progress.say(
                    f"  warning: no checkpoint is better than the model that the stage started from: {name} was "
                    f"{measured[0]:.3g} before, and is {state.best_metric:.3g} at step {state.best_global_step}"
                )
        return made

    def callbacks(self) -> list[Any]:
        """What a trainer needs to stop early, where that was asked for."""
        return [EarlyStoppingCallback(self.section.patience)] if self.section.patience else []


class Selecting(Trainer):
    """A trainer that measures by a `Selection`; its `selection` is set before it trains."""

    selection: Selection | None = None

    def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
        """Trainer's, after a first measurement."""
        if self.selection and not resume_from_checkpoint:
            self._measured()
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The figures of the selection, logged."""
        if self.selection is None:
            return super().evaluate(*args, **kwargs)
        metrics = self._measured()
        if self.is_world_process_zero():
            self.selection.warn()
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _measured(self) -> dict[str, float]:
        """Measured by the first process, known to all."""
        from accelerate.utils import broadcast_object_list

        assert self.selection is not None
        found: list[Any] = [None]
        if self.is_world_process_zero():
            found = [self.selection.at(self.state.global_step)]
        metrics = broadcast_object_list(found)[0]
        Trainer.log(self, metrics)  # TRL's own would add what it has gathered of the training step to it
        return metrics


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
