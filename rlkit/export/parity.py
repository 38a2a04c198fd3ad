"""The gate of every export: does the copy answer as the model that was trained? See `Reference`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rlkit import data
from rlkit.engines import Sampling
from rlkit.engines.transformers import TransformersEngine
from rlkit.export.artifact import Check
from rlkit.policy import Policy

TOKENS = 24
"""Greedy tokens a prompt that are compared."""
TRICKY = (
    " two  spaces,\ttab\nand\n\nlines ",
    "Größe, naïve, Ω≈3.14159, 漢字とかな, العربية, हिन्दी",
    "🙂👩‍👩‍👧 e\u0301 \u00a0 'don't' \"I'LL\" 1234567890 x=5; f(a, b)[0]",
)
"""Texts on which tokenizers part."""
ROUNDING = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 3e-2, "f32": 1e-4, "f16": 2e-2, "bf16": 5e-2}
"""Most that logits may be apart (root mean square, over that of the trained model's), by the dtype of the copy."""
DIVERGENCE = {"q8": 0.02, "q6": 0.05, "q5": 0.1, "q4": 0.2, "q3": 0.5, "q2": 1.5}
"""Most KL divergence a token, in nats, of a quantized copy from the trained model, by its bits."""

IN_4_BITS = 1.0
"""Most KL divergence a token of the trained model over 16 bits from itself over the 4 bits it was trained on."""


class Copy(Protocol):
    """Something that was exported, loaded again."""

    def tokens(self, text: str) -> list[int]:
        """Token ids, special tokens in the text read as such, none added."""

    def render(self, messages: list[dict[str, str]]) -> str | None:
        """Messages by its own chat template, ready for the assistant's turn; None: it has none."""

    def logits(self, ids: list[int]) -> Any:
        """float32 (tokens, vocabulary): what follows each token."""


class Loaded:
    """A model of transformers as a Copy, computed in float32: whatever its weights are rounded to, no more is."""

    def __init__(self, policy: Policy):
        self.policy = policy
        policy.model.eval()

    @classmethod
    def of(cls, folder: Path | str) -> "Loaded":
        """What is saved in a folder."""
        from rlkit.export import merged

        return cls(merged.load(str(folder), "float32"))

    def tokens(self, text: str) -> list[int]:
        """As Copy."""
        return list(self.policy.tokenizer(text, add_special_tokens=False)["input_ids"])

    def render(self, messages: list[dict[str, str]]) -> str | None:
        """As Copy."""
        tokenizer = self.policy.tokenizer
        if not tokenizer.chat_template:
            return None
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    def logits(self, ids: list[int]) -> Any:
        """As Copy."""
        import torch

        with torch.no_grad():
            made = self.policy.model(torch.tensor([ids], device=self.policy.model.device), use_cache=False).logits
        return made[0].float().cpu().numpy()


@dataclass
class Reference:
    """What the trained model does with some prompts: how they are written, what it says, and how sure it is.

    Greedy tokens are compared by giving each copy the trained model's own: where the likeliest next token is the same
    at each place, greedy decoding is the same too. A place where the trained model itself is as unsure as the bound
    on the logits does not count.
    """

    messages: list[list[dict[str, str]]]
    rendered: list[str | None]
    texts: list[str]
    tokens: list[list[int]]
    """Of each text."""
    ids: list[list[int]]
    """Prompt and greedy completion of each prompt."""
    starts: list[int]
    """Where each completion begins."""
    logits: list[Any]
    """float32 (tokens of the completion, vocabulary): what the model says before each token of the completion."""

    @classmethod
    def of(cls, policy: Policy, prompts: Sequence[Any]) -> "Reference":
        """Ask a model, whose weights are in float32.

        Args:
            policy: As it was trained.
            prompts: Texts, or messages.
        """
        model = Loaded(policy)
        room = (policy.context or 2**20) - TOKENS
        written = [data.render(policy.tokenizer, prompt)[-room:] for prompt in prompts]
        engine = TransformersEngine(policy, batch_size=8)
        try:
            sampling = Sampling(max_completion_length=TOKENS, temperature=0.0, n=1, seed=0)
            made = engine.generate(written, sampling).completion_ids
        finally:
            engine.close()
        ids = [[*prompt, *completion] for prompt, completion in zip(written, made, strict=True)]
        starts = [len(prompt) for prompt in written]
        messages = [prompt for prompt in prompts if not isinstance(prompt, str)]
        if messages:  # and one with several turns
            messages.append(
                [*messages[0], {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"}]
            )
        texts = [*(policy.tokenizer.decode(row) for row in ids), *TRICKY]
        return cls(
            messages=messages,
            rendered=[model.render(chat) for chat in messages],
            texts=texts,
            tokens=[model.tokens(text) for text in texts],
            ids=ids,
            starts=starts,
            logits=[model.logits(row)[start - 1 : -1] for row, start in zip(ids, starts, strict=True)],
        )

    def compare(self, copy: Copy, file: str, dtype: str) -> list[Check]:
        """Hold a copy against the trained model.

        Args:
            copy: It.
            file: What it is called in the report.
            dtype: What its weights are in: one of ROUNDING, or a type of GGUF such as q4_k_m.
        """
        wrong = [text for text, ids in zip(self.texts, self.tokens, strict=True) if copy.tokens(text) != ids]
        checks = [_none(file, "tokens", wrong)]
        if any(self.rendered):
            found = [copy.render(chat) for chat in self.messages]
            wrong = [text or "" for text, own in zip(found, self.rendered, strict=True) if text != own]
            checks.append(_none(file, "template", wrong))
        return [*checks, *self._answers(copy, file, dtype)]

    def divergence(self, copy: Copy) -> float:
        """KL(trained model || copy), in nats, mean over the tokens of the completions."""
        pairs = [(own.log_softmax(-1), other.log_softmax(-1)) for own, other in self._pairs(copy)]
        total = math.fsum(float((p.exp() * (p - q)).sum()) for p, q in pairs)
        return total / max(1, sum(len(p) for p, _ in pairs))

    def _answers(self, copy: Copy, file: str, dtype: str) -> list[Check]:
        """Of 16 and 32 bits: greedy tokens and logits; of a quantized copy: how far its probabilities are."""
        bound = ROUNDING.get(dtype)
        if bound is None:
            most = next((most for bits, most in DIVERGENCE.items() if bits in dtype), DIVERGENCE["q2"])
            return [_at_most(file, "kl", self.divergence(copy), most)]
        apart, squares, wrong = 0.0, 0.0, []
        for own, other in self._pairs(copy):
            own, other = own - own.mean(-1, keepdim=True), other - other.mean(-1, keepdim=True)
            apart, squares = apart + float((own - other).square().sum()), squares + float(own.square().sum())
            best = own.topk(2).values
            sure = best[:, 0] - best[:, 1] > 4 * bound * own.square().mean(-1).sqrt()
            missed = (own.argmax(-1) != other.argmax(-1)) & sure
            wrong += [f"token {place} of a completion" for place in missed.nonzero()[:, 0].tolist()]
        return [_none(file, "greedy", wrong), _at_most(file, "logits", math.sqrt(apart / max(squares, 1e-30)), bound)]

    def _pairs(self, copy: Copy) -> Iterator[tuple[Any, Any]]:
        """float64 logits (tokens, vocabulary) before each token of a completion: the trained model's, the copy's."""
        import torch

        for row, start, logits in zip(self.ids, self.starts, self.logits, strict=True):
            own = torch.as_tensor(logits).double()
            yield own, torch.as_tensor(copy.logits(row))[start - 1 : -1, : own.shape[1]].double()


def in_4_bits(reference: Reference, model: str) -> Check:
    """How far the model over 16 bits is from itself over 4 bits, where it was trained so."""
    from rlkit import policy
    from rlkit.recipe.model import ModelSection

    trained = Loaded(policy.load(ModelSection(path=model, dtype="float32", load_in_4bit=True), train=False))
    return _at_most(".", "kl to 4 bits", reference.divergence(trained), IN_4_BITS)


def _none(file: str, name: str, wrong: Sequence[str]) -> Check:
    return Check(file, name, float(len(wrong)), 0.0, not wrong, f"first: {wrong[0][:60]!r}" if wrong else "")


def _at_most(file: str, name: str, value: float, bound: float) -> Check:
    return Check(file, name, value, bound, value <= bound)
