"""The tokenizer that a policy reads and writes with, and room in the model for the tokens that it added."""

from pathlib import Path
from typing import Any

from rlkit.errors import RequestError
from rlkit.policy import location
from rlkit.recipe.model import ModelSection
from rlkit.templates import CHATML


def load_tokenizer(section: ModelSection) -> Any:
    """The tokenizer of a model, set to pad on the left, as generation needs, with the chat template that it is given.

    ChatML's two tokens are added where the vocabulary lacks them, and the end of a turn ends a completion.

    Raises:
        RequestError: There is none, or no such template.
    """
    import transformers

    path = section.path or ""
    bare = location.is_adapter(path) and not (Path(path).expanduser() / "tokenizer_config.json").exists()
    source = location.base(path)[0] if bare else path
    revision = section.revision if source == path else None
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision, padding_side="left")
    except Exception as error:
        raise RequestError(f"model {path}: it has no tokenizer that loads: {str(error).splitlines()[0]}") from error
    if section.chat_template == "chatml":
        tokenizer.chat_template = CHATML
        tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]})
    elif section.chat_template:
        if not Path(section.chat_template).is_file():
            raise RequestError(f"model.chat_template {section.chat_template!r}: neither chatml nor a file")
        tokenizer.chat_template = Path(section.chat_template).read_text()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def fit(model: Any, tokenizer: Any, section: ModelSection) -> int:
    """Make room for tokens that a chat template added, and end completions with its end token; returns how many."""
    more = max(0, len(tokenizer) - model.get_input_embeddings().num_embeddings)
    if more:
        model.resize_token_embeddings(len(tokenizer))
    if section.chat_template:
        model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    return more
