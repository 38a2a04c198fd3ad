"""Measures a policy on held-out prompts: every reward, accuracy, pass@k and maj@k, each with its interval and n."""

from collections.abc import Callable
from typing import Any, NamedTuple

from rlkit import data
from rlkit.engines import Engine, Sampling, choose
from rlkit.measurement import Measurement, check, figures, judged, rounded
from rlkit.policy import Policy
from rlkit.recipe.recipe import Stage
from rlkit.scoring import RewardStack, Scores
from rlkit.tasks import Task
from rlkit.tasks.figures import of_text

__all__ = ["Drawn", "Measurement", "draw", "measure"]


class Drawn(NamedTuple):
    """Completions of every prompt, the same number for each, and what the rewards gave."""

    rows: list[dict[str, Any]]
    """The row of each completion."""
    texts: list[str]
    ids: list[list[int]]
    scores: Scores
    cut: list[bool]
    """Whether each was cut off at the length limit."""

    @property
    def clipped(self) -> float:
        """Share of the completions that were cut off at the length limit."""
        return sum(self.cut) / len(self.cut)


def of_task(measured: Measurement, task: Task, dataset: Any) -> Measurement:
    """A measurement of a task's examples as text, with the task's own figures and what each completion was read as.

    Args:
        measured: By `measure`.
        task: The task.
        dataset: The rows that were measured on, with the task's roles.
    """
    examples = [dataset[sample["group"]] for sample in measured.samples]
    found, read = of_text(task, [sample["completion"] for sample in measured.samples], examples)
    samples = [{**sample, "prediction": each} for sample, each in zip(measured.samples, read, strict=True)]
    return Measurement({**measured.metrics, **rounded(found), "n": len(dataset)}, samples)


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
    engine: Engine | None = None,
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
        engine: One that has the policy's weights and is left open; else the section's is started for this.
    """
    generation, lent = stage.generation, engine
    engine = lent or choose(generation, policy, stage.eval.batch_size)[0]
    ids = [data.render(policy.tokenizer, prompt) for prompt in dataset["prompt"]]
    sampling = Sampling(**{**generation.drawn(), "temperature": temperature}, n=n, seed=seed)
    try:
        generated = engine.generate(ids, sampling, progress).completion_ids
    finally:
        if lent is None:
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
    cut = [len(tokens) >= limit and tokens[-1] not in ends for tokens in generated]
    return Drawn(rows, texts, generated, scores, cut)


def measure(
    policy: Policy,
    dataset: Any,
    stack: RewardStack,
    stage: Stage,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
    engine: Engine | None = None,
) -> Measurement:
    """Complete every prompt and score the completions.

    Args:
        policy: The model to measure.
        dataset: Rows with `prompt` and the columns that the rewards need.
        stack: The rewards.
        stage: Its `eval` and `generation` sections say how many samples, and how they are drawn.
        seed: Of the sampling.
        progress: Hears how many completions there are.
        engine: As `draw` takes it.

    Raises:
        RequestError: As `rlkit.measurement.check` does.
    """
    wanted, per_prompt = stage.eval, stage.eval.samples
    check(stage, dataset.column_names)
    temperature = wanted.temperature or (stage.generation.temperature if per_prompt > 1 else 0.0)
    how: dict[str, Any] = {"temperature": temperature, "seed": seed, "progress": progress, "engine": engine}
    drawn = draw(policy, dataset, stack, stage, n=per_prompt, **how)
    totals = stack.total(drawn.scores, prompts=[row["prompt"] for row in drawn.rows])
    verdicts = judged(drawn.texts, drawn.scores, totals, stack, wanted.accuracy)
    samples = [
        {
            **({wanted.by: row[wanted.by]} if wanted.by else {}),
            "group": i // per_prompt,
            "prompt": row["prompt"],
            "answer": row.get("answer"),
            "completion": text,
            "tokens": len(tokens),
            "clipped": cut,
            **verdict,
        }
        for i, (row, text, tokens, cut, verdict) in enumerate(
            zip(drawn.rows, drawn.texts, drawn.ids, drawn.cut, verdicts, strict=True)
        )
    ]
    categories = [row[wanted.by] for row in drawn.rows] if wanted.by else ()
    metrics = figures(samples, stack.names, wanted.k, wanted.by, categories)
    tables = {"by": metrics.pop("by")} if wanted.by else {}
    metrics["clipped"] = round(drawn.clipped, 6)
    metrics["mean_length"] = round(sum(map(len, drawn.ids)) / len(drawn.ids), 6)
    return Measurement(metrics | tables, samples)
