"""Tells the run directory and the person watching how a training stage goes."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from rlkit.progress import Progress, duration
from rlkit.recipe.recipe import Stage
from rlkit.runs import RunDirectory

LEFT_OUT = ("total_flos", "train_runtime", "train_samples_per_second", "train_steps_per_second")


class RunCallback(TrainerCallback):
    """Writes each log to metrics.jsonl, and a line with step, rewards and time left."""

    def __init__(
        self,
        run: RunDirectory,
        stage: Stage,
        progress: Progress,
        rewards: list[str] | None = None,
        saved: Callable[[Path], None] | None = None,
    ):
        self.run, self.stage, self.progress, self.rewards = run, stage, progress, rewards or []
        self.saved = saved
        self.start_step, self.start_time = 0, time.monotonic()
        self.last: dict[str, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Time counts from here: a resumed run's earlier steps do not."""
        self.start_step, self.start_time = state.global_step, time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Pass a log on."""
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        row = {key: value for key, value in logs.items() if key not in LEFT_OUT}
        self.last |= row
        self.run.log({"stage": self.stage.name, "step": state.global_step, **row})
        if not any(key.startswith("eval_") for key in row):
            self.progress.step(self._line(state, row), last=state.global_step >= state.max_steps)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell of a checkpoint."""
        if state.is_world_process_zero and self.saved:
            self.saved(Path(args.output_dir, f"checkpoint-{state.global_step}"))

    def _line(self, state: Any, row: dict[str, Any]) -> str:
        done = state.global_step - self.start_step
        rate = (time.monotonic() - self.start_time) / max(done, 1)
        parts = [f"  {self.stage.name} {state.global_step}/{state.max_steps}"]
        shown = {"reward": row.get("reward")} if "reward" in row else {"loss": row.get("loss")}
        shown |= {name: row.get(f"rewards/{name}/mean") for name in self.rewards}
        shown["tokens"] = row.get("completions/mean_length")
        parts += [f"{name} {value:.3g}" for name, value in shown.items() if isinstance(value, int | float)]
        return "  ".join([*parts, f"{duration(rate * (state.max_steps - state.global_step))} left"])


def go(trainer: Any, checkpoint: Path | None) -> Any:
    """Train, from a checkpoint where there is one, without TRL's own lines; returns the trainer."""
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; the state file is what Trainer writes last."""
    whole = [path for path in folder.glob("checkpoint-*") if _is_json(path / "trainer_state.json")]
    return max(whole, key=step_of, default=None)


def step_of(checkpoint: Path | None) -> int:
    """The step at which a checkpoint was written; 0 for none."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except (OSError, ValueError):
        return False
    return True
