"""Token classification: each word of a sentence has a tag, and runs of tags are entities."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

from rlkit import entities
from rlkit.reply import said
from rlkit.tasks.task import Example, Role, Task


class TokenClassification(Task):
    """Which words are entities, and of what type? (Named entities, in tags of the IOB2 form: B-LOC, I-LOC, O.)"""

    name: ClassVar[str] = "token-classification"
    head: ClassVar[str] = "token-classification"
    metric: ClassVar[str] = "f1"
    roles: ClassVar[dict[str, Role]] = {
        "tokens": Role(("tokens", "words")),
        "tags": Role(("ner_tags", "tags", "labels", "pos_tags", "chunk_tags")),
    }
    reward: ClassVar[tuple[str, dict[str, Any]]] = ("entity_f1", {})
    requires: ClassVar[tuple[str, ...]] = ("seqeval",)

    tags: list[str] | None = None
    """The tags; by default O and those of the training data, in the order of the alphabet."""
    label_all_pieces: bool = False
    """Train on every piece of a word (a B tag goes on as I), not on its first alone."""
    max_length: int = 256
    """Tokens of a sentence; words beyond count as O."""
    instruction: str = (
        "List the entities in the text, one a line, each as TYPE: text. The types are {types}. "
        'If there is none, answer "none".'
    )
    """What the prompt says before the sentence; {types} stands for the types."""

    def read(self, example: Example) -> Example | str:
        """As many tags as words, as texts."""
        tokens, tags = example["tokens"], example["tags"]
        if not isinstance(tokens, list) or not isinstance(tags, list) or not tokens:
            return "without words"
        if len(tokens) != len(tags):
            return "whose words and tags differ in number"
        return {"tokens": [str(token) for token in tokens], "tags": [str(tag) for tag in tags]}

    def fit(self, examples: Any) -> Self:
        """With the tags that the examples have."""
        if self.tags:
            return self
        found = {tag for tags in examples["tags"] for tag in tags} - {"O"}
        whole = found | {f"I-{tag[2:]}" for tag in found if tag.startswith("B-")}
        return self.model_copy(update={"tags": ["O", *sorted(whole)]})

    def learned(self) -> dict[str, Any]:
        """The tags."""
        return {"tags": self.tags}

    def recall(self, config: Any) -> dict[str, Any]:
        """The tags, in the order of the model's outputs."""
        return {"tags": [config.id2label[index] for index in sorted(config.id2label)]}

    def texts(self, example: Example) -> list[str]:
        """The sentence."""
        return [" ".join(example["tokens"])]

    def config(self) -> dict[str, Any]:
        """The tags."""
        tags = self.tags or []
        numbers = {tag: index for index, tag in enumerate(tags)}
        return {"num_labels": len(tags), "id2label": dict(enumerate(tags)), "label2id": numbers}

    def features(self, examples: Any, tokenizer: Any, training: bool) -> Any:
        """Token ids, and for each its word's tag: -100 on special tokens, and on all pieces of a word but the first."""
        index = {tag: number for number, tag in enumerate(self.tags or [])}

        def encode(batch: Example) -> Example:
            made = tokenizer(batch["tokens"], is_split_into_words=True, truncation=True, max_length=self.max_length)
            made["labels"] = [
                [index.get(tag, -100) if tag else -100 for tag in self._aligned(made.word_ids(row), tags)]
                for row, tags in enumerate(batch["tags"])
            ]
            return made

        return examples.map(encode, batched=True, remove_columns=examples.column_names)

    def collator(self, tokenizer: Any, model: Any) -> Any:
        """Pads the tags too."""
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(tokenizer)

    def predict(self, outputs: Any, features: Any, examples: Any, tokenizer: Any) -> list[list[str]]:
        """The tag of each word: what the model says of its first piece."""
        tags = self.tags or []
        found = []
        for row, example in enumerate(examples):
            ids = tokenizer(
                example["tokens"], is_split_into_words=True, truncation=True, max_length=self.max_length
            ).word_ids()
            made = ["O"] * len(example["tokens"])
            for position, word in reversed(list(enumerate(ids))):  # the first piece has the last word
                if word is not None:
                    made[word] = tags[int(outputs[row][position].argmax())]
            found.append(made)
        return found

    def prompt(self, example: Example) -> str:
        """The instruction with the types, then the sentence."""
        types = dict.fromkeys(tag[2:] for tag in self.tags or [] if tag != "O")
        return f"{self.instruction.replace('{types}', ', '.join(types))}\n\nText: {' '.join(example['tokens'])}"

    def target(self, example: Example) -> str:
        """TYPE: text, one a line."""
        return "\n".join(f"{kind}: {text}" for kind, text in self.named(example)) or "none"

    def columns(self, example: Example) -> Example:
        """The entities."""
        return {"entities": [list(pair) for pair in self.named(example)]}

    def named(self, example: Example) -> list[tuple[str, str]]:
        """Type and text of each entity, each pair once."""
        runs = _runs(example["tags"])
        return list(dict.fromkeys((kind, " ".join(example["tokens"][start:end])) for kind, start, end in runs))

    def parse(self, completion: str, example: Example) -> list[str] | None:
        """The tags that the listed entities come to: each marks all the places where its words stand."""
        listed = entities.from_text(said(completion)[:20_000])
        if listed is None:
            return None
        types = {entities.plain_type(tag[2:]): tag[2:] for tag in self.tags or [] if tag != "O"}
        tokens = [entities.plain(token) for token in example["tokens"]]
        tags = ["O"] * len(tokens)
        for kind, text in sorted(listed, key=lambda pair: (-len(pair[1]), pair)):  # longer ones first
            words, name = [word for part in text.split() if (word := entities.plain(part))], types.get(kind, kind)
            for start in range(len(tokens) - len(words) + 1 if words else 0):
                here = slice(start, start + len(words))
                if tokens[here] == words and set(tags[here]) == {"O"}:
                    tags[here] = [f"B-{name}", *[f"I-{name}"] * (len(words) - 1)]
        return tags

    def unread(self, example: Example) -> list[str]:
        """No entity."""
        return ["O"] * len(example["tokens"])

    def measure(self, predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """Precision, recall and F1 of entities (type and place both right), as seqeval counts; accuracy of tags."""
        from seqeval import metrics

        gold, given = [example["tags"] for example in examples], list(predictions)
        scores = {name: getattr(metrics, f"{name}_score") for name in ("precision", "recall", "f1")}
        figures = {name: float(score(gold, given, zero_division=0)) for name, score in scores.items()}
        return {**figures, "tag_accuracy": float(metrics.accuracy_score(gold, given))}

    def baseline(self, training: Sequence[Example], examples: Sequence[Example]) -> tuple[str, list[Any]]:
        """The entities of the training data, wherever their words stand: what memory alone gives."""
        known: dict[tuple[str, ...], str] = {}
        for example in training:
            for kind, start, end in _runs(example["tags"]):
                known[tuple(example["tokens"][start:end])] = kind
        longest = max(map(len, known), default=0)
        return "entities seen in training", [_recalled(example["tokens"], known, longest) for example in examples]

    def _aligned(self, word_ids: list[int | None], tags: list[str]) -> Iterator[str | None]:
        """The tag of each token; None where there is none to learn."""
        before = None
        for word in word_ids:
            if word is None:
                yield None
            elif word != before:
                yield tags[word]
            else:
                yield tags[word].replace("B-", "I-", 1) if self.label_all_pieces else None
            before = word


def _runs(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Type, first word and the word after the last of each entity, as seqeval reads tags."""
    from seqeval.metrics.sequence_labeling import get_entities

    return [(kind, start, end + 1) for kind, start, end in get_entities(list(tags))]


def _recalled(tokens: list[str], known: dict[tuple[str, ...], str], longest: int) -> list[str]:
    tags, start = ["O"] * len(tokens), 0
    while start < len(tokens):
        lengths = range(min(longest, len(tokens) - start), 0, -1)
        n = next((n for n in lengths if tuple(tokens[start : start + n]) in known), 0)
        if n:
            kind = known[tuple(tokens[start : start + n])]
            tags[start : start + n] = [f"B-{kind}", *[f"I-{kind}"] * (n - 1)]
        start += n or 1
    return tags
