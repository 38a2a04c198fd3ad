import pytest

from rlkit import plugins
from rlkit.errors import RequestError


@pytest.mark.parametrize(
    ("completion", "answer", "expected"),
    [
        ("<answer>\n4\n</answer>", "4", 1),
        ("<answer>4</answer><answer>5</answer>", "4", 0),
        ("The sum is 1,234.", "1234", 1),
        ("<answer>$3.50</answer>", 3.5, 1),
        ("<answer>-3</answer>", "3", 0),
        ("<think>4</think>I do not know", "4", 0),
        ("<answer>Paris</answer>", "paris", 1),
        ("<answer>12</answer>", "1", 0),
        ("<answer>4 apples</answer>", "4", 0),
    ],
)
def test_correctness(completion, answer, expected):
    assert plugins.find("correctness")(completion=completion, answer=answer) == expected


def test_a_row_without_an_answer_is_not_scored():
    assert plugins.find("correctness")(completions=["4", "4"], answer=[None, "4"]) == [None, 1.0]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("<answer>-5</answer>", 1),
        ("<answer>5.0</answer>", 1),
        ("<answer>5.5</answer>", 0),
        ("<answer>1/2</answer>", 0),
        ("<answer>about 5</answer>", 0),
        ("<answer></answer>", 0),
        ("5 and 6 and 7", 0),
        ("<answer>1 000</answer>", 1),
    ],
)
def test_int(completion, expected):
    assert plugins.find("int")(completion=completion) == expected


