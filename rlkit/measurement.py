"""What a measurement comes to. Every figure is worked out from samples, which are kept, so it can be looked into."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rlkit import answers, names
from rlkit.completion import prefilled, text_of
from rlkit.errors import RequestError
from rlkit.function import Reward
from rlkit.intervals import bootstrap, interval, pass_at_k
from rlkit.recipe.recipe import Stage
from rlkit.scoring import CORRECT, RewardStack, Scores
from rlkit.weighting import Term

SUBSETS = 200
"""Choices of k among a prompt's samples that maj@k is averaged over, where there are more."""

Groups = Sequence[Sequence[int]]
Interval = Callable[[Sequence[float]], tuple[float, float]]


class Measurement(NamedTuple):
    """What was measured (`NAME`, `NAME_low`, `NAME_high`; `n` prompts), and every sample behind it."""

    metrics: dict[str, Any]
    samples: list[dict[str, Any]]


def check(stage: Stage, columns: Sequence[str]) -> None:
    """See that what a stage asks of its measurement can be given, before anything is loaded.

    Args:
        stage: An eval stage.
        columns: Of its rows.

    Raises:
        RequestError: A k is above `eval.samples`, or there is no column `eval.by`.
    """
    wanted = stage.eval
    if wanted.k and max(wanted.k) > wanted.samples:
        raise RequestError(
            f"stage {stage.name!r}: eval.k asks for pass@{max(wanted.k)}, which needs as many samples of a prompt, "
            f"and eval.samples is {wanted.samples}: set eval.samples={max(wanted.k)}"
        )
    if wanted.by is not None and wanted.by not in columns:
        said = names.unknown("column", wanted.by, columns)
        raise RequestError(f"stage {stage.name!r}: eval.by: {said}")


def offered(stage: Stage, terms: Sequence[Term]) -> set[str]:
    """The figures that an eval stage with these rewards comes to, but for those of its task."""
    rewards = {term.reward.name for term in terms}
    found = {*rewards, "reward", "clipped", "mean_length"} | ({"unreadable"} if any(map(_reads, _of(terms))) else set())
    if stage.eval.accuracy or rewards & {*CORRECT}:
        ks = stage.eval.k or ([1, stage.eval.samples] if stage.eval.samples > 1 else [])
        found |= {"accuracy", *(f"pass@{k}" for k in ks), *(f"maj@{k}" for k in ks if k > 1)}
    return found


def _of(terms: Sequence[Term]) -> list[Reward]:
    return [term.reward for term in terms]


def judge(stack: RewardStack, accuracy: str | None = None) -> Reward | None:
    """The reward that says what is correct: the one of that name, else as the stack has it; None where none does."""
    name = accuracy or stack.correct
    return stack.rewards[stack.names.index(name)] if name else None


def judged(
    texts: Sequence[Any], scores: Scores, totals: Sequence[float], stack: RewardStack, accuracy: str | None = None
) -> list[dict[str, Any]]:
    """What is known of each completion once it is scored.

    `correct`: the judging reward gave 1.0; None: it gave no value. The key is absent where no reward judges.
    `read`: the answer as it was read, by the rules of the reward that judges. `readable`: there was one; what counts
    as correct was read, in whatever way; None where no reward reads answers. `reward`: the weighted sum. `rewards`:
    the value of each.

    Args:
        texts: The completions, texts or messages.
        scores: Of the stack.
        totals: Their weighted sums.
        stack: The rewards.
        accuracy: The reward that says what is correct, where it is not accuracy or correctness.
    """
    correct = judge(stack, accuracy)
    reader = next((reward for reward in (correct, *stack.rewards) if reward and _reads(reward)), None)
    rules = _rules(reader) if reader else None
    rows = []
    for i, (text, total) in enumerate(zip(texts, totals, strict=True)):
        row: dict[str, Any] = {}
        if correct:
            value = scores[correct.name][i]
            row["correct"] = None if value is None else value >= 1.0
        found = answers.extract(text_of(prefilled(text, stack.prefill)), rules)
        row["read"] = found.text if found and found.text else None  # an empty tag says nothing
        row["readable"] = (row["read"] is not None or bool(row.get("correct"))) if reader else None
        rows.append({**row, "reward": total, "rewards": {name: values[i] for name, values in scores.items()}})
    return rows


def _reads(reward: Reward) -> bool:
    """Whether a reward extracts an answer: then it can be told by which rules."""
    return "rules" in reward.signature.parameters


def _rules(reward: Reward) -> Sequence[str] | None:
    given = reward.parameters.get("rules") or reward.signature.parameters["rules"].default
    return given if isinstance(given, list | tuple) and given else None


def split(samples: Sequence[dict[str, Any]]) -> list[list[int]]:
    """The places of each prompt's samples: those with the same `group`."""
    found: dict[int, list[int]] = {}
    for index, sample in enumerate(samples):
        found.setdefault(sample["group"], []).append(index)
    return list(found.values())


def of_prompts(samples: Sequence[dict[str, Any]], name: str) -> list[float | None]:
    """The mean of a field over each prompt's samples; None where none of them has a value."""
    values = _values(samples, name)
    return [_average([values[i] for i in group]) for group in split(samples)]


