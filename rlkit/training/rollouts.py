"""Groups for GRPO from an engine: what TRL calls a rollout function."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
        check_sync: bool = False,
    ):
        self.engine, self.policy, self.sampling, self.seed = engine, policy, sampling, seed
        self.clock, self.check_sync = clock, check_sync
        self.synced: int | None = None
        self.calls = 0
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="rollouts")
        self._begun: tuple[list[Any], Future[dict[str, Any]]] | None = None

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """TRL's contract: prompts (each repeated for its group) to token ids, and log-probabilities of the sampled.

        Raises:
            RunError: The engine failed, or `check_sync` found other weights in it.
        """
        if self._begun is not None and self._begun[0] == prompts:
            begun, self._begun = self._begun[1], None
            with self.clock("generate"):
                return begun.result()
        self._sync(trainer.state.global_step)
        with self.clock("generate"):
            return self._generate(prompts, self._seed(trainer))

    def begin(self, prompts: list[Any], trainer: Any) -> None:
        """Start on the prompts of the next step, with the weights of now; the call for them then only waits."""
        self._sync(trainer.state.global_step)
        self._begun = prompts, self._ahead.submit(self._generate, prompts, self._seed(trainer))

    def lend(self, step: int) -> Engine:
        """The engine with the weights of a step, for a measurement; what was begun ahead is waited for."""
        if self._begun is not None:
            self._begun[1].exception()
        self._sync(step)
        return self.engine

    def close(self) -> None:
        """Wait for what was begun, and end the engine."""
        self._ahead.shutdown(wait=True, cancel_futures=True)
        self.engine.close()

    def _sync(self, step: int) -> None:
        if step == self.synced:
            return
        with self.clock("sync"):
            self.engine.sync(self.policy)
            if self.check_sync:
                check.agree(self.engine, self.policy)
        self.synced, self.calls = step, 0

    def _seed(self, trainer: Any) -> int:
        """Of this call: another for each step, call and process; 2**20 calls are more than a step will make."""
        self.calls += 1
        numbers = (self.seed * 1_000_003 + (trainer.state.global_step << 20) + self.calls) % 2**48
        return numbers * trainer.accelerator.num_processes + trainer.accelerator.process_index

    def _generate(self, prompts: list[Any], seed: int) -> dict[str, Any]:
        groups = [(prompt, len(list(same))) for prompt, same in groupby(prompts)]
        ids = [data.render(self.policy.tokenizer, prompt) for prompt, _ in groups]
        completions: list[list[int]] = []
        logprobs: list[list[float]] = []
        for n, same in groupby(zip(ids, groups, strict=True), key=lambda pair: pair[1][1]):
            made = self.engine.generate([one for one, _ in same], self.sampling(n=n, seed=seed + len(completions)))
            completions += made.completion_ids
            logprobs += made.logprobs
        self.clock.tokens += sum(map(len, completions))
        return {
            "prompt_ids": [one for one, (_, n) in zip(ids, groups, strict=True) for _ in range(n)],
            "completion_ids": completions,
            "logprobs": logprobs if any(logprobs) else None,
        }
