"""Generation by vLLM in this process, on a GPU or a CPU."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlkit.engines import adapters
from rlkit.engines.engine import Generated, Sampling, limits
from rlkit.engines.vllm_arguments import arguments_for, refuse, refuse_policy, threads
from rlkit.engines.vllm_process import failure, same_randomness, start, stop
from rlkit.errors import RunError
from rlkit.policy import Policy
from rlkit.recipe.generation import GenerationSection


class VllmEngine:
    """Serves the policy's base with its LoRA adapter on top, or all its weights.

    An adapter is put in place of the last one, nothing is merged. Where vLLM cannot take it (see
    `adapters.hot_swappable`), or all weights are trained, every weight is loaded anew at each sync. A policy in 4 bits
    is served from the same base, quantized by vLLM, which a GPU is needed for. On a GPU, an engine beside training
    sleeps between groups, so that training has the memory.

    In a run of several processes on GPUs, each has an engine of its own (vLLM's `external_launcher`; not covered by
    the tests, which run on a CPU).

    Args:
        policy: What is served, as it is now.
        settings: `generation:`; its `vllm` are arguments of vLLM's own, and `dtype` what it computes in.
        training: The policy is trained in this process.

    Raises:
        RequestError: vLLM has no such argument, or cannot serve such a policy here.
        RunError: vLLM did not start; the message says why.
    """

    exact = False

    def __init__(self, policy: Policy, settings: GenerationSection, training: bool = False):
        import torch

        self.llm: Any = None
        self.ends = policy.end_ids
        self.dtype = None if settings.dtype == "auto" else getattr(torch, settings.dtype)
        self._cuda = torch.cuda.is_available()
        self._swaps = adapters.hot_swappable(policy) is None
        self._quantized = policy.in_4bit
        self._threads = threads(policy)
        self._adapter: Any = None
        self._version = 0
        self._asleep = False
        refuse(self._quantized, self._cuda)
        refuse_policy(policy)
        arguments = arguments_for(policy, settings, training, self._cuda)
        self._shared = policy.vllm is not None  # Unsloth started it, and training needs its weights
        self._sleeps = arguments.get("enable_sleep_mode", False) and not self._shared
        on_disk = policy.base is not None and (self._swaps or not adapters.is_adapter(policy))
        self._files = tempfile.TemporaryDirectory(prefix="rlkit-vllm-", ignore_cleanup_errors=True)
        folder = Path(self._files.name)
        try:
            with failure("did not start"):
                if not on_disk and not self._shared:
                    arguments["model"] = str(adapters.save(policy, folder / "model", merge=not self._swaps))
                    arguments["revision"] = None
                self.llm = policy.vllm or start(arguments)
            self.context = self.llm.model_config.max_model_len
            if self._swaps or on_disk:
                self.sync(policy)
        except BaseException:
            self.close()
            raise
        shutil.rmtree(folder / "model", ignore_errors=True)

    def generate(
        self, prompt_ids: list[list[int]], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> Generated:
        """Complete each prompt `sampling.n` times; `progress` hears how many completions there are.

        Each completion draws from a generator of its own, seeded from `sampling.seed` (from torch's random state
        where that is None) and its place among the completions.

        Raises:
            RequestError: A prompt is empty, or leaves no room in the context.
            RunError: vLLM failed; the message says why.
        """
        import numpy
        import torch

        if self.llm is None:
            raise RunError("engine vllm: it was closed")
        from vllm import SamplingParams

        rooms = limits(prompt_ids, sampling, self.context)
        seed = int(torch.randint(2**62, ())) if sampling.seed is None else sampling.seed
        count = len(prompt_ids) * sampling.n
        seeds = iter(numpy.random.SeedSequence(seed % 2**64).generate_state(max(count, 1), "uint64").tolist())
        parameters = [
            SamplingParams(
                max_tokens=room,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                min_p=sampling.min_p or 0.0,
                repetition_penalty=sampling.repetition_penalty,
                seed=next(seeds) >> 1,
                stop_token_ids=self.ends,
                logprobs=0 if sampling.logprobs else None,  # none but the sampled token's
                detokenize=False,
            )
            for room in rooms
            for _ in range(sampling.n)
        ]
        prompts = [{"prompt_token_ids": list(ids)} for ids in prompt_ids for _ in range(sampling.n)]
        with failure("failed to generate"), same_randomness(), self._tuned():
            self._wake()
            self.llm.reset_prefix_cache()  # what is in it decides, in the last digits, what comes out
            done = self._run(prompts, parameters, progress)
            self._sleep()
        return Generated(
            [list(output.token_ids) for output in done],
            [
                [step[token].logprob for token, step in zip(output.token_ids, output.logprobs or [], strict=False)]
                for output in done
            ],
        )

    def sync(self, policy: Policy) -> None:
        """Take the policy's weights as they are now; the policy is left as it is.

        Raises:
            RunError: They could not be taken; the message says why.
        """
        with failure("did not take the policy's weights"), same_randomness():
            if self._swaps:
                self._wake()
                self._swap(policy)
            elif not self._quantized:
                self._wake()
                weights = adapters.weights(policy, merge=adapters.is_adapter(policy))
                self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights.items())})
                self.llm.reset_prefix_cache()

    def close(self) -> None:
        """Free the engine's memory and files; it may be called twice."""
        llm, self.llm, self._adapter = self.llm, None, None
        if llm is not None and not self._shared:
            stop(llm)
        self._files.cleanup()

    def _swap(self, policy: Policy) -> None:
        from vllm.lora.request import LoRARequest

        self._version += 1
        folder = adapters.publish(policy, Path(self._files.name), self._version)
        last, engine = self._adapter, self.llm.llm_engine
        if last is not None:
            engine.remove_lora(last.lora_int_id)
            shutil.rmtree(last.lora_path, ignore_errors=True)
        self._adapter = LoRARequest(folder.name, self._version, str(folder))
        engine.add_lora(self._adapter)

    def _run(self, prompts: list[Any], parameters: list[Any], progress: Callable[[int], None] | None) -> list[Any]:
        """The completions in the order of the prompts; none is left in the engine, whatever happens."""
        engine, found = self.llm.llm_engine, {}
        ids = self.llm.enqueue(prompts, parameters, lora_request=self._adapter, use_tqdm=False)
        try:
            while engine.has_unfinished_requests():
                ended = [output for output in engine.step() if output.finished]
                found.update({int(output.request_id): output.outputs[0] for output in ended})
                if ended and progress:
                    progress(len(found))
        except BaseException:
            engine.abort_request(ids, internal=True)
            raise
        return [found[index] for index in sorted(found)]

    @contextlib.contextmanager
    def _tuned(self) -> Iterator[None]:
        """On a CPU: as many threads as pay, and no compiler."""
        import torch

        if self._cuda:
            yield
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(self._threads or threads)
        try:
            # Compiled, two small helpers of vLLM's sampler take 20 seconds at their first call, and gain nothing.
            with torch.compiler.set_stance("force_eager"):
                yield
        finally:
            torch.set_num_threads(threads)

    def _sleep(self) -> None:
        if self._sleeps and not self._asleep:
            self.llm.sleep(level=1)
            self._asleep = True

    def _wake(self) -> None:
        if self._asleep:
            self.llm.wake_up()
            self._asleep = False
