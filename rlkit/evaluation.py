"""Measures a policy on held-out prompts: every reward, accuracy, pass@k and maj@k, each with its interval and n."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rlkit import answers, data
from rlkit.engines import Sampling, choose
from rlkit.intervals import bootstrap, interval, pass_at_k
from rlkit.policy import Policy
from rlkit.recipe.recipe import Stage
from rlkit.scoring import RewardStack, Scores


class Measurement(NamedTuple):
    """What was measured (`NAME`, `NAME_low`, `NAME_high`; `n` prompts), and every sample behind it."""

    metrics: dict[str, Any]
    samples: list[dict[str, Any]]


class Drawn(NamedTuple):
    """Completions of every prompt, the same number for each, and what the rewards gave."""

    rows: list[dict[str, Any]]
    """The row of each completion."""
    texts: list[str]
    ids: list[list[int]]
    scores: Scores
    clipped: float
    """Share of the completions that were cut off at the length limit."""


def draw(
    policy: Policy,
    dataset: Any,
    stack: RewardStack,
    stage: Stage,
    *,
    n: int,
    temperature: float,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Drawn:
    """Complete every prompt `n` times and score the completions.

    Args:
        policy: The model.
        dataset: Rows with `prompt` and the columns that the rewards need.
        stack: The rewards.
        stage: Its `generation` section says how the completions are drawn.
        n: Completions a prompt.
        temperature: 0 is greedy.
        seed: Of the sampling.
        progress: Hears how many completions there are.
    """
    generation = stage.generation
    engine, _why = choose(generation, policy, stage.eval.batch_size)
    ids = [data.render(policy.tokenizer, prompt) for prompt in dataset["prompt"]]
    sampling = Sampling(**{**generation.drawn(), "temperature": temperature}, n=n, seed=seed)
    try:
        generated = engine.generate(ids, sampling, progress).completion_ids
    finally:
        engine.close()
    texts = policy.tokenizer.batch_decode(generated, skip_special_tokens=True)
    rows = [row for row in dataset for _ in range(n)]
    chat = not isinstance(rows[0]["prompt"], str)
    scores = stack.score(
        prompts=[row["prompt"] for row in rows],
        completions=[[{"role": "assistant", "content": text}] for text in texts] if chat else texts,
        completion_ids=generated,
        **{name: [row[name] for row in rows] for name in dataset.column_names if name != "prompt"},
    )
    limit, ends = generation.max_completion_length, policy.end_ids
    clipped = sum(len(t) >= limit and t[-1] not in ends for t in generated) / len(generated)
    return Drawn(rows, texts, generated, scores, clipped)


def measure(
    policy: Policy,
    dataset: Any,
    stack: RewardStack,
    stage: Stage,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Measurement:
    """Complete every prompt and score the completions.

    Args:
        policy: The model to measure.
        dataset: Rows with `prompt` and the columns that the rewards need.
        stack: The rewards.
        stage: Its `eval` and `generation` sections say how many samples, and how they are drawn.
        seed: Of the sampling.
        progress: Hears how many completions there are.
    """
    per_prompt = stage.eval.samples
    temperature = stage.eval.temperature or (stage.generation.temperature if per_prompt > 1 else 0.0)
    drawn = draw(policy, dataset, stack, stage, n=per_prompt, temperature=temperature, seed=seed, progress=progress)
    texts, scores = drawn.texts, drawn.scores
    totals = stack.total(scores, prompts=[row["prompt"] for row in drawn.rows])
    samples = [
        {
            "prompt": row["prompt"],
            "answer": row.get("answer"),
            "completion": text,
            "tokens": len(tokens),
            "reward": total,
            "rewards": {name: values[i] for name, values in scores.items()},
        }
        for i, (row, text, tokens, total) in enumerate(zip(drawn.rows, texts, drawn.ids, totals, strict=True))
    ]
    metrics: dict[str, Any] = {"n": len(dataset)}
    correct = stage.eval.accuracy or stack.correct
    if correct:
        hits = [None if value is None else float(value >= 1.0) for value in scores[correct]]
        metrics |= _mean("accuracy", hits, per_prompt)
        if per_prompt > 1:
            rules = stack.rewards[stack.names.index(correct)].parameters.get("rules")  # as the reward that judged them
            metrics |= _of_groups(hits, [answers.extract(text, rules) for text in texts], per_prompt)
    for name in stack.names:
        if name != "accuracy":
            metrics |= _mean(name, scores[name], per_prompt)
    metrics |= _mean("reward", totals, per_prompt, bootstrap)
    metrics["clipped"] = drawn.clipped
    metrics["mean_length"] = sum(map(len, drawn.ids)) / len(drawn.ids)
    return Measurement({k: round(v, 6) if isinstance(v, float) else v for k, v in metrics.items()}, samples)


def _mean(
    name: str, values: Sequence[float | None], per_prompt: int, between: Callable[..., tuple[float, float]] = interval
) -> dict[str, Any]:
    """Mean over prompts, with its interval; a None is left out and counted."""
    groups = [values[i : i + per_prompt] for i in range(0, len(values), per_prompt)]
    means = [math.fsum(g) / len(g) for group in groups if (g := [v for v in group if v is not None])]
    none = sum(value is None for value in values)
    counted = {f"{name}_none": none} if none else {}
    if not means:
        return {name: None, **counted}
    low, high = between(means)
    return {name: math.fsum(means) / len(means), f"{name}_low": low, f"{name}_high": high, **counted}


def _of_groups(hits: Sequence[float | None], found: Sequence[Any], k: int) -> dict[str, Any]:
    """pass@k (any of k correct) and maj@k (the commonest answer correct; the first of equally common ones).

    A prompt whose samples could not all be judged is left out, as it is from the accuracy.
    """
    passed: list[float | None] = []
    majority: list[float | None] = []
    for start in range(0, len(hits), k):
        if any(hit is None for hit in hits[start : start + k]):
            passed.append(None)
            majority.append(None)
            continue
        group = [bool(hit) for hit in hits[start : start + k]]
        passed.append(pass_at_k(k, sum(group), k))
        given = [answers.normalise(a.text) if a else None for a in found[start : start + k]]
        votes = Counter(answer for answer in given if answer is not None)
        winner = votes.most_common(1)[0][0] if votes else None
        majority.append(float(winner is not None and group[given.index(winner)]))
    return _mean(f"pass@{k}", passed, 1) | _mean(f"maj@{k}", majority, 1)
