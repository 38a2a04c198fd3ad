from rlkit.labels import named, one_of

LABELS = ["entailment", "not_entailment", "neutral"]


def test_case_punctuation_and_underscores_do_not_count():
    assert one_of("Not entailment.", LABELS) == "not_entailment"
    assert one_of("**NEUTRAL**", LABELS) == "neutral"
    assert one_of("The label is: neutral", LABELS) == "neutral"


def test_a_label_inside_a_longer_one_is_not_named():
    assert one_of("not entailment", LABELS) == "not_entailment"
    assert named("not entailment, entailment", LABELS) == ["entailment", "not_entailment"]


def test_none_or_several_where_one_is_asked_for_cannot_be_read():
    assert one_of("neutral or entailment", LABELS) is None
    assert one_of("neutrality", LABELS) is None
    assert one_of("17 or neutral or 23", LABELS) is None
    assert one_of("it is hardly neutral", LABELS) is None
    assert one_of("", LABELS) is None


def test_several_labels_and_none_of_them():
    assert named("neutral; entailment", LABELS) == ["entailment", "neutral"]
    assert named("None", LABELS) == []
    assert named("I cannot say", LABELS) is None


def test_labels_without_letters():
    assert one_of("++", ["++", "--"]) == "++"
    assert one_of("3", ["1", "2", "3"]) == "3"
