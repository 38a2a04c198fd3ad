"""What passes between tests and the program under test, and the tricks that have to earn nothing."""

import pytest

from rlkit import sandbox
from rlkit.errors import RunError

WORKING = [kind for kind, reason in sandbox.available().items() if not reason]
each_kind = pytest.mark.parametrize("kind", WORKING)


def share(program, test, kind="auto", **settings):
    return sandbox.examine(program, test, kind=sandbox.choose(kind), **settings).share


ADD = "assert add(1, 2) == 3\nassert add(2, 2) == 4\nassert set([add(1, 1)]) == {2}\nassert abs(add(1, 0) - 1) < 1e-6"

TRICKS = {
    "leaves before the asserts": "import os\nos._exit(0)",
    "leaves in the call": "import os\ndef add(a, b): os._exit(0)",
    "raises SystemExit": "def add(a, b): raise SystemExit(0)",
    "raises SystemExit on import": "import sys\nsys.exit(0)",
    "raises AssertionError": "def add(a, b): raise AssertionError",
    "returns what equals everything": """
class Any(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 2
    def __sub__(self, other): return 0
    def __abs__(self): return 0
    __rsub__ = __sub__
def add(a, b): return Any()""",
    "returns mock.ANY": "from unittest.mock import ANY\ndef add(a, b): return ANY",
    "returns NaN": "def add(a, b): return float('nan')",
    "redefines built-in functions": """
import builtins, sys
def add(a, b): return 0
def set(x): return 1
def abs(x): return 0
builtins.set, builtins.abs = set, abs
for module in list(sys.modules.values()):
    vars(module).update(set=set, abs=abs) if module else None""",
    "empties sys.modules": "import sys\nsys.modules.clear()\ndef add(a, b): return None",
    "patches the codec": """
import sys
for name, module in list(sys.modules.items()):
    if name.startswith("inside"):
        for key, value in list(vars(module).items()):
            if callable(value) and not isinstance(value, type):
                setattr(module, key, lambda *a, **k: True)
def add(a, b): return None""",
    "looks for the expected values": """
import gc, sys
def add(a, b):
    frame = sys._getframe()
    while frame:
        for value in frame.f_locals.values():
            if "==" in str(value): exec(str(value))
        frame = frame.f_back
    seen = [one for one in gc.get_objects() if isinstance(one, str) and "add(1, 2)" in one]
    return eval(seen[0].split("==")[1]) if seen else None""",
    "prints what is expected": "def add(a, b): pass\nprint(3)\nprint('passed')",
    "writes a verdict everywhere": """
import os
said = b'{"share": 1.0, "fault": "", "why": ""}\\n["value", 3, []]\\nbegun\\n'
for number in range(64):
    try:
        os.write(number, said)
    except OSError:
        pass
def add(a, b): pass""",
    "answers the examiner with other numbers": """
import os
for number in range(3, 64):
    try:
        os.write(number, b'["value", ["same", 0], [[0, [1]]]]\\n' * 9)
    except OSError:
        pass
def add(a, b): pass""",
    "answers without end": """
import os
def add(a, b):
    while True:
        for number in range(3, 64):
            try:
                os.write(number, b'[' * 65536)
            except OSError:
                pass""",
    "nests its answer": "x = []\nfor _ in range(500000): x = [x]\ndef add(a, b): return x",
    "hands out a standard function": "import unittest.mock\nadd = unittest.mock.MagicMock()",
    "loops": "def add(a, b):\n    while True: pass",
    "kills what it can": "import os\ndef add(a, b):\n    os.kill(-1, 9)\n    os.kill(1, 9)",
}


@each_kind
@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_earns_anything(trick, kind):
    assert share(TRICKS[trick], ADD, kind, fraction=True, seconds=1) == 0.0


@each_kind
@pytest.mark.parametrize("error", ["ImportError", "AttributeError", "TypeError", "GoneError"])
def test_no_answer_of_the_candidate_is_a_fault_of_the_tests(error, kind):
    program = f"""
import os
for number in range(3, 64):
    try:
        os.write(number, b'["value",null,[]]\\n' + b'["error","{error}","x"]\\n' * 9)
    except OSError:
        pass
"""
    for test in ("from solution import add\nassert add(1, 2) == 3", "import solution\nassert solution.add(1, 2) == 3"):
        assert share(program, test, kind) == 0.0
    assert share("def __getattr__(name): raise ImportError('x')", "from solution import add\nassert add(1, 2)") == 0.0


