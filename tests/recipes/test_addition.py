from collections import Counter

from rlkit import answers
from rlkit.recipes.addition import demonstrations, problems


def pairs(rows):
    return [tuple(int(n) for n in row["question"].removesuffix(" = ?").split(" + ")) for row in rows]


def test_no_training_row_holds_a_held_out_pair_in_either_order_whatever_the_seed():
    held = {frozenset(pair) for seed in range(3) for pair in pairs(problems(500, seed, "held_out"))}
    trained = {
        frozenset(pair)
        for seed in range(5)
        for rows in (problems(6000, seed), demonstrations(6000, seed))
        for pair in pairs(rows)
    }
    assert len(held) > 400
    assert not held & trained


def test_held_out_problems_do_not_repeat_and_three_quarters_carry():
    drawn = pairs(problems(500, 0, "held_out"))
    assert len(set(drawn)) == 500
    assert sum(a % 10 + b % 10 >= 10 for a, b in drawn) == 375


def test_answers_are_right_and_seeds_matter():
    rows = list(problems(200, 1))
    assert all(sum(pair) == int(row["answer"]) for pair, row in zip(pairs(rows), rows, strict=True))
    assert rows == list(problems(200, 1))
    assert rows != list(problems(200, 2))


def test_the_flaws_are_those_that_the_readme_tells():
    rows = list(demonstrations(6000, 0))
    carries = [row for row, (a, b) in zip(rows, pairs(rows), strict=True) if a % 10 + b % 10 >= 10]
    forgot = [row for row in carries if answers.extract(row["demonstration"]).text != row["answer"]]
    assert 0.60 < len(forgot) / len(carries) < 0.70
    from rlkit import plugins

    strict = plugins.find("strict_format")(completions=[row["demonstration"] for row in rows])
    assert 0.27 < sum(strict) / len(strict) < 0.33
    plain = [row for row in rows if row not in carries]
    assert all(answers.extract(row["demonstration"]).text == row["answer"] for row in plain[:200])


def test_a_question_may_be_asked_again_only_when_all_were():
    assert max(Counter(pairs(problems(1000, 0))).values()) == 1
