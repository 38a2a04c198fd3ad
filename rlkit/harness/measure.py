"""Benchmarks of EleutherAI's lm-evaluation-harness on a model of rlkit, their figures in rlkit's own form.

The harness gets the model that rlkit has loaded, so dtype, 4 bits, revision and paths mean what they mean elsewhere. An
adapter is measured merged, as `rlkit export --to merged` ships it: in the dtype in which its base is kept.
"""

import copy
from importlib import metadata
from pathlib import Path
from typing import Any

from rlkit import policy
from rlkit.errors import RequestError, RunError
from rlkit.export import merged
from rlkit.export.export import DTYPES
from rlkit.harness.figures import measurement
from rlkit.harness.guard import alone, seeded
from rlkit.harness.tasks import first, load
from rlkit.measurement import Measurement
from rlkit.policy import Policy
from rlkit.progress import Progress, hush
from rlkit.recipe.harness import HarnessSection
from rlkit.recipe.model import ModelSection

RESAMPLES = 2_000
"""Of the bootstrap by which lm_eval finds the error of a metric that is no mean, such as F1; in this process."""


def measure(
    model: Policy | ModelSection | str | Path,
    section: HarnessSection,
    progress: Progress | None = None,
    folder: Path | None = None,
    tasks: dict[str, Any] | None = None,
) -> Measurement:
    """Measure a model on tasks of the harness.

    `metrics`: `n`, all documents; then, of groups first, `TASK/METRIC` (`TASK/METRIC/FILTER` where a filter has a name,
    such as gsm8k/exact_match/strict-match), with `_low` and `_high`: the value less and plus 1.96 standard errors of
    lm_eval, kept within 0 and 1 where the metric is a share. That normal approximation is narrow near 0 and 1 and with
    few documents; no interval stands where lm_eval gives no error. `TASK/n` where there are several tasks. `harness`:
    lm_eval's version, and for each task its `version`, `n`, `num_fewshot` and, by metric, `higher_is_better`.

    `samples`: one row a document, with `group` (its number), `task`, `doc_id`, `prompt`, `answer` (the target),
    `completion` (or, where choices are scored, `choices`, the `loglikelihoods` of them, and the likeliest one as
    `completion`), `metrics`, and `correct`, by the task's first metric of 0 and 1 (None: it has none).

    Args:
        model: A folder, a hub id, how to load one, or a model that is loaded, which is left as it was.
        section: The tasks, and how they are asked.
        progress: Where lines for a person go.
        folder: Where `section.include_path` starts from; None: the working directory.
        tasks: From `load`, where they are loaded already: they are good for several models.

    Raises:
        MissingExtraError: lm_eval is not installed.
        RequestError: A task does not exist, its data cannot be had, it runs a model's code, or the model cannot be
            loaded; all that is found out about the tasks before any model is loaded.
        RunError: lm_eval fails over a task.
    """
    progress = progress or Progress(quiet=True)
    hush()
    tasks = tasks or load(section, folder)
    with alone(progress), seeded(section.seed):
        for task in tasks["tasks"].values():
            _set(task, section)
            if section.num_fewshot and task.get_config("num_fewshot") == 0:
                progress.say(
                    f"  {task.task_name}: its file says 0 examples, so num_fewshot {section.num_fewshot} is left"
                )
        version = metadata.version("lm_eval")
        count = len(tasks["tasks"])
        progress.say(f"  lm_eval {version}: {', '.join(section.tasks)} ({count:,} task{'s' if count > 1 else ''})")
        if isinstance(model, Policy):
            loaded, training = _as_shipped(model), model.model.training
        else:
            loaded, training = _load(model, progress), False
        try:
            found = _evaluate(loaded, section, tasks, progress)
        finally:
            loaded.model.train(training)
    members = {name: [task.task_name for task in group.get_all_tasks()] for name, group in tasks["groups"].items()}
    return measurement(found, members, version)


