import pytest

from rlkit import plugins

GOOD = "<reasoning>\n2+2\n</reasoning>\n<answer>\n4\n</answer>"


def score(text, **parameters):
    return plugins.find("xmlcount")(completion=text, **parameters)


@pytest.mark.parametrize("ending", ["", "\n", "  \n\n"])
def test_white_space_after_the_last_tag_is_free(ending):
    """The course's version charges the whole completion where the final newline is missing."""
    assert score(GOOD + ending) == 1.0


def test_each_character_after_the_last_tag_costs():
    assert score(GOOD + "Bye!") == pytest.approx(1 - 4 * 0.001)
    assert score(GOOD + "Bye!", trailing_penalty=0.1) == pytest.approx(0.6)
    assert score(GOOD + "x" * 10_000) == 0.0


def test_a_completion_climbs_tag_by_tag():
    parts = ["", "<reasoning>", "x</reasoning>", "<answer>4", "</answer>"]
    climbed = [score("".join(parts[: n + 1])) for n in range(len(parts))]
    assert climbed == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_repeated_and_misplaced_tags_earn_nothing():
    assert score(GOOD * 2) == 0.0
    assert score("</answer><answer></reasoning><reasoning>", trailing_penalty=0.0) == 0.25
