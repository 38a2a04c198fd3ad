"""Groups for GRPO from an engine: what TRL calls a rollout function."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

from rlkit import data
from rlkit.engines import Engine, Sampling, check
from rlkit.policy import Policy
from rlkit.training.clock import Clock


class Rollouts:
    """Completes a step's prompts with an engine that has the policy's weights of that step.

    Args:
        engine: What generates.
        policy: What is trained.
        sampling: How tokens are drawn; `n` and `seed` are set for each step.
        seed: Of the run; a step draws the same whether the run was broken off before it or not.
        clock: Told where the time goes.
        check_sync: Compare log-probabilities with the policy's after each sync.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        sampling: Callable[..., Sampling],
        seed: int,
        clock: Clock,
        check_sync: bool,
    ):
        self.engine, self.policy, self.sampling, self.seed = engine, policy, sampling, seed
        self.clock, self.check_sync = clock, check_sync
        self.synced: int | None = None
        self.calls = 0

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """TRL's contract: prompts (each repeated for its group) to token ids, and log-probabilities of the sampled.

        Raises:
            RunError: The engine failed, or `check_sync` found other weights in it.
        """
        step = trainer.state.global_step
        if step != self.synced:
            with self.clock("sync"):
                self.sync()
            self.synced, self.calls = step, 0
        rank, processes = trainer.accelerator.process_index, trainer.accelerator.num_processes
        ids = [data.render(self.policy.tokenizer, prompt) for prompt, _ in groupby(prompts)]
        sizes = [len(list(same)) for _, same in groupby(prompts)]
        # One generator a step, call and process; 2**20 calls are more than a step will make.
        seed = (self.seed * 1_000_003 + (step << 20) + self.calls) * processes + rank
        self.calls += 1
        completions: list[list[int]] = []
        logprobs: list[list[float]] = []
        with self.clock("generate"):
            for n, same in groupby(zip(ids, sizes, strict=True), key=lambda pair: pair[1]):
                sampling = self.sampling(n=n, seed=(seed + len(completions)) % 2**63)
                made = self.engine.generate([prompt for prompt, _ in same], sampling)
                completions += made.completion_ids
                logprobs += made.logprobs
        self.clock.tokens += sum(map(len, completions))
        return {
            "prompt_ids": [prompt for prompt, n in zip(ids, sizes, strict=True) for _ in range(n)],
            "completion_ids": completions,
            "logprobs": logprobs if any(logprobs) else None,
        }

    def sync(self) -> None:
        """Give the engine the policy's weights of now."""
        self.engine.sync(self.policy)
        if self.check_sync:
            check.agree(self.engine, self.policy)