@each_kind
def test_the_answer_itself_earns_all(kind):
    assert share("def add(a, b): return a + b", ADD, kind) == 1.0
    assert share("def add(a, b): return a + b", ADD, kind, fraction=True) == 1.0
    assert share("def add(a, b): return 3", ADD, kind) == 0.0


@pytest.mark.parametrize(
    ("program", "test"),
    [
        (
            "class Yes:\n    def __getattr__(self, name): return lambda *a: True\ndef f(x): return Yes()",
            "assert f(1).startswith('a')\nassert f(1).isdigit()",
        ),
        ("import math\nmath.isclose = lambda *a: True\ndef f(x): return 0", "assert math.isclose(f(1), 2.5)"),
        ("def isclose(*a): return True\ndef f(x): return 0", "assert isclose(f(1), 2.5)"),
        ("class np:\n    allclose = lambda *a: True\ndef f(x): return [0]", "assert np.allclose(f(1), [2.5])"),
        ("class Liar:\n    def __contains__(self, x): return True\n    def __iter__(self): return iter([])\n"
         "def f(x): return Liar()", "assert 5 in f(1)"),
        ("import os\ndef f(x): os._exit(0)",
         "try:\n    f(1)\n    raise KeyError\nexcept KeyError:\n    assert 0\nexcept:\n    pass"),
        ("def f(x):\n    x.clear()\n    return []", "data = [1, 2]\nwanted = sorted(data)\nassert f(data) == wanted"),
        ("def f(x): return 0\ndef helper(x): return 0", "def helper(x): return x\nassert f(1) == helper(1)"),
        ("def f(call): return call.__globals__['secret']", "secret = 7\nassert f(lambda: 1) == 7"),
        ("def f(node): return node.__init__.__globals__['secret']",
         "secret = 7\nclass Node:\n    def __init__(self): self.value = 1\nassert f(Node()) == 7"),
        ("def f(node): node.value = lambda: 7; node.double = lambda: 7",
         "class Node:\n    value = 1\n    def double(self): return 2\nn = Node()\nf(n)\nassert n.double() == 7"),
        ("def f(g): return g.__class__.__subclasses__()[0]", "assert f(eval) is True"),
        ("from collections import *\ndef f(x): return namedtuple('P', 'isdigit')(lambda: True)",
         "assert f(1).isdigit()"),
        ("class P(tuple): _fields = ('__eq__', 'count')\ndef f(x): return P((lambda x: True, lambda x: 3))",
         "assert f(1).count(2) == 3"),
        # what is empty compares as true with everything
        ("import numpy as np\ndef f(x): return np.zeros((0, 1))", "assert np.allclose(f(1), [1, 2, 3])"),
        ("import numpy as np\ndef f(x): return np.zeros((0, 1))", "import numpy\nassert (f(2) == numpy.ones(3)).all()"),
        ("import numpy as np\ndef f(x): return np.zeros((0, 1))", "assert (abs(f(2) - np.ones(3)) < 1e-6).all()"),
        ("import numpy as np\ndef f(x): return np.zeros((0, 1))", "assert np.array_equiv(f(2), [1, 2])"),
        ("import numpy as np\ndef f(x): return np.zeros(0)",
         "import numpy.testing\nnumpy.testing.assert_allclose(f(2), 5)\nassert True or f(1)"),
        ("def f(x): return []", "from numpy import allclose\nassert allclose(f(1), 5)"),
        ("def f(x): return []", "import numpy as np\nassert np.isclose(f(1), [5]).all()"),
        # a name that Python has too is not there for a program that does nothing
        ("pass", "assert max([1, 2]) == 2"),
        ("pass", "from builtins import max\nassert max([1, 2]) == 2"),
        ("WANTED = []", "for one in WANTED:\n    assert one == 1"),
        ("def f(x): return []", "for a, b in zip(f(1), [1, 2]):\n    assert a == b"),
    ],
)  # fmt: skip
def test_what_the_tests_lean_on_is_not_the_candidates(program, test):
    assert share(program, test) == 0.0


