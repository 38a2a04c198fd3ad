"""Generation by the policy's own model of transformers: always there, on any hardware."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig

from rlkit.engines.decoding import Decoder, reach
from rlkit.engines.engine import Generated, Sampling, limits
from rlkit.engines.shadow import Shadow
from rlkit.policy import Policy


class TransformersEngine:
    """Runs the policy's model, or a copy of it.

    A copy is kept where the engine computes in another dtype than the policy, and, on a CPU, where the policy is a
    LoRA adapter on weights in float32: the copy has it merged. (Merged into 16 bits that the base stands in already,
    small updates would be lost.) A model in 4 bits runs as it is, in the dtype that it computes in.

    Models that `decoding` cannot drive, or not so far, generate by transformers' own `generate`; what the others draw
    by a seed does not depend on the batch size. Prompts are sorted by length and generated in batches, so that little
    is padding.

    Args:
        policy: The model and tokenizer to generate with.
        batch_size: Completions generated at a time; a prompt's stay together where they are no more than that.
        dtype: auto (the policy's own), float32 or bfloat16.
    """

    def __init__(self, policy: Policy, batch_size: int = 64, dtype: str = "auto"):
        self.policy, self.batch_size = policy, batch_size
        own = policy.model.dtype
        self.dtype = own if dtype == "auto" else getattr(torch, dtype)
        self.exact = self.dtype == own or _quantized(policy.model)
        merges = isinstance(policy.model, PeftModel) and own == torch.float32 and policy.model.device.type == "cpu"
        copies = not _quantized(policy.model) and (merges or self.dtype != own)
        self.shadow = Shadow(policy.model, self.dtype) if copies else None
        with _inference(self.model):
            self.reach = reach(self.model)

    def generate(
        self, prompt_ids: list[list[int]], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> Generated:
        """Complete each prompt `sampling.n` times; `progress` hears how many completions are there.

        A seed leaves torch's own generators alone.

        Raises:
            RequestError: A prompt is empty, or leaves no room in the model's context.
        """
        room = limits(prompt_ids, sampling, self.policy.context)
        n = sampling.n
        order = sorted(range(len(prompt_ids)), key=lambda i: (len(prompt_ids[i]), prompt_ids[i]))
        rows = [i * n + k for i in order for k in range(n)]
        size = self.batch_size // n * n or self.batch_size
        made: dict[int, tuple[list[int], list[float]]] = {}
        draws = max(room, default=0) if sampling.temperature else 0
        generator = None if sampling.seed is None else torch.Generator().manual_seed(sampling.seed)
        chances = torch.rand((len(rows), draws), generator=generator)
        with _inference(self.model):
            for start in range(0, len(rows), size):
                batch = rows[start : start + size]
                results = self._batch(batch, prompt_ids, room, sampling, chances)
                made.update(zip(batch, zip(*results, strict=True), strict=True))
                if progress:
                    progress(len(made))
        inorder = [made[row] for row in range(len(rows))]
        return Generated([ids for ids, _ in inorder], [logprobs for _, logprobs in inorder])

    def _batch(
        self, rows: list[int], prompt_ids: list[list[int]], room: list[int], sampling: Sampling, chances: torch.Tensor
    ) -> Generated:
        """Complete rows, each the n-th part of a prompt, in ascending order of the prompts."""
        prompts: list[list[int]] = []
        groups, rooms = [], []
        for row in rows:
            index = row // sampling.n
            if not prompts or prompts[-1] != prompt_ids[index]:
                prompts.append(prompt_ids[index])
            groups.append(len(prompts) - 1)
            rooms.append(room[index])
        if len(prompts[-1]) + max(rooms) <= self.reach:
            decoder = Decoder(self.model, self.policy.end_ids, self.policy.context)
            return decoder.generate(prompts, groups, rooms, sampling, chances[rows])
        made = Generated([], [])
        for most, part in groupby(zip(rooms, groups, rows, strict=True), key=lambda each: each[0]):
            _, which, numbers = zip(*part, strict=True)
            with _seeded(sampling.seed, numbers[0], self.model.device):
                results = _plain(self.model, self.policy, [prompts[i] for i in which], most, sampling)
            made.completion_ids.extend(results.completion_ids)
            made.logprobs.extend(results.logprobs)
        return made

    def sync(self, policy: Policy) -> None:
        """Take the policy's weights; without a copy, this engine runs the policy itself."""
        self.policy = policy
        if self.shadow:
            self.shadow.take(policy.model)

    def close(self) -> None:
        """Free the copy."""
        self.shadow = None

    @property
    def model(self) -> Any:
        """What generates: the policy's model, or the copy."""
        return self.shadow.model if self.shadow else self.policy.model


def _quantized(model: Any) -> bool:
    return bool(getattr(model, "is_quantized", False))


@contextmanager
def _inference(model: Any) -> Iterator[None]:
    """Evaluation mode, and each module's own afterwards; no gradients.

    Weights in 4 bits are repacked for a CPU when they first run, and must not become tensors of inference mode.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad() if _quantized(model) else torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _seeded(seed: int | None, number: int, device: torch.device) -> Iterator[None]:
    """torch's own generators start from a seed and a number, and go on afterwards as if nothing had been."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed + number)
        yield


def _plain(model: Any, policy: Policy, prompts: list[list[int]], room: int, sampling: Sampling) -> Generated:
    """Complete each prompt by transformers' own generate."""
    ends, pad = policy.end_ids, policy.tokenizer.pad_token_id
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts], device=model.device)
    seen = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    drawn = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k", "min_p")}
    config = GenerationConfig(
        max_new_tokens=room,
        do_sample=sampling.temperature > 0,
        repetition_penalty=sampling.repetition_penalty,
        eos_token_id=ends,
        pad_token_id=pad,
        return_dict_in_generate=True,
        output_scores=sampling.logprobs,
        **(drawn if sampling.temperature > 0 else {}),
    )
    output = model.generate(input_ids=ids, attention_mask=seen, generation_config=config)
    tokens = output.sequences[:, longest:]
    logprobs: list[list[float]] = [[] for _ in prompts]
    if sampling.logprobs:  # scores: a tensor (rows, vocabulary) a token, as they were drawn from
        chosen = [
            scores.float().log_softmax(-1).gather(-1, tokens[:, at, None]) for at, scores in enumerate(output.scores)
        ]
        logprobs = torch.cat(chosen, dim=-1).tolist()
    made = Generated([], [])
    for row, values in zip(tokens.tolist(), logprobs, strict=True):
        length = next((at + 1 for at, token in enumerate(row) if token in ends), len(row))
        made.completion_ids.append(row[:length])
        made.logprobs.append(values[:length])
    return made
