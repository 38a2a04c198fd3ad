"""How a GGUF file is run: Ollama's Modelfile beside it, and llama.cpp's command line."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST = 8192
"""Most tokens of context that the Modelfile asks for: its memory is taken from the start."""
ORDER = ("q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_1", "q5_0", "q4_k_m", "q4_k_s", "iq4_nl", "iq4_xs", "q4_1", "q4_0")
"""Types from the one nearest to the trained model on, of those that are worth their size."""
WHOLE = ("bf16", "f16", "f32")
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Wrapping:
    """A chat template that puts text before and after each message, and does nothing else."""

    head: str
    """Before everything: the token for the beginning, or nothing."""
    around: dict[str, tuple[str, str]]
    """Role -> what comes before and after a message."""
    prompt: str
    """What asks for an answer."""

    def render(self, messages: Messages) -> str:
        """The prompt that asks for the answer to some messages."""
        parts = [f"{self.around[m['role']][0]}{m['content']}{self.around[m['role']][1]}" for m in messages]
        return self.head + "".join(parts) + self.prompt

    def ollama(self, head: bool) -> str:
        """The same in Ollama's template language, with or without the head."""
        branches = [
            f'{{{{ {"else if" if n else "if"} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
            for n, (role, (before, after)) in enumerate(self.around.items())
        ]
        start = self.head if head else ""
        return f"{start}{{{{ range .Messages }}}}{''.join(branches)}{{{{ end }}}}{{{{ end }}}}{self.prompt}"


def wrapping(render: Callable[[Messages, bool], str], bos: str | None) -> Wrapping | None:
    """A chat template as text before and after each message; None: it does more than that.

    Args:
        render: The template: messages, and whether to ask for an answer.
        bos: The token for the beginning, which may come first.
    """
    try:
        asked, bare = render([_user("QXU")], True), render([_user("QXU")], False)
        chat = [{"role": "system", "content": "QXS"}, _user("QXU"), _assistant("QXA"), _user("QXV")]
        start, between, back, again, _ = _cut(render(chat, True), ("QXS", "QXU", "QXA", "QXV"))
        before, after = _cut(bare, ("QXU",))
        head = bos if bos and before.startswith(bos) else ""
        user, prompt = before.removeprefix(head), asked.removeprefix(bare)
        for whole, part in ((start, head), (back, after)):
            if not whole.startswith(part):
                return None
        if not asked.startswith(bare) or not (between.endswith(user) and again.endswith(user)):
            return None
        around = {
            "system": (start.removeprefix(head), between.removesuffix(user)),
            "user": (user, after),
            "assistant": (back.removeprefix(after), again.removesuffix(user)),
        }
        found = Wrapping(head, around, prompt)
        odd = [{"role": "system", "content": "  Be brief.\n"}, _user(" 1 + 1\n\n"), _assistant(" 2 "), _user("\tWhy? ")]
        for messages in (chat, odd, odd[1:], odd[1:2], [*odd, _assistant("So."), _user("<b>No</b>")]):
            if found.render(messages) != render(messages, True):
                return None
    except Exception:  # a template may refuse a role or an order: then it does more than this
        return None
    return found


def write(folder: Path, name: str, model: Path, types: Sequence[str], system: str | None = None) -> Path:
    """Leave a Modelfile for Ollama beside the GGUF files.

    It has a TEMPLATE where the chat template can be said in Ollama's language with the same outcome, checked on several
    conversations; else it says that there is none.

    Args:
        folder: Where the GGUF files are.
        name: What they are called.
        model: The model that they were made of, for its tokenizer and its length.
        types: Types that are there.
        system: The system prompt that the model was trained with.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    lines = ["# ollama create NAME -f Modelfile", f"FROM ./{file_name(name, best(types))}"]
    template = _template(tokenizer)
    if template:
        lines.append(f'TEMPLATE """{template}"""')
    else:
        lines.append(
            "# No TEMPLATE: the chat template of this model, if it has one, is in the GGUF file, and cannot be"
        )
        lines.append("# said in Ollama's own language with the same outcome. llama.cpp follows it: llama-cli --jinja.")
    if system and '"""' not in system:
        lines.append(f'SYSTEM """{system}"""')
    config = json.loads((model / "config.json").read_text())
    length = config.get("max_position_embeddings") or config.get("text_config", {}).get("max_position_embeddings")
    if length:
        lines.append(f"PARAMETER num_ctx {min(length, LONGEST)}")
    lines += [f'PARAMETER stop "{stop}"' for stop in stops(model, tokenizer) if '"' not in stop and "\n" not in stop]
    file = folder / "Modelfile"
    file.write_text("\n".join(lines) + "\n")
    return file


def stops(model: Path, tokenizer: Any) -> list[str]:
    """The tokens that end an answer, as text."""
    ids = [tokenizer.eos_token_id]
    for name in ("config.json", "generation_config.json"):
        file = model / name
        value = json.loads(file.read_text()).get("eos_token_id") if file.is_file() else None
        ids += value if isinstance(value, list) else [value]
    found = [tokenizer.convert_ids_to_tokens(n) for n in dict.fromkeys(ids) if n is not None]
    return [text for text in found if text]


def best(types: Sequence[str]) -> str:
    """Of several types, the one to begin with: near to the trained model, and small for that."""
    return next((kind for kind in (*ORDER, *WHOLE) if kind in types), types[0])


def file_name(name: str, kind: str) -> str:
    """What a file of a type is called."""
    return f"{name}-{kind.upper()}.gguf"


def command(file: Path, chat: bool = True) -> str:
    """llama.cpp's command line for a file.

    Args:
        file: The GGUF file.
        chat: Whether it has a chat template.
    """
    quoted = shlex.quote(str(file))
    return f"llama-cli -m {quoted} --jinja" if chat else f"llama-completion -m {quoted} -no-cnv -p 'Once upon a time'"


def _template(tokenizer: Any) -> str | None:
    """The chat template in Ollama's language; None: there is none, or it cannot be said there."""
    if not tokenizer.chat_template:
        return None

    def render(messages: Messages, ask: bool) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))

    found = wrapping(render, tokenizer.bos_token)
    if found is None:
        return None
    # llama.cpp puts that token first itself where the tokenizer does.
    adds = tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    texts = [found.head, found.prompt, *(text for pair in found.around.values() for text in pair)]
    return None if any("{{" in text or '"""' in text for text in texts) else found.ollama(head=not adds)


def _cut(text: str, marks: tuple[str, ...]) -> list[str]:
    parts = []
    for mark in marks:
        part, found, text = text.partition(mark)
        if not found or mark in text:
            raise ValueError(mark)
        parts.append(part)
    return [*parts, text]


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
