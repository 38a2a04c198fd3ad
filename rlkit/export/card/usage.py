"""How to run a model, in commands that can be copied: transformers, PEFT, vLLM, llama.cpp, Ollama."""

import json
import shlex
from typing import Any, NamedTuple

from rlkit.engines.adapters import RANKS
from rlkit.export.card.provenance import Provenance
from rlkit.prompts import system_prompt

BEST = ("Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16", "BF16", "F32")
"""The type of GGUF file that is shown, the first that is there."""
LONG = 1500
"""Characters above which a prompt is no example."""
PLACEHOLDER = "Your question here."


class Way(NamedTuple):
    """One way to run the model."""

    title: str
    language: str
    code: str


def ways(model: Provenance, repo: str) -> list[Way]:
    """Each way in which a model of this kind runs from a repository; none for an adapter whose base is not on the hub.

    Args:
        model: What is known of it.
        repo: The repository, `owner/name`.
    """
    asked = example(model)
    limit = max_tokens(model)
    if model.kind == "gguf":
        return _gguf(model, repo, asked, limit)
    if model.kind == "merged":
        return [_transformers(repo, asked, limit), _vllm(f"vllm serve {repo}", repo, asked, limit)]
    if model.base is None or model.adapter is None:
        return []
    found = [_peft(model, repo, asked, limit)]
    if cannot_serve(model) is None:
        rank = max([model.adapter["r"], *(model.adapter.get("rank_pattern") or {}).values()])
        name = repo.rpartition("/")[2]
        command = (
            f"vllm serve {model.base} --enable-lora --max-lora-rank {next(r for r in RANKS if r >= rank)} "
            f"--lora-modules {name}={repo}"
        )
        found.append(_vllm(command, name, asked, limit))
    return found


def cannot_serve(model: Provenance) -> str | None:
    """Why vLLM does not take an adapter as it is, as half a sentence; None: it does, or it is no adapter."""
    config = model.adapter
    if config is None:
        return None
    if config.get("peft_type") != "LORA":
        return f"it is of type {config.get('peft_type')}, not LoRA"
    for field, plain in (("use_dora", False), ("modules_to_save", None), ("bias", "none")):
        if (config.get(field) or plain) != plain:
            return f"it has {field}: {config[field]}"
    rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    return f"its rank is {rank}, and vLLM takes {RANKS[-1]} at the most" if rank > RANKS[-1] else None


def example(model: Provenance) -> Any:
    """A prompt as the model knows them: the first that it was measured on, where that is short; text or messages."""
    for sample in model.samples(1):
        if len(json.dumps(sample["prompt"])) <= LONG:
            return sample["prompt"]
    system = system_of(model)
    if not model.has_chat_template:
        return f"{system}\n\n{PLACEHOLDER}" if system else PLACEHOLDER
    asked = [{"role": "user", "content": PLACEHOLDER}]
    return [{"role": "system", "content": system}, *asked] if system else asked


def system_of(model: Provenance) -> str | None:
    """The system prompt that the model was last trained with."""
    return system_prompt(model.trained[-1].stage.data.system) if model.trained else None


def max_tokens(model: Provenance) -> int:
    """Tokens of an answer at the most, as in training."""
    lengths = [done.stage.generation.max_completion_length for done in model.stages if done.stage.kind != "sft"]
    return lengths[-1] if lengths else 256


def best(model: Provenance) -> str:
    """The type of the GGUF file that commands name."""
    files = model.gguf
    return next((kind for kind in BEST if kind in files), next(iter(files), BEST[0]))


def _transformers(repo: str, asked: Any, limit: int) -> Way:
    code = f'''from transformers import pipeline

generate = pipeline("text-generation", model="{repo}", dtype="auto")
{_assigned(asked)}
made = generate({_name(asked)}, max_new_tokens={limit}, do_sample=False, return_full_text=False)
print(made[0]["generated_text"])'''
    return Way("transformers", "python", code)


def _peft(model: Provenance, repo: str, asked: Any, limit: int) -> Way:
    tokenizer = repo if (model.folder / "tokenizer_config.json").is_file() else model.base
    encoded = (
        'tokenizer(prompt, return_tensors="pt")'
        if isinstance(asked, str)
        else "tokenizer.apply_chat_template(\n"
        '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"\n)'
    )
    code = f'''from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("{repo}", dtype="auto")
tokenizer = AutoTokenizer.from_pretrained("{tokenizer}")
{_assigned(asked)}
inputs = {encoded}
made = model.generate(**inputs, max_new_tokens={limit}, do_sample=False)
print(tokenizer.decode(made[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))'''
    return Way("transformers and PEFT", "python", code)


def _vllm(command: str, served: str, asked: Any, limit: int) -> Way:
    body = {"model": served, _name(asked): asked, "max_tokens": limit, "temperature": 0}
    path = "completions" if isinstance(asked, str) else "chat/completions"
    code = (
        f"{command}\n"
        f"curl http://localhost:8000/v1/{path} -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    )
    return Way("vLLM, and a request to it from another shell", "sh", code)


def _gguf(model: Provenance, repo: str, asked: Any, limit: int) -> list[Way]:
    kind = best(model)
    file = model.gguf.get(kind)
    name = file.name if file else f"*{kind}.gguf"
    text = isinstance(asked, str)
    call, answer = ("create_completion", '["text"]') if text else ("create_chat_completion", '["message"]["content"]')
    code = f'''from llama_cpp import Llama

model = Llama.from_pretrained("{repo}", filename="{name}", n_ctx=0, verbose=False)
{_assigned(asked)}
made = model.{call}({_name(asked)}, max_tokens={limit}, temperature=0)
print(made["choices"][0]{answer})'''
    return [
        Way("llama.cpp, as a server with a page to chat on", "sh", f"llama-server -hf {repo}:{kind}"),
        Way("Ollama", "sh", f"ollama run hf.co/{repo}:{kind}"),
        Way("llama-cpp-python", "python", code),
    ]


def _name(asked: Any) -> str:
    return "prompt" if isinstance(asked, str) else "messages"


def _assigned(asked: Any) -> str:
    """The prompt as a line of Python."""
    if isinstance(asked, str):
        return f"prompt = {asked!r}"
    lines = ",\n".join(f"    {message!r}" for message in asked)
    return f"messages = [\n{lines},\n]"
