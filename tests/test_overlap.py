import random

import pytest

from rlkit import overlap
from rlkit.overlap import words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How many  apples?\n", "how many apples"),
        ("It’s a “well-known” fact…", "it's a well known fact"),
        ("Cafe\u0301!", "CAFÉ"),
    ],
)
def test_case_space_and_the_punctuation_of_sentences_do_not_count(one, other):
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2 + 3", "2 - 3"),
        ("2 + 3", "23"),
        ("(2 + 3) * 4", "2 + (3 * 4)"),
        ("3.5 kg", "35 kg"),
        ("3.5 kg", "3 5 kg"),
        ("5² = ?", "52 = ?"),
        ("-4", "4"),
        ("5 - 4", "5 4"),
        ("a < b", "a > b"),
    ],
)
def test_what_tells_one_sum_from_another_counts(one, other):
    assert words(one) != words(other)


def test_scripts_without_spaces_have_a_word_a_character():
    assert words("小明有3个苹果。") == ["小", "明", "有", "3", "个", "苹", "果"]


def by_hand(asked, others, threshold):
    """The same by its definition, each text with each."""

    def pieces(text, n):
        return {tuple(text[i : i + n]) for i in range(len(text) - n + 1)}

    found = {}
    for at, text in enumerate(asked):
        n = min(8, len(text))
        mine = pieces(text, n)
        shares = [len(mine & pieces(other, n)) / len(mine) for other in others]
        best = max(shares)
        if best >= threshold:
            found[at] = (shares.index(best), best)
    return found


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8, 1.0])
def test_the_index_finds_what_comparing_each_with_each_finds(threshold):
    rng = random.Random(0)
    vocabulary = [f"w{i}" for i in range(300)]
    others = [rng.choices(vocabulary, k=rng.randint(3, 60)) for _ in range(150)]
    asked = []
    for at in range(120):
        text = list(rng.choice(others))
        start = rng.randrange(len(text))
        if at % 5 == 0:
            asked.append(text[start:])
            continue
        text = text[start:] + rng.choices(vocabulary, k=rng.randint(0, 6)) + text[:start]
        for _ in range(rng.randint(0, 3)):
            text[rng.randrange(len(text))] = rng.choice(vocabulary)
        asked.append(text)
    asked = [list(text) for text in dict.fromkeys(map(tuple, asked))]
    expected = by_hand(asked, others, threshold)
    assert 5 < len(expected) < len(asked)
    assert overlap.near(asked, others, threshold) == expected


def test_a_piece_that_most_texts_have_says_nothing():
    middle = [f"m{i}" for i in range(100)]
    asked = [[f"a{n}", *middle, *(f"b{n}_{i}" for i in range(20))] for n in range(60)]
    others = [[f"c{n}", *middle, f"d{n}"] for n in range(60)] + [asked[7]]
    assert overlap.near(asked, others, 0.8) == {7: (60, 1.0)}


def test_time_does_not_grow_with_the_square():
    """10,000 prompts of one template against as many; each with each would be 10^8 comparisons of sets."""
    import time

    rng = random.Random(1)
    middle = [f"m{i}" for i in range(40)]
    make = [[str(n), *middle, *(f"w{rng.randrange(2000)}" for _ in range(30))] for n in range(20_000)]
    asked, others = make[:10_000], [*make[10_000:19_000], *make[:1_000]]
    start = time.process_time()
    found = overlap.near(asked, others, 0.8)
    assert sorted(found) == list(range(1_000))
    assert time.process_time() - start < 30  # 3 on a machine that does nothing else
