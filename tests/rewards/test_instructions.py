"""Every instruction of IFEval, followed and not; languages; real prompts' arguments as the hub gives them."""

import importlib
import json

import pytest

from rlkit import plugins

CASES = [
    ("keywords:existence", {"keywords": ["lamp", "sea"]}, "The LAMP by the sea.", "The lamp."),
    ("keywords:frequency", {"keyword": "sea", "frequency": 2, "relation": "at least"}, "Sea, sea.", "Sea."),
    ("keywords:frequency", {"keyword": "sea", "frequency": 2, "relation": "less than"}, "Sea.", "Sea, sea."),
    ("keywords:forbidden_words", {"forbidden_words": ["he", "so on"]}, "The sea; Soon.", "And so on."),
    ("keywords:forbidden_words", {"forbidden_words": ["he"]}, "The other sheet.", "(He) left."),
    ("keywords:letter_frequency", {"letter": "A", "let_frequency": 3, "let_relation": "at least"}, "a A a", "a b a"),
    ("language:response_language", {"language": "de"}, "Das ist nicht die Frage.", "Ce n'est pas la question."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One.\n***\nTwo.", "One.\n\nTwo."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***\nOne.\n***\nTwo.\n***", "1\n***\n***\n2"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "Two words.", "Now three words."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "A cat. A dog!", "A cat"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weekend"},
        "First.\n\n**Weekend** it is.",
        "Weekend.\n\nThen.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name], [a b]", "[name], []"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\n\nP. S. Write soon.", "Bye. P.S."),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP.P.S. More.", "Bye.\nP.S. More."),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n- two", "* one\n* two\n* three"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "**bold**\n\n---\n* one", "*one*"),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", "My answer is perhaps."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a b* and **c**", "*a b* and ****"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1\na\nSECTION 2\nb",
        "SECTION 1\na\nSection 2\nb",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": [1]}\n```', '{"a": 1} It is.'),
    ("detectable_format:json_format", {}, "[1, 2]", "[" * 20_000),
    ("detectable_format:title", {}, "<<At sea>>\nText.", "<< >>\nText."),
    ("combination:two_responses", {}, "One.\n******\nAnother.", "One.\n******\nOne."),
    ("combination:two_responses", {}, "One.******Another.", "One.******Two.******Three."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Write a poem."}, "Write a POEM.\nSea.", "Sea. Write a poem."),
    ("startend:end_checker", {"end_phrase": "Any questions?"}, 'So. "Any questions?"', "Any questions? No."),
    ("startend:quotation", {}, '"All of it."', '"Some" of it.'),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        "ONE word",
        "TWO WORDS",
    ),
    ("change_case:english_capital", {}, "THE SEA IS 3 MILES OFF.", "The sea."),
    ("change_case:english_capital", {}, "GO.", "LE CHAT EST DANS LA MER ET IL NE PEUT PAS."),
    ("change_case:english_lowercase", {}, "the sea is calm.", "the Sea."),
    ("punctuation:no_comma", {}, "No stop here.", "Well, no."),
]
KEYS = sorted({key for _, arguments, _, _ in CASES for key in arguments})


def score(completion, *asked, **parameters):
    """The arguments as they arrive from the hub: every key, None where it is not used."""
    names, arguments = zip(*asked, strict=True)
    rows = [{**dict.fromkeys(KEYS), **given} for given in arguments]
    made = plugins.find("instructions")
    return made(completion=completion, instruction_id_list=list(names), kwargs=rows, **parameters)


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), CASES)
def test_each_instruction_is_told_apart(name, arguments, good, bad):
    assert score(good, (name, arguments)) == 1.0
    assert score(bad, (name, arguments)) == 0.0
    assert score("", (name, arguments)) == 0.0


def test_every_instruction_of_the_paper_is_known():
    checks = importlib.import_module("rlkit.rewards.instruction_checks").CHECKS
    assert {*checks} == {name for name, *_ in CASES}
    assert len(checks) == 25