@pytest.mark.parametrize(
    "value",
    [
        "None", "True", "-0.0", "float('inf')", "10 ** 6000", "-3", "2j", "'é\\udc80'", "b'\\x00'", "bytearray(b'a')",
        "[1, [2, (3,)]]", "{'a': {1: [2]}}", "{1, 2}", "frozenset([1])", "range(1, 9, 2)", "...", "int", "object",
        "__import__('collections').deque([1, 2], 3)", "__import__('collections').Counter('aab')",
        "__import__('decimal').Decimal('1.10')", "__import__('fractions').Fraction(1, 3)",
        "__import__('datetime').datetime(2024, 2, 29, 1, 2, 3, 4, __import__('datetime').timezone.utc)",
        "__import__('datetime').date(2024, 2, 29)", "__import__('datetime').timedelta(1, 2, 3)",
        "__import__('datetime').time(1, 2)",
    ],
)  # fmt: skip
def test_values_arrive_as_they_are(value):
    program = f"def same(x): return x\ndef made(): return {value}"
    test = (
        f"wanted = {value}\nfor got in (same(wanted), made()):\n"
        "    assert type(got) is type(wanted) and got == wanted\n"
        "    assert isinstance(got, int) or repr(got) == repr(wanted)\n"
    )
    assert share(program, test) == 1.0


