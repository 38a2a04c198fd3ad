import itertools
import json
import math
import random
import time
from collections import Counter

import pytest

from rlkit import plugins

METRICS = ["token_f1", "rouge", "bleu", "chrf"]
REFERENCE = "the cat sat on the mat and looked at the dog"


def made(name, **parameters):
    return plugins.find(name).configure(**parameters)


def some_texts(n, words=("the", "cat", "sat", "on", "a", "mat"), seed=0):
    """Pairs of texts of few different words, so that there are many ways to match them."""
    draw = random.Random(seed)

    def text():
        lines = [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(draw.randint(1, 4))]
        return draw.choice(["\n", ".\n", "\n\n"]).join(lines)

    return [(text(), [text() for _ in range(draw.randint(1, 3))]) for _ in range(n)]


def test_token_f1_is_squads(shared_data):
    """On real questions: each answer against the others, against its sentence, and with words around it."""
    from transformers.data.metrics.squad_metrics import compute_f1

    file = json.loads((shared_data / "qa" / "squad_v1_dev_xquad_en_first38.json").read_text())
    rows = [
        (paragraph["context"], [answer["text"] for answer in question["answers"]])
        for document in file["data"]
        for paragraph in document["paragraphs"]
        for question in paragraph["qas"]
    ]
    score, values = made("token_f1"), set()
    for (context, golds), (_, others) in itertools.pairwise(rows[::4]):
        at = context.find(golds[0])
        for given in (golds[-1], others[0], context[max(0, at - 40) : at + 60], f"It is {golds[0].upper()}!"):
            if any("\u4e00" <= letter <= "\u9fff" for letter in given):
                continue  # Chinese goes by characters
            want = max(compute_f1(gold, given) for gold in golds)
            assert score(completion=given, answer=golds) == pytest.approx(want, abs=1e-12)
            values.add(round(want, 2))
    assert len(values) > 20


def test_squads_script_cannot_grade_the_answer_a_nor_chinese():
    from transformers.data.metrics.squad_metrics import compute_f1

    assert compute_f1("A", "") == 1
    assert made("token_f1")(completion="", answer="A") == 0.0
    assert made("token_f1")(completion="The answer is B", answer="A") == 0.0
    assert compute_f1("我们住在北京。", "我们住在上海。") == 0
    assert made("token_f1")(completion="我们住在上海。", answer="我们住在北京。") == pytest.approx(4 / 6)


def test_an_empty_list_says_that_there_is_no_answer():
    score = made("token_f1")
    assert score(completion="<answer></answer>", answer=[]) == 1.0
    assert score(completion="Paris", answer=[]) == 0.0
    assert score(completion="Paris", answer="") is None


