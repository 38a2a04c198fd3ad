"""A tokenizer.json said in llama.cpp's words: which of its ways to split a text is the same, which pieces there are."""

import re
from dataclasses import dataclass
from typing import Any

SPACE = "▁"
"""How SentencePiece writes a space."""
BYTE = re.compile(r"<0x[0-9A-F]{2}>")

# What follows are the patterns by which published tokenizers split, in the spelling of their tokenizer.json.
_SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = "|".join(rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}{a}{_LOWER}{b}{_SHORT}?" for a, b in (("*", "+"), ("+", "*")))
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{_SHORT}|{_WORD}|\p{{N}}{{1,3}}|{_REST}"
QWEN2 = rf"{_SHORT}|{_WORD}|\p{{N}}|{_REST}"
GPT4O = rf"{_CASED}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DIGIT = r"\p{N}"
DIGITS = {DIGIT, r"\d", "[0-9]", r"\p{Nd}"}
"""Patterns that keep each digit apart."""
KNOWN = {
    (GPT2,): "gpt-2",
    (DIGIT, GPT2): "smollm",
    (QWEN2,): "qwen2",
    (GPT4O,): "gpt-4o",
}


class Unfit(Exception):
    """A tokenizer that llama.cpp has no equal of; the message says why, as half a sentence."""


@dataclass(frozen=True)
class Piece:
    """A token of a SentencePiece vocabulary."""

    text: str
    score: float
    """The higher, the sooner it is merged."""
    kind: str
    """normal, byte, control, unknown, user (added, not special)."""


def kind(tokenizer: dict[str, Any]) -> str:
    """What a tokenizer.json is to llama.cpp: `bytes` (byte-level BPE), `pieces` (SentencePiece's BPE) or `other`.

    Raises:
        Unfit: llama.cpp has nothing of the sort.
    """
    model = tokenizer["model"]
    if model["type"] in ("WordLevel", "WordPiece"):
        raise Unfit(f"it is of type {model['type']}, without merges, and llama.cpp reads BPE and SentencePiece")
    if model["type"] != "BPE":
        return "other"
    if not model.get("merges"):
        raise Unfit("it has no merges (a token for each character or byte), and llama.cpp refuses such a file")
    if model.get("byte_fallback"):
        return "pieces"
    if any(part["type"] == "ByteLevel" for part in _flat(tokenizer.get("pre_tokenizer"), "pretokenizers")):
        return "bytes"
    raise Unfit("it is a BPE over characters, neither byte-level nor with bytes to fall back on")


def pre_tokenizer(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name of the way in which a byte-level BPE splits a text before it merges.

    Raises:
        Unfit: llama.cpp has none that splits so.
    """
    for part in _flat(tokenizer.get("normalizer"), "normalizers"):
        if part["type"] != "NFC":  # llama.cpp leaves that out for all models, and text mostly is so already
            raise Unfit(f"it rewrites a text first ({part['type']})")
    patterns = _patterns(tokenizer)
    if patterns and patterns[0] in DIGITS:
        patterns = (DIGIT, *patterns[1:])
    if patterns == (LLAMA3,):
        return "llama-bpe" if tokenizer["model"].get("ignore_merges") else "smaug-bpe"
    if patterns in KNOWN:
        return KNOWN[patterns]
    if patterns in ((), (DIGIT,)):
        # SuperBPE splits nothing but digits from the rest and long numbers in threes: the same, where no token
        # holds a digit beside anything else.
        mixed = next((text for text in _texts(tokenizer) if len(text) > 1 and any(c.isnumeric() for c in text)), None)
        if mixed is None:
            return "superbpe"
        raise Unfit(
            f"it splits a text nowhere, and has tokens with digits in them, such as {mixed!r} (there are none where it "
            "was trained with model.from_scratch.tokenizer.split_digits)"
        )
    raise Unfit(f"it splits a text by {' then '.join(repr(pattern) for pattern in patterns)}")


def pieces(tokenizer: dict[str, Any], special: set[str], unknown: str | None) -> dict[int, Piece]:
    """The vocabulary of a BPE with bytes to fall back on, as llama.cpp's SentencePiece model takes it.

    The score of a token is the rank of the merge that makes it, so that the merges come in the same order.

    Args:
        tokenizer: The tokenizer.json.
        special: Texts of the special tokens.
        unknown: Text of the token for what is in no vocabulary.

    Returns:
        Pieces by their id.
    """
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(tokenizer["model"]["merges"]):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        ranks.setdefault(left + right, rank)
    found = {}
    for text, n in tokenizer["model"]["vocab"].items():
        which = "unknown" if text == unknown else "control" if text in special else "normal"
        found[n] = Piece(text, -float(ranks.get(text, 0)), "byte" if BYTE.fullmatch(text) else which)
    for added in tokenizer.get("added_tokens", []):
        text = added["content"]
        if text != unknown:
            control = added["special"] or text in special
            # llama.cpp looks for these in the text as it is.
            shown = text if control else text.replace(SPACE, " ")
            found[added["id"]] = Piece(shown, -1000.0, "control" if control else "user")
    return found


def _flat(part: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    if part is None:
        return []
    return [each for one in part[inner] for each in _flat(one, inner)] if part["type"] == "Sequence" else [part]


def _patterns(tokenizer: dict[str, Any]) -> tuple[str, ...]:
    """The patterns by which it splits, one after the other."""
    found = []
    for part in _flat(tokenizer.get("pre_tokenizer"), "pretokenizers"):
        if part["type"] == "ByteLevel":
            if part.get("add_prefix_space"):
                raise Unfit("it puts a space before every text (add_prefix_space)")
            if part.get("use_regex", True):
                found.append(GPT2)
        elif part["type"] == "Digits":
            found.append(DIGIT if part.get("individual_digits") else DIGIT + "+")
        elif part["type"] == "Split":
            pattern = part["pattern"].get("Regex") or re.escape(part["pattern"].get("String", ""))
            whole = part["behavior"] == "Isolated" or (part["behavior"] == "Removed" and part.get("invert"))
            if not whole:
                raise Unfit(f"it splits a text by {pattern!r} ({part['behavior']})")
            found.append(pattern)
        else:
            raise Unfit(f"it splits a text by {part['type']}")
    return tuple(found)


def _texts(tokenizer: dict[str, Any]) -> list[str]:
    """What the tokens of a byte-level vocabulary stand for; bytes that are no whole character are left out."""
    added = {token["content"] for token in tokenizer.get("added_tokens", [])}
    back = {char: byte for byte, char in _alphabet().items()}
    return [
        bytes(back[char] for char in token).decode(errors="ignore")
        for token in tokenizer["model"]["vocab"]
        if token not in added and all(char in back for char in token)
    ]


def _alphabet() -> dict[int, str]:
    """The character that byte-level BPE writes for each byte: printable ones themselves, the others from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte if byte in printable else 256 + others.index(byte)) for byte in range(256)}