@pytest.mark.parametrize(
    ("program", "test"),
    [
        # subclasses count as what they are built on
        ("import enum\nclass E(enum.IntEnum):\n    A = 1\ndef f(): return E.A", "assert f() == 1 and type(f()) is int"),
        ("from collections import *\ndef f(): return defaultdict(list, a=[1])", "assert f() == {'a': [1]}"),
        ("from collections import *\nP = namedtuple('P', 'x y')\ndef f(): return P(1, 2)", "assert f() == (1, 2)"),
        ("from collections import *\nP = namedtuple('P', 'x y')\ndef f(): return P(1, y=[2])",
         "assert f().x == 1 and f().y == [2] and f() == (1, [2]) and f()[1] == [2] and P(1, 2).y == 2\n"
         "assert repr(f()) == 'P(x=1, y=[2])' and f()._replace(x=2) == (2, [2])"),
        ("def f(p): return p.x + p.y",
         "import collections\nP = collections.namedtuple('P', 'x y')\nassert f(P(1, 2)) == 3"),
        ("def add(a, b): return a + b\ndef f(): return add", "assert f().__name__ == 'add' and add.__name__ == 'add'"),
        ("import numpy\ndef f(): return numpy.float32(0.5)", "assert f() == 0.5 and type(f()) is float"),
        ("import numpy\ndef f(x): return numpy.array(x) * 2", "import numpy\nassert numpy.allclose(f([1, 2]), [2, 4])"),
        ("import numpy as np\ndef f(n): return np.arange(n) * 2.0",
         "import numpy as np\nassert np.allclose(f(0), []) and f(0).shape == (0,) and len(f(0)) == 0\n"
         "assert (f(0) == np.array([])).all() and np.array_equal(f(0), []) and not np.array_equal(f(0), [1])\n"
         "assert f(0).sum() == 0 and f(0).tolist() == [] and isinstance(f(0), np.ndarray)\n"
         "assert np.isclose(f(2), [0, 2]).all() and np.allclose(b=[0, 2], a=f(2))"),
        ("def f(): return float('nan')", "x = f()\nassert x != x"),
        ("def f(): return {1: 2}.keys()", "assert f() == {1} and list(f()) == [1]"),
        # what is no plain value works where it is
        ("def f(n):\n    while True:\n        n += 1\n        yield n",
         "g = f(1)\nassert next(g) == 2 and next(g) == 3"),
        ("def f(n): return (i for i in range(n))", "assert list(f(3)) == [0, 1, 2]\nassert sum(f(4)) == 6"),
        ("def f(n): return lambda x: x + n", "assert f(2)(3) == 5"),
        ("import re\ndef f(s): return re.match('a', s)",
         "assert f('ab')\nassert not f('b')\nassert f('a').group() == 'a'"),
        ("class Stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)\n"
         "    def __len__(self): return len(self.items)\n    def startswith(self, x): return self.items[0] == x",
         "s = Stack()\ns.push(4)\nassert len(s) == 1 and s.items == [4] and s.startswith(4) and not s.startswith(5)"),
        ("class Node:\n    def __init__(self, v): self.v, self.next = v, None\n"
         "def f(n): return [n.v] + (f(n.next) if n.next else [])",
         "a = Node(1)\na.next = Node(2)\nassert f(a) == [1, 2]\nassert a.next.v == 2"),
        # arguments: functions, iterators, classes of the tests, changes in place
        ("def f(g, x): return [g(i) for i in x]",
         "assert f(lambda x: x * 2, [1, 2]) == [2, 4]\nassert f(str, [1]) == ['1']"),
        ("def f(g, x): return g(lambda y: y + x)", "assert f(lambda h: h(1) + h(2), 10) == 23"),
        ("def f(it): return sum(it)", "assert f(iter([1, 2])) == 3\nassert f(x for x in range(4)) == 6"),
        ("def f(op): return op(2, 3)", "import operator\nassert f(operator.mul) == 6"),
        ("def f(x):\n    x.sort()\n    x[0].append(9)",
         "d = [[2], [1]]\ninner = d[1]\nf(d)\nassert d == [[1, 9], [2]]\nassert d[0] is inner"),
        ("def f(d, s):\n    d.pop('a')\n    s.add(3)\n    return d", "d, s = {'a': 1, 'b': 2}, {1}\n"
         "assert f(d, s) is d and d == {'b': 2} and s == {1, 3}"),
        ("def f(x): x[0][0] = 1; return x", "assert f([[0, 0]] * 2) == [[1, 0], [1, 0]]"),
        ("def f(x):\n    x.append(x)\n    return x", "r = f([1])\nassert r[1] is r"),
        ("def f(t): return t.left.v + t.right.total()\n",
         "class Tree:\n    def __init__(self, v, *c): self.v, (self.left, self.right) = v, c or (None, None)\n"
         "    def total(self): return self.v * 10\nassert f(Tree(1, Tree(2), Tree(3))) == 32"),
        ("def f(p): p.x = 5",
         "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\np = P(1)\nf(p)\nassert p == P(5)"),
        # errors
        ("def f(x): raise ValueError('no ' + x)",
         "try:\n    f('way')\nexcept ValueError as error:\n    assert str(error) == 'no way'\nelse:\n    assert False"),
        ("class Own(KeyError): pass\ndef f(): raise Own",
         "try:\n    f()\n    assert False\nexcept KeyError:\n    pass"),
        # names
        ("def sum(a, b): return a * b", "assert sum(2, 3) == 6"),
        ("import sys\ndef size(x): return sys.getsizeof(x)", "assert size((1, 2)) == sys.getsizeof((1, 2))"),
        ("LIMIT = 3", "assert LIMIT == 3"),
        # ways to write tests
        ("def f(x): return x", "def test_f():\n    assert f(1) == 1\ndef test_g():\n    assert f(2) == 2"),
        ("def f(x): return x", "from solution import f\ndef test_f():\n    assert f(1) == 1"),
        ("def f(x): return x", "if f(1) != 1:\n    raise ValueError"),
        ("def f(x): return x", "import unittest\nclass Tests(unittest.TestCase):\n"
         "    def setUp(self): self.x = 3\n    def test_f(self): self.assertEqual(f(self.x), 3)\n"
         "if __name__ == '__main__':\n    unittest.main()"),
        ("def f(x): return x", "class TestF:\n    def setup_method(self): self.x = 3\n"
         "    def test_f(self):\n        assert f(self.x) == 3"),
        ("def f(x): return x", "class TestF:\n    def test_f(self):\n        assert f(1) == 1\n"
         "    def test_g(self):\n        assert f(2) == 2"),
        ("def f(x): return x", "import pytest\n@pytest.mark.parametrize(('x', 'y'), [(1, 1), (2, 2)])\n"
         "@pytest.mark.parametrize('z', [0])\ndef test_f(x, y, z):\n    assert f(x) == y and f(z) == 0"),
        ("class Box:\n    def __init__(self): self.held = []\n    def put(self, x): self.held.append(x)",
         "box = Box()\ndef test_put():\n    box.put(1)\n    assert box.held == [1]"),
        ("if __name__ == '__main__':\n    input()\ndef f(x): return x", "assert f(1) == 1"),
        ("def f(n): return 0 if n == 0 else 1 + f(n - 1)", "assert f(5000) == 5000"),
    ],
)  # fmt: skip
def test_right_programs_pass(program, test):
    verdict = sandbox.examine(program, test, kind=sandbox.choose())
    assert verdict == (1.0, "")


