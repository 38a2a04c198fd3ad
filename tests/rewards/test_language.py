import json
import time

import pytest

from rlkit import plugins
from rlkit.errors import RequestError

TEXTS = {
    "en": "We add the apples of the first basket to those of the second, and then we divide by two.",
    "fr": "On ajoute les pommes du premier panier à celles du deuxième, puis on divise le tout par deux.",
    "de": "Wir zählen die Äpfel im ersten Korb zu denen im zweiten dazu und teilen danach durch zwei.",
    "es": "Sumamos las manzanas de la primera cesta a las de la segunda y después dividimos entre dos.",
    "ru": "Мы складываем яблоки из первой корзины с яблоками из второй, а потом делим на два.",
    "uk": "Ми додаємо яблука з першого кошика до яблук із другого, а потім ділимо на два.",
    "zh": "我们把第一个篮子里的苹果和第二个篮子里的苹果加起来，然后除以二。",
    "ja": "最初のかごのりんごと二番目のかごのりんごを足して、それから二で割ります。",
    "ko": "첫 번째 바구니의 사과와 두 번째 바구니의 사과를 더한 다음 둘로 나눕니다.",
    "ar": "نجمع تفاح السلة الأولى مع تفاح السلة الثانية ثم نقسم الناتج على اثنين.",
    "hi": "हम पहली टोकरी के सेब दूसरी टोकरी के सेबों में जोड़ते हैं और फिर दो से भाग देते हैं।",
    "th": "เรานำแอปเปิลในตะกร้าแรกมารวมกับแอปเปิลในตะกร้าที่สองแล้วหารด้วยสอง",
}


def share(completion, language):
    return plugins.find("language_consistency")(completion=completion, language=language)


@pytest.mark.parametrize("language", TEXTS)
def test_each_text_is_in_its_own_language_alone(language):
    assert {other: share(TEXTS[language], other) == 1.0 for other in TEXTS} == {
        other: other == language for other in TEXTS
    }
    assert all(
        share(TEXTS[language], other) < 0.2
        for other in TEXTS
        if other != language and {other, language} != {"zh", "ja"}
    )


def test_mixed_texts_count_by_their_words():
    assert share(f"{TEXTS['en']} {TEXTS['fr']}", "en") == pytest.approx(0.5, abs=0.03)
    assert share(f"{TEXTS['en']} {TEXTS['fr']}", "fr") == pytest.approx(0.5, abs=0.03)
    assert share("我们先 add 这些数字", "zh") == pytest.approx(3.5 / 4.5)
    assert share(f"<think>{TEXTS['zh']}</think>{TEXTS['en']}", "en") == pytest.approx(0.55, abs=0.1)


@pytest.mark.parametrize(
    "neutral",
    [
        "$x + 12 = y$",
        r"\[ \text{pommes} + \frac{1}{2} \]",
        r"\boxed{\text{zwölf}}",
        "```python\nfor pomme in panier: ajoute(pomme)\n```",
        "`mettre_la_table()`",
        "<answer>",
        "https://fr.example.org/la-page-de-la-table",
        "12, 13, 14 = 15.",
        "x y z α",
    ],
)
def test_code_mathematics_and_numbers_are_in_no_language(neutral):
    assert share(f"{neutral}\n{TEXTS['en']}\n{neutral}", "en") == 1.0
    assert share(neutral, "en") is None


def test_a_cyrillic_letter_in_an_english_word_is_seen():
    assert share(TEXTS["en"].replace("a", "а"), "en") < 0.9


def test_real_translations_and_solutions(shared_data):
    (file,) = (shared_data / "translation").glob("*.jsonl")
    rows = [json.loads(line)["translation"] for line in file.read_text().splitlines()[:600]]
    reward = plugins.find("language_consistency")

    def mean(side, language):
        texts = ["\n".join(row[side] for row in rows[at : at + 10]) for at in range(0, 600, 10)]
        values = reward.configure(language=language)(completions=texts)
        return sum(values) / len(values)

    assert mean("en", "en") > 0.99
    assert mean("fr", "fr") > 0.99
    assert mean("fr", "en") < 0.02
    assert mean("en", "fr") < 0.02
    solutions = (shared_data / "completions" / "math500_qwen2.5-14b-instruct_first350.jsonl").read_text().splitlines()
    values = reward.configure(language="en")(completions=[json.loads(line)["completion"] for line in solutions[:100]])
    known = [value for value in values if value is not None]
    assert len(known) > 95
    assert sum(known) / len(known) > 0.995


def test_the_language_may_come_from_a_column():
    reward = plugins.find("language_consistency")
    values = reward.score({"completions": [TEXTS["fr"]] * 4, "language": ["fr", "en", None, "tlh"]})
    assert values == [1.0, 0.0, None, None]
    assert reward.configure(language="en").score({"completions": [TEXTS["fr"]], "language": ["fr"]}) == [0.0]
    with pytest.raises(ValueError, match="set language"):
        reward.score({"completions": [TEXTS["fr"]]})


def test_codes():
    reward = plugins.find("language_consistency")
    assert share(TEXTS["zh"], "zh-CN") == share(TEXTS["en"], "en_US") == 1.0
    with pytest.raises(RequestError, match="a code such as en"):
        reward.configure(language="english")


@pytest.mark.parametrize(
    "piece", ["a", "the cat. ", "猫", "\\begin{", "$", "`", "<", "\\(a", "\\a{", "$x", "\n", "\x00", "\u0301", "a."]
)
def test_a_million_characters_take_no_time(piece):
    text = (piece * 10**6)[: 10**6]
    share("warm", "en")
    start = time.process_time()
    share(text, "en")
    assert time.process_time() - start < 5.0
