import time

import pytest

from rlkit import plugins
from rlkit.errors import RequestError

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


def test_tags_around_nothing_are_half_of_it():
    assert score("<reasoning></reasoning><answer></answer>") == 0.5
    assert score("<reasoning>\u200b</reasoning>\n<answer>\n</answer>") == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, 1),
        ("Text, then <b>4</b> and <i>5</i>.", 1),
        ('<?xml version="1.0" encoding="UTF-16"?><a>4</a>', 1),
        ('<point x="1" y="2"/>', 1),
        ("<a><![CDATA[4 < 5]]></a>", 1),
        ("<a>4 &amp; 5 &#52;</a>", 1),
        ("<a>4 & 5</a>", 0),
        ("<a>4 < 5</a>", 0),
        ("<a>4", 0),
        ("<a>4</b>", 0),
        ("<a x=1>4</a>", 0),
        ('<a x="1" x="2">4</a>', 0),
        ("<a>&lol;</a>", 0),
        ("<a>\x00</a>", 0),
        ("<a>\ud800</a>", 0),
        ("<a>\u200b</a>", 0),
        ("<reasoning></reasoning><answer></answer>", 0),
        ("</completion><a>4</a><completion>", 0),
        ("plain text", 0),
        (" ", 0),
    ],
)
def test_well_formed_or_not(text, expected):
    assert plugins.find("xml_valid")(completion=text) == expected


def test_entities_and_document_types_are_refused():
    lol = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
    bomb = f'<!DOCTYPE a [<!ENTITY l0 "lol">{lol}]><a>&l9;</a>'
    for text in (bomb, '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>4</a>', "<!DOCTYPE a><a>4</a>"):
        assert plugins.find("xml_valid")(completion=text) == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<name>Bo</name><age>4</age>", 1),
        ("<age>4</age> and <name>Bo</name> are it, since 3 < 4", 1),
        ("<b>Note</b> <name>Bo</name> <b>then</b> <age>4</age>", 1),
        ('<name lang="en">Bo</name><age>4</age>', 1),
        ("<name><b>Bo</b></name><age>4</age>", 1),
        ("<p>Look: <name>Bo</name><age>4</age>", 1),
        ("<name>Bo</name><age>4</age><name>Al</name>", 0.5),
        ("<name/><name>Bo</name><age>4</age>", 0.5),
        ("<name>Bo</name><age/>", 0.5),
        ("<name>Bo</name><age><b></b>\u200b</age>", 0.5),
        ("<name>Bo<age>4</age>", 0.5),
        ("<name>Bo</name></age>4<age>", 0.5),
        ("<name>Bo<age>4</age></name>", 0),
        ("<name>Bo<age></name>4</age>", 0),
        ("<all><name>Bo</name><age>4</age></all>", 0),
        ("<Name>Bo</Name><AGE>4</AGE>", 0),
        ("<name><age>" * 1000, 0),
        ("", 0),
    ],
)
def test_fields_stand_once_side_by_side_and_filled(text, expected):
    assert plugins.find("xml_fields")(completion=text, fields=["name", "age"]) == expected


@pytest.mark.parametrize(
    ("fields", "said"), [([], "each once"), (["a", "a"], "each once"), (["<a>"], "no name"), (["a b"], "no name")]
)
def test_fields_that_no_element_can_have_are_refused(fields, said):
    with pytest.raises(RequestError, match=said):
        plugins.find("xml_fields").configure(fields=fields)


HUGE = {
    "nested": "<a>" * 140_000 + "4" + "</a>" * 140_000,
    "unclosed": "<name>" * 160_000,
    "strangers": "<a>" * 140_000 + "</b>" * 140_000,
    "angles": "<a " * 300_000,
    "references": "<a>" + "&lt;" * 250_000 + "</a>",
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize(
    ("name", "parameters"), [("xmlcount", {}), ("xml_valid", {}), ("xml_fields", {"fields": ["name", "age"]})]
)
def test_a_huge_completion_takes_no_time(name, parameters, text):
    start = time.process_time()
    plugins.find(name)(completion=text, **parameters)
    assert time.process_time() - start < 5.0