def test_a_test_must_be_able_to_fail_the_right_way():
    assert (
        share("def f(x): return x", "def test_f():\n    assert f(1) == 1\ndef test_g():\n    assert f(2) == 3") == 0.0
    )
    unit = "from unittest import TestCase\nclass Tests(TestCase):\n    def test_f(self): self.assertEqual(f(1), 2)"
    assert share("def f(x): return x", unit) == 0.0
    plain = (
        "class TestF:\n    def test_f(self):\n        assert f(1) == 1\n    def test_g(self):\n        assert f(1) == 2"
    )
    assert share("def f(x): return x", plain) == 0.0
    assert share("def f(x): return x", plain, fraction=True) == 0.5
    rows = "import pytest\n@pytest.mark.parametrize('x,y', [(1, 1), (2, 3)])\ndef test_f(x, y):\n    assert f(x) == y"
    assert share("def f(x): return x", rows) == 0.0
    assert share("def f(x): return x + 1", "if f(1) != 1:\n    raise ValueError") == 0.0
    assert share("def f(g, x): return [i for i in x]", "assert f(lambda x: x * 2, [1, 2]) == [2, 4]") == 0.0


@pytest.mark.parametrize("error", ["KeyError", "ImportError", "TypeError"])
def test_an_error_of_the_candidate_while_a_test_is_set_up_is_a_wrong_answer(error):
    test = "class TestF:\n    def setup_method(self): self.x = f(1)\n    def test_f(self):\n        assert self.x == 1"
    assert share(f"def f(x): raise {error}", test) == 0.0
    assert share("def f(x): return x", test) == 1.0


def test_the_share_is_of_asserts_that_ran_or_of_all_where_the_tests_broke_off():
    test = "assert f(1) == 1\nassert f(2) == 2\nfor i in range(9):\n    assert f(i) == i\nassert True\nassert f(3) == 3"
    assert share("def f(x): return x if x < 3 else 0", test, fraction=True) == 0.5
    assert share("def f(x): return x", test, fraction=True) == 1.0
    assert share("def f(x): return x if x < 3 else 0", test) == 0.0
    broken_off = "assert f(1) == 1\nx = f(2)\nassert x == 2\nassert f(1) == 1\nassert f(1) == 1"
    assert share("def f(x): return {1: 1}[x]", broken_off, fraction=True) == 0.25


def test_helpers_of_the_prompt_are_the_prompts():
    prompt = (
        "import math\n\ndef double(x: int):\n    return math.floor(2 * x)\n\n\n"
        'def half(x: int):\n    """\n    The inverse of double.\n    """\n'
    )
    test = "def check(candidate):\n    for i in range(5):\n        assert candidate(double(i)) == i\n"
    for program in (
        prompt + "    return x // 2\n",
        "    return x // 2\n",
        "return x // 2",
        "y = x // 2\n    return y",
        "def half(x): return math.floor(x / double(1))",
    ):
        assert share(program, test, entry="half", prompt=prompt) == 1.0, program
    for instruction in (f"Complete this:\n\n{prompt}", f"Complete this:\n```python\n{prompt}```"):
        assert share("    return x // 2\n", test, entry="half", prompt=instruction) == 1.0, instruction
    cheat = "def double(x): return 0\ndef half(x): return 0"
    assert share(cheat, test, entry="half", prompt=prompt) == 0.0


def test_an_entry_may_be_a_method():
    program = "class Solution:\n    def twoSum(self, nums, target): return [0, 1]"
    test = "def check(candidate):\n    assert candidate(nums=[3, 3], target=6) == [0, 1]"
    assert share(program, test, entry="Solution().twoSum", prompt="class Solution:\n    def twoSum(self): ...") == 1.0


@pytest.mark.parametrize(
    ("test", "entry", "said"),
    [
        ("assert f(1) ==", "", "no Python"),
        ("x = 1", "", "check nothing"),
        ("def test_f(tmp_path):\n    assert f(1) == 1", "", "tmp_path"),
        ("def check(candidate):\n    assert candidate(1) == 1", "", "no entry_point"),
        ("import no_such_package\nassert f(1) == 1", "", "no_such_package"),
        ("import threading\nassert f(threading.Lock()) == 1", "", "cannot be passed"),
    ],
)
def test_tests_at_fault_are_not_the_candidates_fault(test, entry, said):
    with pytest.raises(RunError, match=said):
        share("def f(x): return x", test, entry=entry)
