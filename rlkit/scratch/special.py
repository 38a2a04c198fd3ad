"""The special tokens and the chat template of a new tokenizer."""

from dataclasses import dataclass
from pathlib import Path

from rlkit import templates
from rlkit.errors import RequestError
from rlkit.recipe.scratch import ADDITIONAL, TokenizerSection

PAD, END = "<|pad|>", "<|end|>"
SENTENCEPIECE = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
USUAL = {
    "byte-bpe": {"pad_token": PAD, "eos_token": END},
    "bpe": SENTENCEPIECE,
    "unigram": SENTENCEPIECE,
    "wordpiece": {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
}
"""In the order of their ids."""
USUAL_POST_PROCESSOR = {"wordpiece": "bert", "unigram": "t5"}


@dataclass
class Special:
    """What a tokenizer has beside its vocabulary."""

    named: dict[str, str]
    """Texts by what transformers calls them, such as pad_token."""
    additional: list[str]
    """Texts of tokens that the recipe adds."""
    roles: list[str]
    """Tokens of the chat template that have no name of their own."""
    chat_template: str | None
    post_processor: str

    @property
    def texts(self) -> list[str]:
        """All of them, in the order of their ids."""
        return list(dict.fromkeys([*self.named.values(), *self.roles, *self.additional]))


def special(section: TokenizerSection) -> Special:
    """The special tokens that a section asks for, with those that its algorithm and its chat template need.

    Raises:
        RequestError: The chat template is no file, or the post-processor wants tokens that there are not.
    """
    given = {name: text for name, text in section.special_tokens.items() if isinstance(text, str)}
    added = [str(text) for text in section.special_tokens.get(ADDITIONAL, [])]
    named, roles = USUAL[section.algorithm] | given, []
    template = chat_template(section.chat_template)
    if template == templates.CHATML:
        named |= {"eos_token": templates.CHATML_END} | given
        roles = [templates.CHATML_START, templates.CHATML_END]
    elif template is None and section.algorithm == "byte-bpe":
        template = templates.one_token_a_role(named["eos_token"])
        roles = [f"<|{role}|>" for role in templates.ROLES]
    around = section.post_processor or USUAL_POST_PROCESSOR.get(section.algorithm, "none")
    if around == "roberta":  # RoBERTa's tokens have two names each
        pairs = (("cls_token", "bos_token"), ("sep_token", "eos_token"))
        for name, other in pairs:
            if name not in named and other in named:
                named[name] = named[other]
            elif other not in named and name in named:
                named[other] = named[name]
    needed = {"none": (), "t5": ("eos_token",)}.get(around, ("cls_token", "sep_token"))
    missing = [name for name in needed if name not in named]
    if missing:
        raise RequestError(
            f"model.from_scratch.tokenizer.post_processor {around} needs {' and '.join(missing)}, which "
            f"{section.algorithm} has none of; name their texts in special_tokens"
        )
    return Special(named, added, roles, template, around)


def chat_template(asked: str | None) -> str | None:
    """The Jinja text of a chat template: chatml, a file, or the text itself.

    Raises:
        RequestError: It is none of these.
    """
    if asked is None:
        return None
    if asked == "chatml":
        return templates.CHATML
    if "{{" in asked or "{%" in asked:
        return asked
    if not Path(asked).expanduser().is_file():
        raise RequestError(
            f"model.from_scratch.tokenizer.chat_template {asked!r}: neither chatml nor a file nor Jinja text"
        )
    return Path(asked).expanduser().read_text()
