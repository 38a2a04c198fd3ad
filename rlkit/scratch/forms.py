"""The usual form of each tokenization algorithm: what happens to a text before its model, and after."""

from typing import Any

from rlkit.recipe.scratch import TokenizerSection
from rlkit.scratch.special import Special

CONTINUES = "##"


def blank(section: TokenizerSection, special: Special) -> Any:
    """A `tokenizers.Tokenizer` of the section's algorithm that is not trained yet."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    unknown = special.named.get("unk_token")
    if section.algorithm == "byte-bpe":
        tokenizer = Tokenizer(models.BPE())
        digits = [pre_tokenizers.Split(Regex(r"\d"), "isolated")] if section.split_digits is not False else []
        steps = [*digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        tokenizer.decoder = decoders.ByteLevel()
    elif section.algorithm == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown, continuing_subword_prefix=CONTINUES))
        steps = [pre_tokenizers.BertPreTokenizer()]
        tokenizer.decoder = decoders.WordPiece(prefix=CONTINUES)
    elif section.algorithm == "bpe":
        # A mark before each word and none after it: with "</w>" the ids would differ from run to run.
        tokenizer = Tokenizer(models.BPE(unk_token=unknown))
        steps = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always", split=False)]
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always", split=False)
    else:
        tokenizer = Tokenizer(models.Unigram())
        steps = [pre_tokenizers.Metaspace(prepend_scheme="always")]
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    if section.split_digits and section.algorithm != "byte-bpe":
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    normalizer = _normalizer(section)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return tokenizer


def _normalizer(section: TokenizerSection) -> Any:
    from tokenizers import Regex, normalizers

    asked = section.normalization or ("nmt_nfkc" if section.algorithm == "unigram" else "none")
    steps: list[Any] = []
    if asked == "nmt_nfkc":
        runs = normalizers.Replace(Regex(" {2,}"), " ")
        steps = [normalizers.Nmt(), normalizers.NFKC(), runs, normalizers.Strip()]
    elif asked != "none":
        steps = [getattr(normalizers, asked.upper())()]
    if section.algorithm == "wordpiece":
        steps.append(normalizers.BertNormalizer(lowercase=section.lowercase))
    elif section.lowercase:
        steps.append(normalizers.Lowercase())
    if not steps:
        return None
    return steps[0] if len(steps) == 1 else normalizers.Sequence(steps)


def post_processor(special: Special, ids: dict[str, int]) -> Any:
    """What puts special tokens around one text or two, or None.

    Args:
        ids: The vocabulary.
    """
    from tokenizers import processors

    if special.post_processor == "none":
        return None
    named = special.named
    if special.post_processor == "t5":
        end = named["eos_token"]
        used, single, pair = [end], f"$A:0 {end}:0", f"$A:0 {end}:0 $B:1 {end}:1"
    else:
        start, end = named["cls_token"], named["sep_token"]
        between = f"{end}:0 {end}:1" if special.post_processor == "roberta" else f"{end}:0"
        used, single, pair = [start, end], f"{start}:0 $A:0 {end}:0", f"{start}:0 $A:0 {between} $B:1 {end}:1"
    return processors.TemplateProcessing(
        single=single.split(), pair=pair.split(), special_tokens=[(text, ids[text]) for text in used]
    )
