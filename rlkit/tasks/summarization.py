"""Summarization: a long text becomes a short one."""

import functools
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from rlkit.tasks.sentences import sentences
from rlkit.tasks.seq2seq import Seq2Seq
from rlkit.tasks.task import Example, Role

FIGURES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class Summarization(Seq2Seq):
    """What does the text say, in short? (CNN/DailyMail, XSum, SAMSum, SciTLDR.)

    A summary has one sentence a line, which is what rougeLsum compares: the references and what the classic pipeline
    writes are cut so, and the prompt asks for it.
    """

    name: ClassVar[str] = "summarization"
    metric: ClassVar[str] = "rougeLsum"
    roles: ClassVar[dict[str, Role]] = {
        "document": Role(("document", "article", "text", "source", "dialogue", "review_body")),
        "summary": Role(("summary", "highlights", "target", "review_title")),
    }
    reward: ClassVar[tuple[str, dict[str, Any]]] = ("rouge", {"variant": "rougeLsum", "stemmer": True})
    requires: ClassVar[tuple[str, ...]] = ("rouge_score",)

    instruction: str = "Summarize the text in few words. Answer with the summary and nothing else, one sentence a line."
    """What the prompt says before the text."""
    max_source_length: int = Field(default=1024, ge=2)
    """Tokens of the text that is read; longer ones are cut."""
    lead: int = Field(default=3, ge=1)
    """Sentences of the baseline."""

    def read(self, example: Example) -> Example | str:
        """The document as one text, and its summaries as a list: the column may hold one, or several to choose from."""
        document, summary = example.get("document"), example.get("summary")
        if isinstance(document, list):
            document = " ".join(map(str, document))
        if not isinstance(document, str) or not document.strip():
            return "without a document"
        listed = summary if isinstance(summary, list) else [summary]
        texts = ["\n".join(sentences(text)) for text in listed if isinstance(text, str) and text.strip()]
        if not texts:
            return "without a summary"
        counted = [text for text in texts if re.search(r"[a-z0-9]", text.lower())]
        if not counted:
            return "whose summary has none of the letters a to z, the only ones that ROUGE counts"
        return {"document": document.strip(), "summary": counted}

    def pair(self, example: Example) -> tuple[str, str]:
        """The document, and the first summary without line breaks."""
        return example["document"], example["summary"][0].replace("\n", " ")

    def written(self, text: str) -> str:
        """One sentence a line."""
        return "\n".join(sentences(text))

    def target(self, example: Example) -> str:
        """The first summary, one sentence a line."""
        return example["summary"][0]

    def columns(self, example: Example) -> Example:
        """All summaries: the best counts."""
        return {"answer": example["summary"]}

    def measure(self, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """Means of ROUGE's F-measures, from 0 to 1, as rouge_score counts them with its stemmer.

        Of several summaries each figure takes the best.
        """
        rows = self._rouge(FIGURES, predictions, examples)
        return {name: sum(row[name].fmeasure for row in rows) / max(len(rows), 1) for name in FIGURES}

    def scores(self, predictions: Sequence[Any], examples: Sequence[Example]) -> list[float]:
        """rougeLsum of each."""
        return [row[self.metric].fmeasure for row in self._rouge((self.metric,), predictions, examples)]

    def baseline(self, training: Sequence[Example], examples: Sequence[Example]) -> tuple[str, list[str]]:
        """The document's first sentences."""
        return f"lead-{self.lead}", ["\n".join(sentences(each["document"])[: self.lead]) for each in examples]

    def _rouge(self, names: Sequence[str], predictions: Sequence[Any], examples: Sequence[Example]) -> list[Any]:
        scorer = _scorer(tuple(names))
        return [scorer.score_multi(e["summary"], text) for text, e in zip(predictions, examples, strict=True)]


@functools.cache
def _scorer(names: tuple[str, ...]) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(names), use_stemmer=True)
