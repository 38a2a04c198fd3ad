"""Generation by transformers: always there, on any hardware."""

from collections.abc import Callable

from rlkit.engines.engine import Generated, Sampling
from rlkit.policy import Policy


class TransformersEngine:
    """Runs the policy's own model.

    Prompts are sorted by length and generated in batches, so that little is padding.

    Args:
        policy: The model and tokenizer to generate with.
        batch_size: Completions generated at a time.
    """

    def __init__(self, policy: Policy, batch_size: int = 64, dtype: str = "auto"):
        self.policy = policy
        self.batch_size = batch_size

    def generate(
        self, prompt_ids: list[list[int]], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> Generated:
        """Complete each prompt `sampling.n` times; `progress` hears how many completions are there."""
        import torch

        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        model = self.policy.model
        rows = sorted((i for i in range(len(prompt_ids)) for _ in range(sampling.n)), key=lambda i: len(prompt_ids[i]))
        made: list[list[tuple[list[int], list[float]]]] = [[] for _ in prompt_ids]
        training, model.training = model.training, False
        model.eval()
        try:
            for start in range(0, len(rows), self.batch_size):
                batch = rows[start : start + self.batch_size]
                for i, result in zip(batch, self._batch([prompt_ids[i] for i in batch], sampling), strict=True):
                    made[i].append(result)
                if progress:
                    progress(start + len(batch))
        finally:
            model.train(training)
        flat = [pair for results in made for pair in results]
        return Generated([ids for ids, _ in flat], [logprobs for _, logprobs in flat])

    def _batch(self, prompts: list[list[int]], sampling: Sampling) -> list[tuple[list[int], list[float]]]:
        import torch
        from transformers import GenerationConfig

        tokenizer, model = self.policy.tokenizer, self.policy.model
        ends = self.policy.end_ids
        padded = tokenizer.pad({"input_ids": prompts}, padding=True, padding_side="left", return_tensors="pt")
        inputs = {key: padded[key].to(model.device) for key in ("input_ids", "attention_mask")}
        greedy = sampling.temperature == 0
        drawn = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
        }
        config = GenerationConfig(
            max_new_tokens=sampling.max_completion_length,
            do_sample=not greedy,
            repetition_penalty=sampling.repetition_penalty,
            eos_token_id=ends,
            pad_token_id=tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_scores=sampling.logprobs,
            **({} if greedy else drawn),
        )
        with torch.inference_mode():
            output = model.generate(**inputs, generation_config=config)
        length = inputs["input_ids"].shape[1]
        tokens = output.sequences[:, length:]
        logprobs: list[list[float]] = [[] for _ in prompts]
        if sampling.logprobs:  # scores: a tensor (rows, vocabulary) a token, as they were drawn from
            chosen = [
                scores.float().log_softmax(-1).gather(-1, tokens[:, at, None])
                for at, scores in enumerate(output.scores)
            ]
            logprobs = torch.cat(chosen, dim=-1).tolist()
        results = []
        for row, values in zip(tokens.tolist(), logprobs, strict=True):
            n = next((at + 1 for at, token in enumerate(row) if token in ends), len(row))
            results.append((row[:n], values[:n]))
        return results

    def sync(self, policy: Policy) -> None:
        """Take the policy's weights: this engine runs the policy itself."""
        self.policy = policy

    def close(self) -> None:
        """Nothing to free."""