def _set(task: Any, section: HarnessSection) -> None:
    """What the section says of a task; by the rules of `lm_eval.simple_evaluate`."""
    given = task.get_config("num_fewshot")
    if given is None or (section.num_fewshot is not None and given != 0):
        task.set_config(key="num_fewshot", value=section.num_fewshot or 0)
    if section.gen_kwargs and task.get_config("output_type") == "generate_until":
        task.set_config(key="generation_kwargs", value=dict(section.gen_kwargs), update=True)
    task.set_fewshot_seed(seed=1234 if section.seed is None else section.seed)


def _load(model: ModelSection | str | Path, progress: Progress) -> Policy:
    section = model if isinstance(model, ModelSection) else ModelSection(path=str(model))
    path = section.path or ""
    policy.exists(path, section.revision)
    if not policy.is_adapter(path):
        loaded = policy.load(section, train=False)
        for note in loaded.notes:
            progress.say(f"  {note}")
        return loaded
    kept = merged.stored_dtype(path)
    kept = kept if kept in DTYPES else "bfloat16"
    whole = {"load_in_4bit": False, "backend": "peft", "fast_inference": False}
    loaded = _as_shipped(policy.load(section.model_copy(update={**whole, "dtype": kept}), train=False), own=True)
    dtype, note = policy.choose_dtype(section.dtype, frozen=True)
    for parameter in loaded.model.parameters():  # buffers, such as those of positions, stay as exact as they are
        parameter.data = parameter.data.to(dtype)
    progress.say(f"  the adapter is merged into {loaded.base or 'its base'} in {kept}, as it is exported; {note}")
    return loaded


def _as_shipped(loaded: Policy, own: bool = False) -> Policy:
    """A policy without an adapter: the policy itself, or its adapter merged; into a copy unless it is ours."""
    if not hasattr(loaded.model, "merge_and_unload"):
        return loaded
    if loaded.in_4bit:
        raise RequestError("a loaded adapter on a base in 4 bits cannot be merged exactly: give its folder instead")
    model = (loaded.model if own else copy.deepcopy(loaded.model)).merge_and_unload()
    ends = loaded.end_ids  # as rlkit.export.merged writes them
    model.config.eos_token_id = loaded.tokenizer.eos_token_id
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    return Policy(model, loaded.tokenizer, loaded.notes, loaded.base, loaded.revision)


def _evaluate(loaded: Policy, section: HarnessSection, tasks: dict[str, Any], progress: Progress) -> dict[str, Any]:
    import lm_eval

    chat = section.apply_chat_template
    if chat and not loaded.tokenizer.chat_template:
        raise RequestError("harness.apply_chat_template: the tokenizer has no chat template; leave it out, or false")
    asked: dict[str, Any] = {"system_instruction": section.system_instruction, "fewshot_as_multiturn": True}
    asked["apply_chat_template"] = bool(loaded.tokenizer.chat_template) if chat is None else chat
    model = _wrapped(loaded, section, progress)
    try:
        found = lm_eval.evaluate(model, tasks, limit=section.limit, bootstrap_iters=RESAMPLES, **asked)
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        raise RunError(f"lm_eval fails over {', '.join(section.tasks)}: {first(error)}") from error
    return found


def _wrapped(loaded: Policy, section: HarnessSection, progress: Progress) -> Any:
    """The policy as lm_eval's model, which tells how far it is in rlkit's way."""
    from lm_eval.models.huggingface import HFLM

    class Model(HFLM):
        def _told(self, label: str, requests: list[Any], method: Any) -> Any:
            done, count = 0, progress.count(label, len(requests))

            def add_partial(*_: Any) -> None:  # lm_eval tells its cache of every answer that it has
                nonlocal done
                done += 1
                count(min(done, len(requests)))

            self.cache_hook = type("Hook", (), {"add_partial": staticmethod(add_partial)})()
            return method(requests, disable_tqdm=True)

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return self._told("choices scored", requests, super().loglikelihood)

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return self._told("texts scored", requests, super().loglikelihood_rolling)

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
            return self._told("completions", requests, super().generate_until)

        def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, override_bs: Any = None) -> Any:
            return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)

    return Model(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=section.batch_size)
