import json
import time

import pytest

from rlkit import plugins
from rlkit.errors import RequestError

CODE = "```python\nprint(4)\n```"
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
BO = '{"name": "Bo", "age": 4}'
TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}


def score(name, text, **parameters):
    return plugins.find(name)(completion=text, **parameters)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CODE, 1),
        (f"Sure:\n\n{CODE}\n\nIt prints 4.", 1),
        (CODE.replace("python", "Python title=a.py"), 1),
        (CODE.replace("```", "~~~~"), 1),
        (f"<think>\n```python\nprint(5)\n```\n</think>\n{CODE}", 1),
        (f"{CODE}\n```bash\npython a.py\n```", 1),
        (f"<answer>{CODE}</answer>", 1),
        ("````python\nprint('```')\n````", 1),
        (f"<think>\n{CODE}", 0),
        (f"{CODE}\n{CODE}", 0),
        (CODE.removesuffix("```"), 0),
        (CODE.replace("python", ""), 0),
        (CODE.replace("python", "py"), 1),
        (CODE.replace("python", "Python3"), 1),
        (CODE.replace("python", "pycon"), 0),
        (f"{CODE}\n" + CODE.replace("python", "py"), 0),
        (CODE.replace("4", "'<answer>'"), 1),
        ("```python\n\u200b\n```", 0),
        ("```python print(4)```", 0),
        ("````python\nprint(4)\n```", 0),
        ("print(4)", 0),
        ("```python" * 1000, 0),
        ("", 0),
    ],
)
def test_one_closed_block_of_the_language(text, expected):
    assert score("code_format", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<think>print it</think>\n<answer>\n{CODE}\n</answer>", 1),
        (f"<think>print it</think>\n<answer>{CODE}</answer>", 1),
        (f"<think>print it</think>\n<answer>\n{CODE}\n</answer> Bye", 0),
        (f"<think>{CODE}</think>\n<answer>print(4)</answer>", 0),
        (CODE, 0),
    ],
)
def test_code_in_the_last_section(text, expected):
    assert score("code_format", text, sections=["think", "answer"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BO, 1),
        (f"\n {BO} \n", 1),
        (f"```json\n{BO}\n```", 1),
        (f"Here you are:\n```\n{BO}\n```\nBye", 1),
        (f"<think>{{}}</think>{BO}", 1),
        (f"<think>a</think><answer>\n```json\n{BO}\n```\n</answer>", 1),
        (f"<think>{BO}", 0),
        (f"Here you are: {BO}", 0),
        (f"{BO}\n{BO}", 0),
        (f"[{BO}]", 0),
        (f"```json\n{BO}\n```\n```json\n{BO}\n```", 0),
        ('{"name": "Bo"}', 0),
        ('{"name": "Bo", "age": "4"}', 0),
        ('{"name": "Bo", "age": -1}', 0),
        ('{"name": "Bo", "age": 4, "x": 1}', 0),
        ('{"name": "Bo", "age": 3, "age": 4}', 0),
        ("{'name': 'Bo', 'age': 4}", 0),
        ('{"name": "Bo", "age": 4,}', 0),
        ('{"name": "Bo", "age": ٤}', 0),
        ("null", 0),
        ("", 0),
        ("{" * 10_000, 0),
    ],
)
def test_the_answer_fits_the_schema(text, expected):
    assert score("json_schema", text, schema=PERSON) == expected


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "[1, NaN]", "9" * 5000, "\x00", "01", "+1"])
def test_what_json_does_not_have_is_no_json(text):
    assert score("json_schema", text, schema={}) == 0.0
    assert score("json_schema", "1", schema={}) == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "<answer>", "age": 4}', 1),
        ('```json\n{"name": "<answer>", "age": 4}\n```', 1),
        ('{"name": "<answer>", "age": -4}', 0),
        ('```json\n{"name": "Bo", "age": 4}\n```\n<answer>{"name": "Bo"}</answer>', 0),
        ('```json\n{"name": "Bo"}\n```\n<answer>{"name": "Bo", "age": 4}</answer>', 1),
    ],
)
def test_a_tag_inside_the_json_is_no_tag(text, expected):
    assert score("json_schema", text, schema=PERSON) == expected