@pytest.mark.parametrize("stemmer", [False, True])
@pytest.mark.parametrize("variant", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_is_the_rouge_score_packages(variant, stemmer):
    from rouge_score.rouge_scorer import RougeScorer

    score, reference = made("rouge", variant=variant, stemmer=stemmer), RougeScorer([variant], use_stemmer=stemmer)
    pairs = some_texts(150) + some_texts(50, ["running", "runner", "runs", "Mats,", "été", "1,000"], seed=1)
    for given, golds in pairs:
        want = reference.score_multi(golds, given)[variant].fmeasure
        assert score(completion=given, answer=golds) == pytest.approx(want, abs=1e-12)


def test_rouge_of_real_summaries(shared_data):
    from rouge_score.rouge_scorer import RougeScorer

    lines = (shared_data / "summarization" / "scitldr_a_dev.jsonl").read_text().splitlines()[:15]
    reference = RougeScorer(["rougeL", "rougeLsum"])
    for row in map(json.loads, lines):
        given, golds = "\n".join(row["source"]), ["\n".join(row["source"][4:1:-1]), *row["target"]]
        for variant, want in reference.score_multi(golds, given).items():
            got = made("rouge", variant=variant)(completion=given, answer=golds)
            assert got == pytest.approx(want.fmeasure, abs=1e-12)


def test_rouge_says_that_it_does_not_see_chinese_and_reads_it_when_asked():
    from rouge_score.rouge_scorer import RougeScorer

    text = "猫坐在垫子上"
    assert RougeScorer(["rougeL"]).score(text, text)["rougeL"].fmeasure == 0
    with pytest.raises(ValueError, match="words: any"):
        made("rouge")(completion=text, answer=text)
    score = made("rouge", words="any")
    assert score(completion=text, answer=text) == 1.0
    assert score(completion="Müller a été là", answer="müller était là") == pytest.approx(4 / 7)
    assert made("rouge")(completion="x", answer="?!") is None


def test_bleu_by_another_implementation():
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth, score, values = SmoothingFunction().method3, made("bleu"), []
    for given, golds in some_texts(200, ["the", "cat", "sat", "on", "a", "mat", "and", "dogs"]):
        have, want = given.replace(".", "").split(), [gold.replace(".", "").split() for gold in golds]
        if len(have) >= 4:  # below, sacrebleu leaves the longer n-grams out
            got = score(completion=" ".join(have), answer=[" ".join(words) for words in want])
            values.append(got)
            assert got == pytest.approx(sentence_bleu(want, have, smoothing_function=smooth), abs=1e-9) or got == 0
    assert len({round(value, 3) for value in values}) > 50


def chrf_of(given, gold, orders=6, beta=2):
    given, gold = "".join(given.split()), "".join(gold.split())
    rates = []
    for n in range(1, orders + 1):
        have, want = (Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (given, gold))
        if have and want:
            shared = (have & want).total()
            rates.append((shared / have.total(), shared / want.total()))
    precision, recall = (math.fsum(side) / len(rates) for side in zip(*rates, strict=True))
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall) if precision + recall else 0.0


def test_chrf_by_its_formula():
    for given, golds in some_texts(100):
        got = made("chrf")(completion=given, answer=golds)
        assert got == pytest.approx(max(chrf_of(given, gold) for gold in golds), abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_the_answer_is_scored_not_the_thinking(name):
    score = made(name)
    right = f"<think>It is raining.</think>{REFERENCE}"
    assert score(completion=right, answer=REFERENCE) == pytest.approx(1.0)
    tagged = f"<reasoning>x</reasoning>Sure!<answer>{REFERENCE}</answer>Bye"
    assert score(completion=tagged, answer=REFERENCE) == pytest.approx(1.0)
    assert score(completion=f"<think>{REFERENCE}", answer=REFERENCE) == 0.0
    assert 0 < made(name, whole=True)(completion=right, answer=REFERENCE) < 1


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    "attack",
    [
        "",
        "<answer></answer>",
        " ".join(f"{word} {word[::-1]}" for word in REFERENCE.split()),
        f"{REFERENCE} or a bird flew over the house or it rained all day",
        " ".join([REFERENCE] * 30),
        "the " * 500,
        "\u200b".join(REFERENCE),
        REFERENCE.replace("a", "а"),  # the Cyrillic letter
    ],
)
def test_no_attack_scores_like_the_reference(name, attack):
    assert made(name)(completion=attack, answer=[REFERENCE, "a dog"]) < 0.9


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("piece", ["the cat\n", "猫", "{.", "<answer>", "a", "\x00", "\n", "1 "])
def test_a_million_characters_take_no_time(name, piece):
    score = made(name, variant="rougeLsum") if name == "rouge" else made(name)
    score(completion="cat", answer=REFERENCE)
    start = time.process_time()
    assert score(completion=(piece * 10**6)[: 10**6], answer=f"{REFERENCE}\nand slept") < 0.1
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize("name", METRICS)
def test_rows_without_a_text_are_not_scored(name):
    values = plugins.find(name)(completions=["4"] * 4, answer=[None, "", {"a": 1}, 4])
    assert values == [None, None, None, pytest.approx(1.0)]