def test_the_course_gives_other_values():
    """It compares letter by letter, and takes digits alone for a whole number."""
    for name, text, ours, course in [
        ("correctness", "<answer>4.0</answer>", 1.0, 0.0),
        ("correctness", "<answer>4</answer>", 1.0, 2.0),
        ("int", "<answer>-4</answer>", 1.0, 0.0),
        ("int", "<answer>4</answer>", 1.0, 0.5),
        ("int", "4", 0.0, 0.5),
    ]:
        columns = {"answer": "4"} if name == "correctness" else {}
        reward = plugins.find(name)
        assert (reward(completion=text, **columns), reward(completion=text, compat="course", **columns)) == (
            ours,
            course,
        )


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("correctness", {"rules": ["bxed"]}, "did you mean 'boxed'"),
        ("int", {"rules": ["numbr"]}, "did you mean 'number'"),
        ("numeric", {"relative": -1.0}, "at least 0"),
        ("numeric", {"decimal": "auto "}, "'auto', '.' or ','"),
        ("multiple_choice", {"first": 2}, "0 or 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, parameters, said):
    with pytest.raises(RequestError, match=said):
        plugins.find(name).configure(**parameters)


@pytest.mark.parametrize(
    ("given", "gold"),
    [
        ("1,234.5", "1234.5"),
        ("1 234,5", "1234.5"),
        ("1.234.567,5", "1234567.5"),
        ("1'234", 1234),
        ("−3", "-3"),
        ("3½", "3.5"),
        ("1 1/2", "1.5"),
        (r"-\frac{3}{4}", "-0.75"),
        ("2.5e-3", "0.0025"),
        (r"2.5 \times 10^{-3}", "0.0025"),
        ("$18", "#### 18"),
        ("12 %", "0.12"),
        ("12", "12%"),
        ("90 minutes", "1.5 hours"),
        ("250 cents", "2.5 dollars"),
        ("x = 5", "5"),
        ("12 apples", "12"),
        (r"12 \text{ m}^2", "12 m^2"),
        ("12 m²", "12 m^2"),
        ("negative 5", "-5"),
        ("minus $5", "-5"),
        ("5 million", "5000000"),
        ("$3k", "3000"),
        ("3 dozen", "36"),
        (r"5\text{ thousand}", "5000"),
        ("3×10⁸", "300000000"),
        ("$1", "100 cents"),
        (r"\frac{1}{-2}", "-0.5"),
        ("The answer is 5", "5"),
    ],
)
def test_numeric_compares_values(given, gold):
    assert plugins.find("numeric")(completion=f"<answer>{given}</answer>", answer=gold) == 1.0


@pytest.mark.parametrize(
    ("given", "gold"),
    [
        ("3 or 4", "4"),
        ("3, 4", "4"),
        ("3-4", "4"),
        ("at least 4", "4"),
        ("not 4", "4"),
        ("> 4", "4"),
        ("2 + 2", "4"),
        ("10^3", "10"),
        ("-4", "4"),
        ("4.0001", "4"),
        ("4 m", "4 s"),
        ("4 m^2", "4 cm^2"),
        ("1.2.3", "123"),
        ("1/0", "0"),
        ("٤", "4"),
        ("1e999999999", "4"),
        ("", "4"),
        ("negative 4", "4"),
        ("√4", "4"),
        ("sqrt(4)", "4"),
        (r"\sqrt{4}", "4"),
        ("f(4)", "4"),
        ("4π", "4"),
        ("4x", "4"),
        ("4 x", "4"),
        ("4i", "4"),
        ("4²", "4"),
        ("10⁻³", "10"),
        ("4 squared", "4"),
        ("half of 4", "4"),
        ("|−4|", "-4"),
        ("4 million", "4"),
        ("isn't 4", "4"),
        ("never 4", "4"),
        ("4 is wrong", "4"),
        ("anything but 4", "4"),
        ("4?", "4"),
        ("4 m^2", "4 m"),
        ("4 km/h", "4 km"),
    ],
)
def test_numeric_takes_no_other_value_and_no_two(given, gold):
    assert plugins.find("numeric")(completion=f"<answer>{given}</answer>", answer=gold) == 0.0


@pytest.mark.parametrize("name", ["correctness", "numeric"])
@pytest.mark.parametrize("minus", ["-", "−", "–", "-$"])
def test_a_number_in_prose_keeps_its_sign(name, minus):
    reward = plugins.find(name)
    assert reward(completions=[f"The change is {minus}3."] * 2, answer=["3", "-3"]) == [0.0, 1.0]


ONES = [
    "10^3",
    "x^3",
    "4:3",
    "4 : 3",
    "4 / 3",
    "4–3",
    "4 to 3",
    "4 vs 3",
    "4|3",
    r"\sqrt{3}",
    "√3",
    "f(3)",
    "5+3",
    "x + 3",
]
OTHERS = ["3x", "3 + x", "12'3", "$x = 4$ or $x = 3$", "4 (or 3)", "maybe 4? maybe 3?", "x <= 3", "not 3", "at most 3"]


@pytest.mark.parametrize("name", ["correctness", "numeric"])
@pytest.mark.parametrize("text", ONES + OTHERS)
def test_no_number_is_cut_out_of_what_changes_it(name, text):
    assert plugins.find(name)(completions=[text, f"So I get {text}."], answer=["3"] * 2) == [0.0, 0.0]


def test_a_final_formula_is_read_as_a_whole():
    numeric = plugins.find("numeric")
    texts = [r"Hence $x=\frac{1}{2}$", "so it's 1e5", "They are 5 million", r"Thus \(x = 5\).", "So 5 * 3 = 15"]
    assert numeric(completions=texts, answer=["0.5", "100000", "5000000", "5", "15"]) == [1.0] * 5


def test_numeric_tolerance_and_decimal_mark_are_the_users():
    numeric = plugins.find("numeric")
    assert numeric(completion="A: 102", answer="100", relative=0.02) == 1.0
    assert numeric(completion="A: 103", answer="100", relative=0.02) == 0.0
    assert numeric(completion="A: 0.3", answer="0", absolute=0.5) == 1.0
    assert numeric(completion="A: 1,234", answer=1.234, decimal=",") == 1.0
    assert numeric(completion="A: 1,234", answer="1.234") == 0.0


PLACES = ["Paris", "Lyon", "Rome", "Bonn"]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("(B)", 1),
        ("b", 1),
        ("**B.**", 1),
        ("The correct answer is B: Lyon", 1),
        (r"\boxed{\textbf{(B) }Lyon}", 1),
        ("The answer is Lyon.", 1),
        ("Rome is out.\nSo I choose option B", 1),
        ("<answer>B because Lyon is on the Rhone</answer>", 1),
        ("(A) or (B)", 0),
        ("B, not C", 1),
        ("The answer is B, not A", 1),
        ("**B**. (A) is wrong", 1),
        ("'B'", 1),
        ("B\n\nIt lies on the Rhone.", 1),
        ("Hence the only correct option is (B) Lyon.\n\nThat is my answer.", 1),
        ("The answer is not B", 0),
        ("The answer isn't B", 0),
        ("anything except B", 0),
        ("B is wrong", 0),
        ("Neither A nor B", 0),
        ("B as well as C", 0),
        ("The answer is B, as is C", 0),
        ("B\n\nNo, it is not B", 0),
        ("A, B, C, D", 0),
        ("B/C", 0),
        ("(B) Rome", 0),
        ("A: Paris\nB: Lyon\nC: Rome\nD: Bonn", 0),
        ("<think>B", 0),
        ("A good question", 0),
        ("", 0),
    ],
)
def test_multiple_choice(completion, expected):
    assert plugins.find("multiple_choice")(completion=completion, answer="B", choices=PLACES) == expected


@pytest.mark.parametrize(
    ("answer", "parameters"), [("B", {}), ("(b)", {}), (1, {}), ("1", {}), (2, {"first": 1}), ("Lyon", {})]
)
def test_the_gold_choice_is_a_letter_a_number_or_a_text(answer, parameters):
    reward = plugins.find("multiple_choice").configure(**parameters)
    assert reward(completions=["B", "C"], answer=[answer] * 2, choices=[PLACES] * 2) == [1.0, 0.0]


def test_a_gold_answer_that_cannot_be_read_is_not_scored():
    assert plugins.find("multiple_choice")(completion="B", answer=9, choices=PLACES) is None
    assert plugins.find("numeric")(completion="A: 4", answer="four") is None
    assert plugins.find("exact_match")(completion="4", answer=[]) is None


def test_exact_match_is_exact_until_told_otherwise():
    exact = plugins.find("exact_match")
    assert exact(completion=" Paris\n", answer="Paris") == 1.0
    assert exact(completion="Paris, France", answer=["Paris", "Paris, France"]) == 1.0
    assert exact(completion="the  Eiffel Tower!", answer="The Eiffel tower") == 0.0
    loose = exact.configure(ignore_case=True, ignore_punctuation=True, ignore_space=True)
    assert loose(completion="the  Eiffel Tower!", answer="The Eiffel tower") == 1.0
    assert loose(completion="!!!", answer="The Eiffel tower") == 0.0
