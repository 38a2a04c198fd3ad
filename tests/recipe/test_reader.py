import pytest

from rlkit.errors import RequestError
from rlkit.recipe.reader import parse


def test_numbers_are_those_of_yaml_1_2():
    data, _ = parse("a: 5e-6\nb: 1E3\nc: 3\nd: 5e-6x\ne: '5e-6'\n", "x")
    assert data == {"a": 5e-6, "b": 1000.0, "c": 3, "d": "5e-6x", "e": "5e-6"}


def test_every_key_has_its_line():
    _, lines = parse("a:\n  b: 1\n  c:\n  - d\n  - e: 2\n", "x")
    assert lines[("a", "b")] == 2
    assert lines[("a", "c", 1, "e")] == 5


def test_yaml_runs_no_code():
    with pytest.raises(RequestError, match="not YAML"):
        parse("a: !!python/object/apply:os.getcwd []\n", "x")