def figures(
    samples: Sequence[dict[str, Any]],
    rewards: Sequence[str],
    ks: Sequence[int] | None = None,
    by: str | None = None,
    categories: Sequence[Any] = (),
) -> dict[str, Any]:
    """Every figure, rounded to six places: means over prompts, each with its 95% interval over prompts.

    Args:
        samples: As `judged` makes them, with `group`: the number of the prompt.
        rewards: Their names.
        ks: For pass@k and maj@k; where None, 1 and as many as every prompt has samples, if that is above 1.
        by: A column by whose values accuracy and reward are told apart.
        categories: The value of that column for each sample.
    """
    groups = split(samples)
    least = min(map(len, groups))
    metrics: dict[str, Any] = {"n": len(groups)}
    if "correct" in samples[0]:
        hits = _values(samples, "correct")
        metrics |= _mean("accuracy", hits, groups)
        for k in ([1, least] if least > 1 else []) if ks is None else ks:
            metrics |= _passed(hits, groups, k) | (_majority(samples, hits, groups, k) if k > 1 else {})
    for name in rewards:
        if name != "accuracy" or "accuracy" not in metrics:
            metrics |= _mean(name, [sample["rewards"][name] for sample in samples], groups)
    metrics |= _mean("reward", _values(samples, "reward"), groups, bootstrap)
    if samples[0]["readable"] is not None:
        metrics["unreadable"] = sum(not sample["readable"] for sample in samples) / len(samples)
    if by is not None:
        metrics["by"] = {by: _by(samples, [str(value) for value in categories])}
    return rounded(metrics)


def _by(samples: Sequence[dict[str, Any]], categories: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each category `n`, accuracy and mean reward, each with its interval, and the share of unreadable ones."""
    members: dict[str, list[dict[str, Any]]] = {}
    for sample, category in zip(samples, categories, strict=True):
        members.setdefault(category, []).append(sample)
    return {category: figures(members[category], (), ks=()) for category in sorted(members, key=_in_order)}


def _in_order(category: str) -> tuple[bool, float, str]:
    """Numbers by their size, then texts."""
    try:
        return False, float(category), category
    except ValueError:
        return True, 0.0, category


def _values(samples: Sequence[dict[str, Any]], name: str) -> list[float | None]:
    return [None if sample[name] is None else float(sample[name]) for sample in samples]


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _mean(name: str, values: Sequence[float | None], groups: Groups, between: Interval = interval) -> dict[str, Any]:
    """Mean over prompts, with its interval; a None is left out and counted."""
    averages = [_average([values[i] for i in group]) for group in groups]
    means = [value for value in averages if value is not None]
    none = sum(value is None for value in values)
    counted = {f"{name}_none": none} if none else {}
    if not means:
        return {name: None, **counted}
    low, high = between(means)
    return {name: math.fsum(means) / len(means), f"{name}_low": low, f"{name}_high": high, **counted}


def _each(values: Sequence[float | None]) -> tuple[Sequence[float | None], Groups]:
    """One value a prompt."""
    return values, [[i] for i in range(len(values))]


def _passed(hits: Sequence[float | None], groups: Groups, k: int) -> dict[str, Any]:
    """pass@k: the chance that one of k samples is correct, estimated from all that a prompt has.

    A prompt whose samples could not all be judged is left out, here and of maj@k.
    """
    known = [[hits[i] for i in group] for group in groups]
    passed = [None if None in of else pass_at_k(len(of), sum(map(bool, of)), k) for of in known]
    return _mean(f"pass@{k}", *_each(passed))


def _majority(
    samples: Sequence[dict[str, Any]], hits: Sequence[float | None], groups: Groups, k: int
) -> dict[str, Any]:
    """maj@k: the commonest answer of k samples (the first of equally common ones) is correct.

    Of more than k samples, the mean over every choice of k, or over many that are drawn.
    """
    found: list[float | None] = []
    for group in groups:
        if any(hits[i] is None for i in group):
            found.append(None)
            continue
        read = [samples[i]["read"] for i in group]
        given = [None if answer is None else answers.normalise(answer) for answer in read]
        votes = [_vote(given, chosen) for chosen in _choices(len(group), k)]
        found.append(math.fsum(0.0 if w is None else hits[group[w]] or 0.0 for w in votes) / len(votes))
    return _mean(f"maj@{k}", *_each(found))


def _vote(given: Sequence[str | None], chosen: Sequence[int]) -> int | None:
    """The place of the commonest answer among the chosen; None where none of them gives any."""
    votes = Counter(given[i] for i in chosen if given[i] is not None)
    return given.index(votes.most_common(1)[0][0], chosen[0]) if votes else None


def _choices(n: int, k: int) -> list[tuple[int, ...]]:
    if math.comb(n, k) <= SUBSETS:
        return list(itertools.combinations(range(n), k))
    rng = random.Random(f"{n} {k}")
    return [tuple(sorted(rng.sample(range(n), k))) for _ in range(SUBSETS)]


def rounded(value: Any) -> Any:
    """A figure, or a table of them, to six decimals."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return round(value, 6) if isinstance(value, float) else value
