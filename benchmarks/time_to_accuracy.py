"""The quickstart's GRPO stage beside a plain TRL script: seconds to a held-out accuracy of 95%.

Both start from the quickstart's warm start, with the same data, rewards, hyperparameters and seed, each in a process of
its own. After each step the clocks stop and both are measured in the same way: greedy, on the same held-out problems.
What either sets up for its training counts too.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
import torch
from transformers import TrainerCallback
from trl import GRPOTrainer

from rlkit import evaluation, measuring, pipeline, policy
from rlkit.plan import Plan
from rlkit.progress import Progress
from rlkit.recipe.load import load
from rlkit.recipe.model import ModelSection
from rlkit.runs import RunDirectory
from rlkit.scoring import RewardStack
from rlkit.training import grpo
from rlkit.training.callback import RunCallback, go

BAR = 0.95


class Watch:
    """Seconds of training until the bar, measurements not counted."""

    def __init__(self, judge: Any):
        self.judge = judge
        self.seconds = 0.0
        self.reached: float | None = None
        self._began = 0.0

    def begin(self) -> None:
        """Time counts from here."""
        self._began = time.perf_counter()

    def step(self, control: Any) -> None:
        """A step is done; training ends when the bar is reached."""
        self.seconds += time.perf_counter() - self._began
        if self.judge() >= BAR:
            self.reached = self.seconds
            control.should_training_stop = True
        self.begin()


class Plain(TrainerCallback):
    """Tells the watch of a TRL trainer."""

    def __init__(self, watch: Watch):
        self.watch = watch

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass it on."""
        self.watch.step(control)


class Ours(RunCallback):
    """Tells the watch of a rlkit stage."""

    watch: Watch

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass it on."""
        self.watch.step(control)


def run(side: str, warm: Path, seed: int, asked: argparse.Namespace) -> float:
    """Seconds to the bar."""
    recipe = load("quickstart", asked.set)
    plan = Plan.make(recipe)
    if side == "ours":
        measuring.settle(recipe)  # as `rlkit train` does before its stages
    elif asked.their_threads:
        torch.set_num_threads(asked.their_threads)
    train, held_out = plan.stages[-2], plan.stages[-1]
    loaded = policy.load(ModelSection(path=str(warm)))
    stack = RewardStack(plan.rewards[train.index])
    rows = plan.rows[held_out.index].dataset.select(range(asked.n))
    judge_stack = RewardStack(plan.rewards[held_out.index])

    def judge() -> float:
        return evaluation.measure(loaded, rows, judge_stack, held_out).metrics["accuracy"]

    watch = Watch(judge)
    folder = Path(tempfile.mkdtemp())
    weights = [term.weight.at(0) for term in plan.rewards[train.index]]
    args = grpo.config(train, seed, folder, weights)
    args.save_strategy = "no"
    data = plan.rows[train.index].dataset
    if side == "ours":
        directory = RunDirectory.create(folder / "run", plan.recipe)
        callback = Ours(directory, train, Progress(quiet=True), stack.names)
        callback.watch = watch
        watch.begin()
        grpo.train(loaded, data, args, stack, directory, callback, None)
    else:
        watch.begin()
        trainer = GRPOTrainer(
            model=loaded.model,
            reward_funcs=stack.rewards,
            args=args,
            train_dataset=data,
            processing_class=loaded.tokenizer,
            callbacks=[Plain(watch)],
        )
        go(trainer, None)
    if watch.reached is None:
        raise SystemExit(f"{side}, seed {seed}: {BAR:.0%} was not reached in {args.max_steps} steps")
    return watch.reached


def main() -> None:
    """Run both over the seeds, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n", type=int, default=500, help="held-out problems")
    parser.add_argument("--their-threads", type=int, default=1, help="of TRL's side; 0: as many as torch takes")
    parser.add_argument("--set", nargs="*", default=[], metavar="a.b=v", help="overrides of the recipe, for both")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", nargs=3, metavar=("SIDE", "WARM", "SEED"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        side, warm, seed = asked.side
        print(run(side, Path(warm), int(seed), asked))
        return
    directory = Path(tempfile.mkdtemp()) / "warm"
    first = load("quickstart")
    first.stages = first.stages[:1] if first.stages else None
    pipeline.train(first, directory, progress=Progress(quiet=True))
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for seed in range(asked.seeds):
        for side in list(seconds)[:: -1 if seed % 2 else 1]:
            one = ["--side", side, str(RunDirectory(directory).model()), str(seed)]
            command = [sys.executable, __file__, *sys.argv[1:], *one]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            seconds[side].append(float(done.stdout.split()[-1]))
    said = f"quickstart's GRPO stage to {BAR:.0%} held out (s)"
    measure.show([measure.row(said, seconds["ours"], seconds["theirs"], higher_is_better=False)], asked.json)


if __name__ == "__main__":
    main()
