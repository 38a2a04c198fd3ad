import json
import random
import time

import pytest

from rlkit import plugins

GOLD = [["LOC", "Paris"], ["PER", "Ada Lovelace"]]


def score(completion, entities, **parameters):
    return plugins.find("entity_f1")(completion=completion, entities=entities, **parameters)


def spans(tokens, tags):
    """The entities of a tagged sentence, as (type, text)."""
    found = []
    for token, tag in zip(tokens, tags, strict=True):
        if tag.startswith("B-"):
            found.append((tag[2:], [token]))
        elif tag.startswith("I-"):
            found[-1][1].append(token)
    return [(kind, " ".join(words)) for kind, words in found]


def test_the_counting_is_seqevals(shared_data):
    """Real tagged tweets, some of their entities lost, retyped or made longer."""
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2

    draw, values = random.Random(0), set()
    blocks = (shared_data / "ner" / "wnut17_dev.conll").read_text().split("\n\n")
    for block in blocks:
        rows = [line.split("\t") for line in block.splitlines() if "\t" in line]
        tokens, gold = [row[0] for row in rows], [row[1] for row in rows]
        if len(set(gold)) == 1:
            continue
        given = list(gold)
        for i, tag in enumerate(gold):
            if tag.startswith("B-") and draw.random() < 0.5:
                kind = draw.choice(["person", "location", "", ""])
                end = next((j for j in range(i + 1, len(gold)) if not gold[j].startswith("I-")), len(gold))
                given[i:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - i - 1)] if kind else ["O"] * (end - i)
                if end < len(gold) and gold[end] == "O" and kind and tokens[end].isalnum():  # "Paris." is Paris
                    given[end] = f"I-{kind}"
        named = spans(tokens, given), spans(tokens, gold)
        if any(len({text.casefold() for _, text in side}) < len(side) or ";" in str(side) for side in named):
            continue  # a name that stands twice is one entity here
        if not named[0] or any(":" in text for _, text in named[0]):
            continue
        want = f1_score([gold], [given], mode="strict", scheme=IOB2, zero_division=0)
        values.add(round(want, 3))
        gold_column = [{"type": kind, "text": text} for kind, text in named[1]]
        for written in ("\n".join(f"{kind}: {text}" for kind, text in named[0]), json.dumps(named[0])):
            assert score(f"<think>Hm.</think>{written}", gold_column) == pytest.approx(want)
    assert len(values) > 5


@pytest.mark.parametrize(
    "completion",
    [
        "LOC: Paris; PER: Ada Lovelace",
        "PER: Ada Lovelace\nLOC: Paris.",
        "- LOC: Paris\n- PER: Ada  Lovelace",
        "1. **loc**: `Paris`\n2. **per:** “Ada Lovelace”",
        "<answer>LOC: Paris\nORG: none\nPER: Ada Lovelace</answer>",
        "LOC: Paris; LOC: paris; PER: Ada Lovelace",
        '[["LOC", "Paris"], ["PER", "Ada Lovelace"]]',
        '[{"text": "Paris", "label": "LOC"}, {"word": "Ada Lovelace", "entity_group": "PER"}]',
        '{"LOC": ["Paris"], "PER": "Ada Lovelace"}',
        'Here they are:\n```json\n{"LOC": ["Paris"], "PER": ["Ada Lovelace"], "ORG": []}\n```',
    ],
)
def test_forms_of_a_list(completion):
    assert score(completion, GOLD) == 1.0


@pytest.mark.parametrize(
    "entities",
    [
        GOLD,
        [("LOC", "Paris"), ("PER", "Ada Lovelace")],
        [{"type": "LOC", "text": "Paris"}, {"type": "PER", "text": "Ada Lovelace"}],
        {"type": ["LOC", "PER"], "text": ["Paris", "Ada Lovelace"]},
        {"LOC": ["Paris"], "PER": ["Ada Lovelace"]},
        json.dumps(GOLD),
    ],
)
def test_forms_of_the_column(entities):
    assert score("LOC: Paris; PER: Ada Lovelace", entities) == 1.0
    assert score("LOC: Paris", entities) == pytest.approx(2 / 3)


@pytest.mark.parametrize("completion", ["none", "None.", "[]", "{}", "<answer>No entities</answer>", "LOC: none"])
def test_none_is_an_answer(completion):
    assert score(completion, []) == 1.0
    assert score(completion, GOLD) == 0.0


@pytest.mark.parametrize(
    "completion", ["", "<answer></answer>", "There is nothing.", "[1, 2]", "[" * 10_000, '{"a": 3}', "LOC:", ":;:;"]
)
def test_what_cannot_be_read_is_no_answer(completion):
    assert score(completion, []) == 0.0
    assert score(completion, GOLD) == 0.0


@pytest.mark.parametrize("entities", [None, 3, [1], [["LOC"]], "{", [{"type": "LOC"}]])
def test_a_column_that_cannot_be_read_is_not_scored(entities):
    assert score("LOC: Paris", entities) is None


def test_listing_every_type_and_every_word_loses():
    names = ["Ada", "Lovelace", "saw", "Paris", "and", "London", "Ada Lovelace"]
    spam = "; ".join(f"{kind}: {name}" for kind in ("LOC", "PER", "ORG") for name in names)
    assert score(spam, GOLD) < score("LOC: Paris", GOLD) / 2
    assert score("LOC: Paris; LOC: Rome; PER: Ada Lovelace", GOLD) == pytest.approx(4 / 5)


@pytest.mark.parametrize("piece", ["a: b;", ";", '["a",', "{", "x", "\n", "`", "```\n"])
def test_a_million_characters_take_no_time(piece):
    start = time.process_time()
    assert score((piece * 10**6)[: 10**6], GOLD) == 0.0
    assert time.process_time() - start < 5.0
