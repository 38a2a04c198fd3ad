"""Translation: a text in one language becomes its like in another."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from rlkit.tasks.seq2seq import Seq2Seq
from rlkit.tasks.task import Example, Role

LANGUAGES = {
    "ar": "Arabic",
    "cs": "Czech",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""What a prompt calls a language; others by their code."""


class Translation(Seq2Seq):
    """What is the text in another language? (WMT, OPUS, FLORES: a column `translation` of {"en": ..., "fr": ...}.)"""

    name: ClassVar[str] = "translation"
    metric: ClassVar[str] = "bleu"
    roles: ClassVar[dict[str, Role]] = {
        "translation": Role(("translation",), optional=True),
        "source": Role(("source", "src"), optional=True),
        "target": Role(("target", "tgt"), optional=True),
    }
    reward: ClassVar[tuple[str, dict[str, Any]]] = ("chrf", {})
    requires: ClassVar[tuple[str, ...]] = ("sacrebleu",)

    source_language: str = "en"
    """The language that is read: its key in the column `translation`, and what the prompt calls it."""
    target_language: str = "fr"
    """The language that is written, likewise."""
    instruction: str = "Translate the text from {source} to {target}. Answer with the translation and nothing else."
    """What the prompt says before the text; {source} and {target} stand for the languages."""
    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    """How BLEU cuts words: Chinese needs zh, other languages without spaces char."""

    def read(self, example: Example) -> Example | str:
        """Source and target as texts, from the column `translation` or from two columns."""
        both = example.get("translation")
        codes = ("source", "target")
        if both is not None:
            if not isinstance(both, dict):
                return 'whose translation is no {"en": ..., "fr": ...}'
            codes, example = (self.source_language, self.target_language), both
        for code in codes:
            if not isinstance(text := example.get(code), str) or not text.strip():
                return f"without a text {code!r}"
        return {"source": example[codes[0]].strip(), "target": example[codes[1]].strip()}

    def pair(self, example: Example) -> tuple[str, str]:
        """Source and target."""
        return example["source"], example["target"]

    def prompt(self, example: Example) -> str:
        """The instruction with the languages, then the text."""
        asked = self.instruction
        for mark, code in (("{source}", self.source_language), ("{target}", self.target_language)):
            asked = asked.replace(mark, LANGUAGES.get(code, code))
        return f"{asked}\n\nText: {example['source']}"

    def measure(self, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """BLEU and chrF of the corpus, from 0 to 100, as sacrebleu counts them."""
        import sacrebleu

        given, golds = list(predictions), [[example["target"] for example in examples]]
        bleu = sacrebleu.corpus_bleu(given, golds, tokenize=self.tokenize)
        return {"bleu": bleu.score, "chrf": sacrebleu.corpus_chrf(given, golds).score}

    def baseline(self, training: Sequence[Example], examples: Sequence[Example]) -> tuple[str, list[str]]:
        """The source as it stands: names, numbers and code are the same in many languages."""
        return "source copied", [example["source"] for example in examples]
