"""The sentences of a card: what the model is, how it was made, how prompts look, what its limits are."""

from rlkit.export.card import figures, metadata, usage
from rlkit.export.card.provenance import Done, Provenance
from rlkit.progress import duration

FORMATS = {
    "xml": "An answer has its reasoning between `<reasoning>` and `</reasoning>`, and the result between `<answer>` "
    "and `</answer>`.",
    "think": "An answer has its thoughts between `<think>` and `</think>`, and the result between `<answer>` and "
    "`</answer>`.",
}
"""What the system prompts that go by a name ask for."""


def intro(model: Provenance) -> str:
    """What the files are, in a sentence or two."""
    base = f"[{model.base}](https://huggingface.co/{model.base})" if model.base else ""
    if model.base and model.revision:
        base += f" (revision `{model.revision}`)"
    if model.kind == "adapter" and model.adapter:
        rank = f", rank {model.adapter['r']}" if "r" in model.adapter else ""
        what = f"{'An adapter' if not metadata.is_lora(model) else 'A LoRA adapter'} (PEFT{rank})"
        said = f"{what} for {base}." if base else f"{what} for a base model that lay in a local folder."
    else:
        dtype = f" in {model.artifact.dtype}" if model.artifact else ""
        kinds = ", ".join(model.gguf)
        what = f"GGUF files ({kinds}) of a model" if model.kind == "gguf" else f"A whole model{dtype},"
        if base:
            said = f"{what} fine-tuned from {base}."
        elif model.from_scratch:
            said = f"{what} trained from random weights."
        else:
            said = f"{what} fine-tuned from weights whose place on the Hub is not known."
    if model.checkpoint is not None:
        said += f" It is a checkpoint: training went on after step {model.checkpoint}, or was meant to."
    return said + " Made with rlkit; this card was written from the run's own records." * bool(model.stages)


def no_licence(model: Provenance) -> str:
    """Why the card names no licence."""
    if model.from_scratch:
        return "It was trained from random weights, and nobody has chosen a licence for it yet."
    return f"The licence of {model.base or 'the base model'} was not found on the machine that wrote this card."


def stage(model: Provenance, done: Done) -> str:
    """A training stage in words."""
    stage = done.stage
    rate = stage.training.get("learning_rate")
    steps = done.metrics.get("steps") or (done.rows[-1]["step"] if done.rows else None)
    parts = [f"on {metadata.data_words(done)}"]
    if stage.kind == "sft":
        what = "supervised fine-tuning on demonstrations"
    else:
        what = "GRPO (group relative policy optimisation)"
        drawn = stage.generation
        parts.append(
            f"groups of {drawn.num_generations} completions of at most {drawn.max_completion_length} tokens at "
            f"temperature {drawn.temperature:g}"
        )
    if stage.lora:
        parts.append(f"LoRA of rank {stage.lora.r}" + (", on a base in 4 bits" if model.in_4bit else ""))
    else:
        parts.append("all weights")
    if steps:
        parts.append(f"{steps} steps")
    if isinstance(rate, int | float):
        parts.append(f"learning rate {rate:g}")
    if done.seconds is not None:
        parts.append(duration(done.seconds))
    return f"**{stage.name}**, {what}, from {figures.subject(done)}: {'; '.join(parts)}."


def prompts(model: Provenance, system: str | None) -> str:
    """How a prompt has to look."""
    if not model.trained and not model.has_chat_template:
        return "How prompts were written in training is not recorded."
    chat = model.has_chat_template and (not model.trained or model.trained[-1].stage.data.chat)
    said = (
        "Prompts are conversations, written with the chat template that is part of the files."
        if chat
        else "Prompts are plain text: no chat template is applied."
    )
    if not model.trained:
        return said
    column = model.trained[-1].stage.data.prompt
    if "{" in column:
        said += f" Each was made as `{column}`."
    return said + ("" if system else " There was no system prompt.")


def measured(model: Provenance) -> str:
    """How the table of measurements came about."""
    said = "By rlkit, with 95% intervals in brackets. Nothing else was measured."
    own = any(done.own for done in model.measured)
    if own and model.is_copy:
        said += " Measured was the trained model, from which these files were made."
    if model.in_4bit and model.measured:
        said += " It was measured over its base in 4 bits, as it was trained."
    return said


def compared(model: Provenance) -> str:
    """What the table of comparisons holds."""
    count = model.artifact.prompts if model.artifact else 0
    return (
        f"The files were loaded again and given {count} prompts. `tokens` and `template` count what "
        "comes out otherwise, `greedy` the most likely tokens that do; `logits` is the root mean square difference "
        "relative to the trained model's, `kl` the mean divergence of the next token's probabilities, in nats."
    )


def limits(model: Provenance) -> list[str]:
    """What a reader should not take from the figures."""
    own = [done for done in model.measured if done.own]
    said = []
    if own:
        counts = sorted({done.metrics.get("n") or 0 for done in own})
        said.append(
            f"The figures come from n = {', '.join(map(str, counts))} prompts of {metadata.data_name(own[-1])}; on "
            "other data they will be others."
        )
        if (clipped := own[-1].metrics.get("clipped") or 0) >= 0.01:
            said.append(f"{clipped:.1%} of the measured completions were cut off at {usage.max_tokens(model)} tokens.")
    else:
        said.append("This model was not measured.")
    if any(done.stage.kind == "grpo" for done in model.trained):
        said.append(
            "A model trained under rewards finds what the rewards do not see: read samples, not the reward alone. "
            f"Answers longer than {usage.max_tokens(model)} tokens were not trained."
        )
    failed = {name: n for done in model.trained for name, n in (done.metrics.get("reward_errors") or {}).items()}
    if failed:
        said.append(
            "Rewards that failed in training: " + ", ".join(f"`{k}` {v} times" for k, v in failed.items()) + "."
        )
    if model.kind == "gguf":
        said.append(
            "No figure was measured on the GGUF files themselves. Quantized ones at times answer otherwise than the "
            "trained model; the fewer bits, the more often."
        )
    if model.base:
        said.append(f"What holds for {model.base} (knowledge, languages, biases, licence) holds here.")
    said.append("Nothing was tested for safety.")
    return said


def made_with(model: Provenance) -> list[str]:
    """Versions, hardware and time."""
    known = model.environment
    if not known:
        return []
    packages = [f"{name} {version}" for name, version in (known.get("packages") or {}).items() if version]
    gpus = [f"{gpu['name']} ({gpu['memory_gb']} GB)" for gpu in known.get("gpus") or []]
    processor = f"{known.get('cpu') or 'CPU'}, {known.get('cores')} cores, {known.get('memory_gb')} GB of memory"
    seconds = [done.seconds or 0.0 for done in model.stages]
    return [
        f"Versions: Python {known.get('python')}, {', '.join(packages)}.",
        f"Hardware: {', '.join([*gpus, processor])}.",
        f"Time: {duration(sum(seconds))} in all, measurements included.",
    ]
