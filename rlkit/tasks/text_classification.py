"""Text classification: a text, or a pair of texts, has one label, or several."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from rlkit.errors import RequestError
from rlkit.labels import named, one_of
from rlkit.reply import said
from rlkit.tasks.task import Example, Role, Task


class TextClassification(Task):
    """Which label, or which labels, does a text have? (GLUE, intents, topics, sentiment.)"""

    name: ClassVar[str] = "text-classification"
    head: ClassVar[str] = "text-classification"
    metric: ClassVar[str] = "accuracy"
    roles: ClassVar[dict[str, Role]] = {
        "text": Role(("text", "sentence", "sentence1", "premise", "question1")),
        "pair": Role(("text_pair", "sentence2", "hypothesis", "question2"), optional=True),
        "label": Role(("label", "labels", "category", "intent")),
    }
    reward: ClassVar[tuple[str, dict[str, Any]]] = ("label", {"name": "accuracy"})
    requires: ClassVar[tuple[str, ...]] = ("sklearn",)

    labels: list[str] | None = None
    """The labels; by default those of the training data, in the order of the alphabet."""
    multi_label: bool = False
    """A text has any number of labels: the column holds a list. The metric is then the share of exact sets."""
    max_length: int = 128
    """Tokens of a text; longer ones are cut."""
    instruction: str = "Which label fits the text? Answer with one of these labels and nothing else: {labels}."
    """What the prompt says before the text; {labels} stands for the list."""

    def read(self, example: Example) -> Example | str:
        """One label becomes a text, several a sorted list."""
        label = example["label"]
        if self.multi_label:
            if not isinstance(label, list):
                return "whose label is no list, for multi_label"
            return {**example, "label": sorted({str(one) for one in label})}
        if isinstance(label, list):
            return "with a list of labels, where multi_label is false"
        return {**example, "label": str(label)} if str(label).strip() else "without a label"

    def fit(self, examples: Any) -> Self:
        """With the labels that the examples have."""
        if self.labels:
            return self
        found = {label for each in examples["label"] for label in (each if self.multi_label else [each])}
        return self.model_copy(update={"labels": sorted(found)})

    def learned(self) -> dict[str, Any]:
        """The labels."""
        return {"labels": self.labels}

    def recall(self, config: Any) -> dict[str, Any]:
        """The labels, in the order of the model's outputs."""
        return {"labels": [config.id2label[index] for index in sorted(config.id2label)]}

    def config(self) -> dict[str, Any]:
        """The labels, and what kind of loss they ask for."""
        labels = self.labels or []
        if len(labels) < 2 and not self.multi_label:
            raise RequestError(f"task {self.name}: every row has the label {', '.join(labels)}: nothing to tell apart")
        kind = "multi_label_classification" if self.multi_label else "single_label_classification"
        return {
            "num_labels": len(labels),
            "id2label": dict(enumerate(labels)),
            "label2id": {label: index for index, label in enumerate(labels)},
            "problem_type": kind,
        }

    def features(self, examples: Any, tokenizer: Any, training: bool) -> Any:
        """Token ids of the text (and its pair), and the label's number, or a one for each label of several."""
        index = {label: number for number, label in enumerate(self.labels or [])}
        paired = "pair" in examples.column_names

        def encode(batch: Example) -> Example:
            texts = (batch["text"], batch["pair"]) if paired else (batch["text"],)
            made = tokenizer(*texts, truncation=True, max_length=self.max_length)
            if self.multi_label:
                made["labels"] = [[float(label in each) for label in index] for each in batch["label"]]
            else:
                made["labels"] = [index.get(label, -100) for label in batch["label"]]
            return made

        return examples.map(encode, batched=True, remove_columns=examples.column_names)

    def predict(self, outputs: Any, features: Any, examples: Any, tokenizer: Any) -> list[Any]:
        """The likeliest label; of several, each that is likelier than not."""
        labels = self.labels or []
        if self.multi_label:
            return [[label for label, score in zip(labels, row, strict=True) if score > 0] for row in outputs]
        return [labels[row.argmax()] for row in outputs]

    def prompt(self, example: Example) -> str:
        """The instruction with the labels, then the text."""
        asked = self.instruction.replace("{labels}", ", ".join(self.labels or []))
        pair = f"\n\nSecond text: {example['pair']}" if example.get("pair") else ""
        return f"{asked}\n\nText: {example['text']}{pair}"

    def target(self, example: Example) -> str:
        """The label; several with commas between, none as "none"."""
        label = example["label"]
        return label if isinstance(label, str) else ", ".join(label) or "none"

    def columns(self, example: Example) -> Example:
        """The label as `answer`, and the labels that a completion chooses from."""
        return {"answer": example["label"], "labels": self.labels}

    def parse(self, completion: str, example: Example) -> Any:
        """The label that it names, by whatever case and punctuation; the labels, where there may be several."""
        labels = self.labels or []
        return named(said(completion), labels) if self.multi_label else one_of(said(completion), labels)

    def unread(self, example: Example) -> Any:
        """No label."""
        return [] if self.multi_label else ""

    def measure(self, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """Accuracy (of several labels: exact sets), macro and micro F1, and for single labels Matthews' correlation."""
        from sklearn import metrics
        from sklearn.preprocessing import MultiLabelBinarizer

        gold = [example["label"] for example in examples]
        figures = {"accuracy": sum(self.scores(predictions, examples)) / max(len(gold), 1)}
        y_true, y_pred = gold, list(predictions)
        if self.multi_label:
            binarizer = MultiLabelBinarizer().fit([*gold, *predictions])
            y_true, y_pred = binarizer.transform(gold), binarizer.transform(predictions)
        kept = {} if self.multi_label else {"labels": sorted({*gold})}
        for average in ("macro", "micro"):
            score = metrics.f1_score(y_true, y_pred, average=average, zero_division=0.0, **kept)
            figures[f"f1_{average}"] = float(score)
        if not self.multi_label:
            figures["mcc"] = float(metrics.matthews_corrcoef(y_true, y_pred))
        return figures

    def scores(self, predictions: Sequence[Any], examples: Sequence[Example]) -> list[float]:
        """1 where the label, or the set of labels, is right."""
        pairs = zip(predictions, examples, strict=True)
        return [float((sorted(p) if self.multi_label else p) == example["label"]) for p, example in pairs]

    def baseline(self, training: Sequence[Example], examples: Sequence[Example]) -> tuple[str, list[Any]]:
        """The commonest label (or set of labels) of the training data."""
        counts = Counter(tuple(e["label"]) if self.multi_label else e["label"] for e in training)
        commonest = counts.most_common(1)[0][0]
        return "majority class", [list(commonest) if self.multi_label else commonest] * len(examples)