NO_COMMA, TITLE = ("punctuation:no_comma", {}), ("detectable_format:title", {})


def test_modes_and_the_loose_variant():
    text = "Sure, here you are:\n<<At sea>>\nIt is calm.\n*<<At* sea>>"
    assert score(text, NO_COMMA, TITLE) == 0.5
    assert score(text, NO_COMMA, TITLE, mode="all") == 0.0
    assert score(text, NO_COMMA, TITLE, mode="all", loose=True) == 1.0
    assert score("<think>a, b</think>No stop.", NO_COMMA) == 1.0


def test_what_cannot_be_told_is_left_out_and_said():
    unknown = ("language:response_language", {"language": "de"})
    assert score("42", unknown) is None
    assert score("42", unknown, NO_COMMA) == 1.0
    assert score("42", unknown, NO_COMMA, mode="all") is None
    assert score("4,2", unknown, NO_COMMA, mode="all") == 0.0
    with pytest.raises(ValueError, match="did you mean 'punctuation:no_comma'"):
        score("x", ("punctuation:no_coma", {}))
    with pytest.raises(ValueError, match="number_words has the arguments"):
        score("x", ("length_constraints:number_words", {"num_words": 3}))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Dr. Wu, e.g., met J. R. Smith at 3.5 p.m. today. She left!", 2),
        ("1. One thing.\n2. Another thing.", 2),
        ('Really?! Yes... it is so. "No." Then', 4),
        ("今日は晴れです。明日は雨です。", 2),
        ("***", 0),
    ],
)
def test_sentences(text, count):
    assert importlib.import_module("rlkit.rewards.instruction_checks").sentences(text) == count


SAID = {
    "en": "The cat sat on the mat and it was happy with that.",
    "fr": "Le chat est sur le tapis et il est content de sa vie.",
    "de": "Die Katze sitzt auf dem Teppich und ist mit dem Leben zufrieden.",
    "es": "El gato está en la alfombra y es muy feliz con su vida.",
    "pt": "O gato está no tapete e não é feliz com a sua vida, mas são os dias.",
    "it": "Il gatto è sul tappeto e non è felice della sua vita, ma gli piace.",
    "vi": "Con mèo không ở trong nhà và nó là của tôi.",
    "sw": "Paka yuko kwa nyumba na ni mzuri sana katika hali ya leo.",
    "fi": "Kissa on matolla ja se ei ole iloinen, mutta se on siellä.",
    "hi": "यह बिल्ली घर में है और वह खुश है।",
    "mr": "ही मांजर घरात आहे आणि ती आनंदी आहे.",
    "ar": "القطة في البيت وهي سعيدة مع كل من في هذا المكان",
    "fa": "گربه در خانه است و از این که با ما است خوشحال است",
    "ru": "Кот сидит на ковре и не знает, что это за жизнь.",
    "uk": "Кіт сидить на килимі і не знає, що це за життя.",
    "ja": "猫はマットの上に座っています。",
    "zh": "猫坐在垫子上，很高兴。",
    "ko": "고양이가 집에 있습니다.",
}


@pytest.mark.parametrize("language", SAID)
def test_a_sentence_is_in_its_own_language_alone(language):
    is_in = importlib.import_module("rlkit.rewards.spoken").is_in
    assert [one for one in SAID if is_in(SAID[language], one) is not (one == language)] == []


def test_the_language_of_real_translations_is_told(shared_data):
    is_in = importlib.import_module("rlkit.rewards.spoken").is_in
    (file,) = (shared_data / "translation").glob("*.jsonl")
    rows = [json.loads(line)["translation"] for line in file.read_text().splitlines()[:3000]]
    long = [row for row in rows if all(len(text.split()) >= 25 for text in row.values())]
    assert len(long) > 100
    for language, other in (("en", "fr"), ("fr", "en")):
        told = [is_in(row[language], language) for row in long]
        assert told.count(True) / len(told) > 0.97
        assert sum(is_in(row[other], language) is True for row in long) / len(long) < 0.01
