"""The head of a card, which the Hub reads: base, licence, library, datasets, tags, and what was measured."""

from pathlib import Path
from typing import Any

from rlkit.export.card import scrub
from rlkit.export.card.provenance import Done, Provenance, is_on_hub

LIBRARY = {"adapter": "peft", "merged": "transformers", "gguf": "llama.cpp"}
RELATION = {"adapter": "adapter", "merged": "finetune", "gguf": "quantized"}
LICENCE = ("license", "license_name", "license_link")


def of(model: Provenance, name: str) -> dict[str, Any]:
    """The fields of the head, in order; what is not known is not there.

    Args:
        model: What is known.
        name: What the Hub's result lists call the model.
    """
    head: dict[str, Any] = {}
    if model.base:
        head |= {"base_model": model.base, "base_model_relation": RELATION[model.kind]}
    head |= licence(model)
    head |= {"library_name": LIBRARY[model.kind], "pipeline_tag": "text-generation"}
    if found := datasets(model):
        head["datasets"] = found
    head["tags"] = tags(model)
    if results := index(model, name):
        head["model-index"] = results
    return head


def licence(model: Provenance) -> dict[str, Any]:
    """What the card of the base, in its folder or the cache, says of its licence; empty where that is not known."""
    for base in dict.fromkeys(filter(None, (model.base, model.origin))):
        said = _head(_readme(base, model.revision if base == model.base else None))
        found = {key: said[key] for key in LICENCE if said.get(key)}
        link = str(found.get("license_link", ""))
        if link and "://" not in link:  # a file of the base's repository
            found.pop("license_link")
            if is_on_hub(base):
                found["license_link"] = f"https://huggingface.co/{base}/blob/main/{link.removeprefix('./')}"
        if "license" in found:
            return found
    return {}


def datasets(model: Provenance) -> list[str]:
    """Ids on the hub of what the model was trained on."""
    paths = (done.stage.data.path for done in model.trained)
    return list(dict.fromkeys(path for path in paths if path and is_dataset(path)))


def is_dataset(path: str) -> bool:
    """Whether data lies on the hub: not in a file, and not made by a Python generator."""
    return is_on_hub(path) and ("/" in path or "." not in path)


def tags(model: Provenance) -> list[str]:
    """What the Hub lists the model under."""
    found = ["rlkit"]
    if model.trained:
        found += ["trl", *(done.stage.kind for done in reversed(model.trained))]
    if is_lora(model):
        found.append("lora")
    if model.kind == "gguf":
        found.append("gguf")
    return list(dict.fromkeys(found))


def is_lora(model: Provenance) -> bool:
    """Whether an adapter of low rank was trained."""
    if model.adapter:
        return model.adapter.get("peft_type") == "LORA"
    return any(done.stage.lora for done in model.trained)


def index(model: Provenance, name: str) -> list[dict[str, Any]]:
    """The Hub's `model-index`: each figure with an interval that was measured of this very model."""
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = []
    before = ", before the conversion to GGUF" if model.kind == "gguf" else ""
    for done in model.measured:
        if not done.own:
            continue
        for metric in figures(done):
            if done.metrics[metric] is None:
                continue
            data = done.stage.data
            path = data.path or "unknown"
            results.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=path if is_dataset(path) else "other",
                    dataset_name=data_name(done),
                    dataset_config=data.name,
                    dataset_split=data.split if is_dataset(path) else None,
                    dataset_revision=data.revision,
                    dataset_args=scrub.settings(data.args) or None,
                    metric_type=metric,
                    metric_value=done.metrics[metric],
                    metric_name=f"{metric} ({sampling(done)}{before})",
                    metric_args={
                        "n": done.metrics.get("n"),
                        "interval_95": [done.metrics.get(f"{metric}_{end}") for end in ("low", "high")],
                    },
                )
            )
    return eval_results_to_model_index(name, results) if results else []


def figures(done: Done) -> list[str]:
    """The names of what was measured with an interval, in order."""
    return [name for name in done.metrics if f"{name}_low" in done.metrics or f"{name}_none" in done.metrics]


def data_name(done: Done) -> str:
    """What a stage's data is called: an id on the hub, a generator, or the name of a local file."""
    path = done.stage.data.path or "unknown"
    return scrub.base_name(path) if scrub.is_path(path) or ("/" in path and not is_dataset(path)) else path


def data_words(done: Done) -> str:
    """What a stage's data is called, and which part of it: configuration and split, or a generator's arguments."""
    data = done.stage.data
    parts = [f"{key}={value}" for key, value in scrub.settings(data.args).items()]
    if not parts:
        parts = [part for part in (data.name, data.split if data.split != "train" or data.name else None) if part]
    return data_name(done) + (f" ({', '.join(parts)})" if parts else "")


def sampling(done: Done) -> str:
    """How the completions of a measurement were drawn, in words."""
    section, per_prompt = done.stage.eval, done.stage.eval.samples
    temperature = section.temperature or (done.stage.generation.temperature if per_prompt > 1 else 0.0)
    drawn = f"temperature {temperature:g}" if temperature else "greedy"
    return drawn if per_prompt == 1 else f"{per_prompt} samples a prompt, {drawn}"


def _readme(base: str, revision: str | None) -> Path | None:
    """The card of a base, where it is on this machine: nothing is downloaded."""
    if not is_on_hub(base):
        file = Path(base) / "README.md"
        return file if file.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(base, "README.md", revision=revision)
    return Path(cached) if isinstance(cached, str) else None


def _head(readme: Path | None) -> dict[str, Any]:
    import yaml
    from huggingface_hub.repocard import metadata_load

    try:
        return (metadata_load(readme) or {}) if readme else {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}