@pytest.mark.parametrize("name", ["code_format", "json_schema"])
@pytest.mark.parametrize("piece", ["```\n", "```json\n1\n```\n", "<answer>", "~~~\n<answer>\n~~~\n"])
def test_a_million_characters_take_no_time(name, piece):
    made = plugins.find(name).configure(**({"schema": PERSON} if name == "json_schema" else {}))
    text = (piece * 10**6)[: 10**6]
    start = time.perf_counter()
    made(completions=[text])
    assert time.perf_counter() - start < 5.0


def test_json_is_read_to_a_depth_and_a_length():
    made = plugins.find("json_schema").configure(schema=TREE)
    deep = ["[" * n + "]" * n for n in (1, 100, 101, 900, 100_000)]
    assert made(completions=deep) == [1, 1, 0, 0, 0]
    strings = plugins.find("json_schema").configure(schema={"type": "string"})
    assert strings(completions=[json.dumps("[" * 40_000), json.dumps("a" * 60_000)]) == [1, 0]


@pytest.mark.parametrize("text", ['\\"' * 24_000, '["' + '\\"' * 24_000, '"' * 49_999, "[1," * 16_000], ids=repr)
def test_json_that_never_ends_takes_no_time(text):
    made = plugins.find("json_schema").configure(schema=TREE)
    made(completions=["[]"])
    start = time.perf_counter()
    assert made(completions=[text[:60_000]]) == [0]
    assert time.perf_counter() - start < 5.0


def test_a_number_too_large_for_the_schemas_sums_is_a_wrong_answer():
    assert score("json_schema", "1" * 4000, schema={"multipleOf": 0.01}) == 0.0


@pytest.mark.parametrize(
    ("schema", "said"), [({"type": "intger"}, "'intger'"), ({"required": "name"}, "required"), ([], "dict")]
)
def test_a_schema_that_is_none_is_refused(schema, said):
    with pytest.raises(RequestError, match=said):
        plugins.find("json_schema").configure(schema=schema)


def test_a_reference_out_of_the_schema_is_not_fetched():
    made = plugins.find("json_schema").configure(schema={"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(Exception, match="Unresolvable"):
        made(completions=["1"])


@pytest.mark.parametrize(
    ("text", "parameters", "expected"),
    [
        (r"So it is \boxed{2024-02-29}.", {}, 1),
        ("<answer>2024-02-29, or 2024-03-01</answer>", {}, 0),
        ("<answer>2024-02-29, or 2024-03-01</answer>", {"full": False}, 1),
        ("<think>2024-02-29", {}, 0),
        ("2024-02-29", {}, 0),
        ("2024-02-29", {"where": "text"}, 1),
        ("On 2024-02-29", {"where": "text"}, 0),
        ("On 2024-02-29", {"where": "text", "full": False}, 1),
        ("", {"where": "text"}, 0),
    ],
)
def test_the_answer_or_the_text_matches(text, parameters, expected):
    assert score("regex", text, pattern="[0-9]{4}-[0-9]{2}-[0-9]{2}", **parameters) == expected


def test_a_pattern_that_is_none_is_refused():
    for pattern in ("(", "a{5,1}", "[z-a]"):
        with pytest.raises(RequestError, match="no regular expression"):
            plugins.find("regex").configure(pattern=pattern)


def test_a_pattern_that_hangs_costs_its_time_limit():
    made = plugins.find("regex").configure(pattern="(a+)+b", where="text", timeout=0.5)
    errors = []
    start = time.perf_counter()
    values = made.score({"completions": ["aab", "a" * 40, "c"]}, lambda i, error: errors.append(i))
    assert values == [1.0, None, 0.0]
    assert errors == [1]
    assert time.perf_counter() - start < 20
