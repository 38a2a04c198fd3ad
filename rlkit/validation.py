"""Whether a recipe would run, without torch, a model's weights or a GPU."""

from rlkit import data, hub, leaks, sources
from rlkit.errors import RequestError
from rlkit.recipe import checks
from rlkit.recipe.batch import generation_batch
from rlkit.recipe.load import load
from rlkit.recipe.recipe import Stage
from rlkit.registry import check_gold


def validate(source: str, overrides: tuple[str, ...] = (), plugins: tuple[str, ...] = ()) -> list[str]:
    """Check a recipe against the registry, the gold cases of its rewards, its data and the local files it names.

    Returns:
        Notes: what the stages come to, and what could not be checked.

    Raises:
        RequestError: It would not run; with every problem that was found.
    """
    recipe = load(source, overrides, plugins)
    notes: list[str] = []
    problems: list[str] = []
    for stage in _with_selections(recipe.resolved()):
        if stage.harness:
            notes.append(f"stage {stage.name!r}: lm-evaluation-harness: {', '.join(stage.harness.tasks)}")
            continue
        graded = stage.kind in ("grpo", "eval")
        rewards = [term.reward for term in checks.stack(stage.rewards, recipe._folder)] if graded else []
        for reward in rewards:
            if not reward.gold and not reward.plain:
                notes.append(f"reward {reward.name!r} has no gold cases: nothing proves that it grades right")
            problems += check_gold(reward.unset())
        try:
            has = sources.columns(stage.data, recipe._folder)
        except RequestError as error:
            problems.append(f"stage {stage.name!r}: {error}")
            continue
        if has is None:
            notes.append(f"stage {stage.name!r}: data {stage.data.path} not checked: the model hub cannot be reached")
        else:
            needed = [column for reward in rewards for column in reward.columns]
            said = (
                data.roles(stage.task, stage.data, has)[1]
                if stage.task
                else data.missing(stage.data, has, stage.kind, needed)
            )
            problems += [f"stage {stage.name!r}: {problem}" for problem in said]
        notes.append(f"stage {stage.name!r}: {_sizes(stage)}")
        path = stage.model.path if stage.model else None
        if path and not hub.is_hub_id(path):
            from rlkit import policy

            try:
                policy.exists(path)
            except RequestError as error:
                problems.append(str(error))
    if problems:
        problems = list(dict.fromkeys(problems))
        raise RequestError(f"recipe {source}:\n" + "\n".join(f"  {problem}" for problem in problems))
    return list(dict.fromkeys(notes))


def shared_prompts(source: str, overrides: tuple[str, ...] = (), plugins: tuple[str, ...] = ()) -> list[leaks.Leak]:
    """Which prompts of a recipe's evaluations stand in the data of its training stages (`rlkit.leaks`).

    All rows are looked at, as they were read: those that are too long for `data.max_prompt_length` too. A recipe
    without an eval stage is measured as `rlkit eval` would.

    Returns:
        One object for each evaluation and training stage; none where the recipe has not both as prompts.

    Raises:
        RequestError: Data cannot be loaded.
    """
    recipe = load(source, overrides, plugins)
    stages = [stage for stage in _with_selections(recipe.resolved()) if not stage.harness]
    if recipe.eval and not any(stage.kind == "eval" for stage in stages):
        stages.append(recipe.evaluation())
    if len({stage.kind == "eval" for stage in stages}) == 1:
        return []
    loaded = []
    for stage in stages:
        try:
            loaded.append((stage, sources.load(stage.data, recipe._folder)))
        except RequestError as error:
            raise RequestError(f"stage {stage.name!r}: {error}") from None
    return leaks.find(loaded)


def _with_selections(stages: list[Stage]) -> list[Stage]:
    """The stages, each followed by the one that measures its checkpoints."""
    return [each for stage in stages for each in (stage, stage.measure) if each]


def _sizes(stage: Stage) -> str:
    if stage.kind != "grpo":
        return stage.kind
    completions = generation_batch(stage.training)
    group = stage.generation.num_generations
    return f"grpo, {completions} completions at a time: {completions // group} prompts in groups of {group}"
