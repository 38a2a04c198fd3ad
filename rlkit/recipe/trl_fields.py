"""The fields of TRL's configurations, read from TRL's source.

Importing GRPOConfig takes seconds and torch; a recipe is checked without either. And TRL takes values
without a word that it ignores or trips over hours later: what its trainer compares a field with
says which values it knows.
"""

import ast
import functools
import importlib.util
import math
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rlkit import names

CONFIGS = {"sft": "SFTConfig", "grpo": "GRPOConfig", "task": "Seq2SeqTrainingArguments"}
"""The configuration of each kind of stage that trains: TRL's, and for tasks transformers' own."""

_GENERATION = "it belongs in the section generation: generation.FIELD"
_ENGINE = "rlkit drives the engine: generation.engine"
_EVAL = "rlkit measures in eval stages: see the section eval"
ELSEWHERE = {
    **dict.fromkeys(
        ("num_generations", "max_completion_length", "temperature", "top_p", "top_k", "min_p", "repetition_penalty"),
        _GENERATION,
    ),
    **dict.fromkeys(("use_vllm", "use_transformers_continuous_batching", "use_transformers_paged"), _ENGINE),
    **dict.fromkeys(
        ("do_eval", "eval_strategy", "eval_steps", "load_best_model_at_end", "metric_for_best_model", "eval_on_start"),
        _EVAL,
    ),
    "reward_weights": "give each reward its weight: rewards: [{name: {weight: 0.5}}]",
    "output_dir": "the run directory is given on the command line: --run-dir",
    "resume_from_checkpoint": "resume on the command line: --resume",
    "seed": "it is a key of the recipe itself: seed",
    "model_init_kwargs": "it belongs in the section model",
    "trust_remote_code": "rlkit runs no code from model repositories",
    "hub_token": "log in with `hf auth login`; a token in a file leaks",
    "dataset_text_field": "it belongs in the section data",
    "log_completions": "every run writes its completions to the run directory",
    "remove_unused_columns": "the rewards need the columns",
    "push_to_hub": "train first; the run keeps the model, and what is pushed is what was measured",
}
"""Fields that another section of a recipe sets, and where."""

COMPARED = (
    "loss_type",
    "scale_rewards",
    "importance_sampling_level",
    "multi_objective_aggregation",
    "truncation_mode",
    "packing_strategy",
)
"""Fields that TRL takes as any text, and then compares with the few values that it knows."""

HINTS = {("loss_type", "gspo"): "GSPO is importance_sampling_level: sequence with loss_type: grpo"}

LEAST: dict[str, float] = {
    "learning_rate": 0.0,
    "beta": 0.0,
    "epsilon": 0.0,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "num_iterations": 1,
    "epsilon_high": 0.0,
    "steps_per_generation": 1,
    "generation_batch_size": 1,
    "max_steps": 1,
    "num_train_epochs": 0.001,
    "max_length": 1,
    "logging_steps": 0.0,
    "save_steps": 0.0,
    "warmup_steps": 0.0,
    "max_grad_norm": 0.0,
    "weight_decay": 0.0,
}
"""Smallest values that make sense; TRL takes smaller ones too."""


@dataclass(frozen=True)
class TrlField:
    """A field of a configuration: its annotation as written, and the values that it may have, where few."""

    annotation: str
    choices: tuple[str, ...] = ()


@functools.cache
def fields(kind: str) -> dict[str, TrlField]:
    """The fields that the configuration of a stage kind takes, by name; empty where TRL is not there."""
    trl, transformers = _package("trl"), _package("transformers")
    if trl is None or transformers is None:
        return {}
    trainer = trl / "trainer"
    sources = [transformers / "trainer_utils.py", transformers / "training_args.py"]
    if kind == "task":
        sources.append(transformers / "training_args_seq2seq.py")
    else:
        sources += [trainer / "base_config.py", trainer / f"{kind}_config.py"]
    trees = [ast.parse(path.read_text()) for path in sources if path.exists()]
    enums = {
        node.name: tuple(_texts(node))
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef) and _is_enum(node)
    }
    wanted = {"TrainingArguments", "_BaseConfig", CONFIGS[kind]}
    annotations = {
        statement.target.id: ast.unparse(statement.annotation)
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name in wanted
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
    compared = _compared(trainer / f"{kind}_trainer.py", trainer / f"{kind}_config.py")
    return {
        name: TrlField(annotation, compared.get(name) or next((v for e, v in enums.items() if e in annotation), ()))
        for name, annotation in annotations.items()
        if not name.startswith("_")
    }


def problem(kind: str, name: str, value: Any) -> str | None:
    """What is wrong with a field of a stage's `training:`, or None."""
    known = fields(kind)
    if name in ELSEWHERE and not (kind == "task" and ELSEWHERE[name] is _EVAL):  # a task's trainer evaluates itself
        return ELSEWHERE[name].replace("FIELD", name)
    if name.startswith("vllm_") and not name.startswith("vllm_importance_sampling"):
        return _ENGINE
    if not known:
        return None
    if name not in known:
        whose = "transformers" if kind == "task" else "TRL"
        return f"{names.unknown('field', name, known)} ({CONFIGS[kind]} of {whose})"
    if isinstance(value, str) and (name, value) in HINTS:
        return HINTS[name, value]
    field = known[name]
    wrong_type = _type_problem(field.annotation, value)
    if wrong_type:
        return wrong_type
    if field.choices and isinstance(value, str) and value not in field.choices:
        near = names.nearest(value, field.choices)
        return f"{value!r} is not one of {', '.join(field.choices)}" + (f"; did you mean {near!r}?" if near else "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no finite number"
    if (name, value) == ("max_steps", -1):  # TRL's own way to say: as many as the epochs have
        return None
    if name in LEAST and isinstance(value, int | float) and value < LEAST[name]:
        return f"{value} is below {LEAST[name]:g}"
    return None


def _type_problem(annotation: str, value: Any) -> str | None:
    try:
        # The annotations are TRL's own source; names that are not typing's or built in mean no check.
        kind = eval(annotation, {**vars(typing)})
        adapter = TypeAdapter(kind, config=ConfigDict(strict=True))
    except Exception:
        return None
    try:
        adapter.validate_python(value)
    except ValidationError:
        return f"{value!r} is a {type(value).__name__}; it should be {annotation}"
    return None


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _is_enum(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id.endswith("Enum") for base in node.bases)


def _texts(node: ast.AST) -> list[str]:
    """The text values that an enum assigns, or that stand in a comparison."""
    inner = [s.value for s in node.body if isinstance(s, ast.Assign)] if isinstance(node, ast.ClassDef) else [node]
    return [
        leaf.value
        for value in inner
        for leaf in ast.walk(value)
        if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
    ]


def _compared(*paths: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for node in (n for path in paths if path.exists() for n in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr in COMPARED:
            found.setdefault(node.left.attr, []).extend(_texts(node.comparators[0]))
    return {name: tuple(dict.fromkeys(values)) for name, values in found.items() if len(set(values)) > 1}
