"""The tool that changes code is code, too: which changes it makes, whom it asks about them, and what it remembers."""

import ast
from pathlib import Path

import pytest
from judgements import Digests, Judgement, Judgements
from killers import REMEMBERED_MAX, Killers
from mentions import Mentions, acts_on, functions_mentioning
from mutants import Mutated
from rooms import ROOMS, expanded
from run import _accepted

ROOT = Path(__file__).parents[2]


def changes(source):
    """`after` of every change, by where it acts."""
    return [(mutant.owner, mutant.after) for mutant in Mutated(source, "m.py").mutants]


@pytest.mark.parametrize(
    ("source", "after"),
    [
        ("def f(a):\n    return a < 1", ["return a <= 1", "return a < 2", "return None"]),
        ("def f(a) -> bool:\n    return a is None", ["return a is not None", "return True", "return False"]),
        (
            "def f(a):\n    if a and not b:\n        g()",
            ["if a or not b:", "if a and b:", "pass", "if not (a and (not b)):"],
        ),
        ("def f(a):\n    raise XError('a b', code='c')", ["raise XError('a b', code='XXcXX')", "pass"]),
        ("def f(a):\n    raise XError('nothing', next_step='go')", ["pass"]),
        ("def f(a):\n    x = a[b:]", ["x = a[b + 1:]"]),
        ("def f(a):\n    for x in a:\n        continue", ["break"]),
        ("def f(a):\n    a.x = 1", ["a.x = 2", "pass"]),
        (
            "def f(a):\n    x = any(y for y in a if y)",
            ["x = all((y for y in a if y))", "x = any((y for y in a if not y))"],
        ),
        ("def f(a: 'text' = 1):\n    '''Says.'''", ["def f(a: 'text'=2):"]),
        (
            "A: Annotated[int, Meta(ge=0)] = 5",
            ["A: Annotated[int, Meta(ge=1)] = 5", "A: Annotated[int, Meta(ge=0)] = 6"],
        ),
        ("B = b'x' + 'a b c'.encode()", ["B = b'x' - '..'.encode()", "B = b'xXX' + '..'.encode()"]),
        ("class P(Protocol):\n    x: int = 1", []),
        ("x += 1", ["x += 2", "x -= 1"]),
    ],
)
def test_rows_of_changes(source, after):
    assert sorted(found for _, found in changes(source)) == sorted(after)


def test_what_acts_at_import_has_no_owner():
    source = "A = 1\n@cache(2)\ndef f(x=3):\n    return 4\nclass C:\n    D = 5\n    def g(self):\n        return 6\n"
    owners = {(mutant.line, mutant.owner, mutant.owner_line) for mutant in Mutated(source, "m.py").mutants}
    assert owners == {(1, "", 0), (2, "", 0), (3, "", 0), (4, "f", 2), (6, "", 0), (8, "C.g", 7)}


@pytest.mark.parametrize("room", ROOMS)
def test_every_change_of_a_room_compiles_and_has_a_name_of_its_own(room):
    sources, tests = (expanded(ROOT, patterns) for patterns in ROOMS[room])
    assert sources
    assert tests
    names = []
    for path in sources:
        module = Mutated((ROOT / path).read_text(), path)
        before = module.mutants and module.compiled(module.mutants[0])
        for mutant in module.mutants[:: max(1, len(module.mutants) // 20)]:
            assert module.compiled(mutant)
        assert not before or module.compiled(module.mutants[0]) == before, "a change is taken back after it was tried"
        names += [mutant.name(path) for mutant in module.mutants]
    assert len(names) == len(set(names))
    assert all(_accepted(room).values())


@pytest.mark.parametrize(
    ("noticed", "order"),
    [
        ([], ["cheap", "middle", "dear"]),
        ([("f", "dear")], ["dear", "cheap", "middle"]),
        ([("g", "dear")], ["cheap", "middle", "dear"]),
        ([("g", "middle")], ["middle", "cheap", "dear"]),
        ([("f", "dear"), ("f", "middle")], ["middle", "dear", "cheap"]),
        ([("f", None), ("f", "import"), ("f", "gone")], ["cheap", "middle", "dear"]),
    ],
)
def test_what_noticed_a_neighbour_is_asked_first_unless_it_costs_far_more(noticed, order):
    killers = Killers({"cheap": 0.1, "middle": 0.5, "dear": 6.0})
    for owner, test in noticed:
        killers.remember("m.py", owner, test)
    assert killers.ordered(["dear", "cheap", "middle"], "m.py", "f") == order
    assert killers.ordered(["dear", "cheap", "middle"], "other.py", "f") == ["cheap", "middle", "dear"]


def test_the_latest_killers_are_remembered_and_no_more_than_some():
    names = [f"t{number}" for number in range(REMEMBERED_MAX + 2)]
    killers = Killers(dict.fromkeys(names, 1.0))
    for name in [*names, names[-2]]:
        killers.remember("m.py", "f", name)
    assert killers.recent("m.py", "f") == [names[-2], names[-1], *reversed(names[2:-2])]


@pytest.mark.parametrize(
    ("statement", "classes", "names"),
    [
        ("A = B", (), {"A"}),
        ("A, _B = 1, 2", (), {"A", "_B"}),
        ("A: int = 5", ("C",), {"A", "C"}),
        ("table.update(x)", (), {"table", "x"}),
        ("def f(a=1): pass", ("C",), {"f"}),
        ("def __init__(self, a=1): pass", ("C",), {"C"}),
        ("class C(Struct, frozen=True): pass", ("C",), {"C"}),
        ("for x in y:\n    A[x] = 1", (), {"x"}),
    ],
)
def test_rows_of_what_a_statement_acts_on(statement, classes, names):
    assert acts_on(ast.parse(statement).body[0], classes) == names


SOURCE = """
LOW = 1
HIGH = LOW + 1
def made(): return HIGH
TABLE = made()
def first(): return TABLE
def second(): return 2
class C:
    field: int = second()
    def method(self):
        return self
"""


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        ({"LOW"}, {2, 3, 4, 5, 6}),
        ({"TABLE"}, {5, 6}),
        ({"field", "C"}, {9, 11}),
        ({"none"}, set()),
    ],
)
def test_rows_of_lines_that_mention_a_name_or_what_is_made_of_it_at_import(names, lines):
    found = Mentions({"m.py": SOURCE}, lambda _path, line: line == 4).lines(names)
    assert found == {("m.py", line) for line in lines}


def test_a_test_mentions_what_its_helper_or_its_rows_mention():
    source = "from m import LOW, HIGH\ndef near(): return LOW\ndef test_a(): near()\n"
    source += "@mark(HIGH)\ndef test_b(): pass\ndef test_c(): pass\n"
    mentioning = functions_mentioning(source)
    assert mentioning({"LOW"}) == {"near", "test_a"}
    assert mentioning({"HIGH"}) == {"test_b"}


@pytest.fixture
def tree(tmp_path):
    for name in ("src/bywire/m.py", "src/bywire/n.py", "tests/test_a.py", "tests/test_b.py", "tests/conftest.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def judgements(tree):
    return Judgements(tree / "kept", Digests(tree, ["tests/test_a.py", "tests/test_b.py"]))


JUDGED = {
    "noticed": Judgement("tests/test_a.py::test_x"),
    "import": Judgement("import"),
    "unnoticed": Judgement(None),
    "second": Judgement(None, by_all=True),
}


@pytest.mark.parametrize(
    ("edited", "held"),
    [
        (None, ["noticed", "import", "unnoticed", "second"]),
        ("tests/test_b.py", ["noticed"]),
        ("tests/conftest.py", ["noticed"]),
        ("src/bywire/n.py", ["noticed"]),
        ("src/bywire/m.py", []),
        ("tests/test_a.py", []),
    ],
)
def test_judgements_hold_while_what_they_rest_on_is_the_same(tree, edited, held):
    kept = judgements(tree)
    for name, judged in JUDGED.items():
        kept.note(name, "src/bywire/m.py", judged)
    if edited:
        (tree / edited).write_text("other")
    again = judgements(tree)
    found = {name: again.held(name, "src/bywire/m.py") for name in [*JUDGED, "unknown"]}
    assert {name: judged for name, judged in found.items() if judged} == {name: JUDGED[name] for name in held}


def test_a_torn_last_line_is_passed_over_and_the_later_of_two_counts(tree):
    kept = judgements(tree)
    kept.note("a", "src/bywire/m.py", Judgement(None))
    kept.note("a", "src/bywire/m.py", Judgement("tests/test_a.py::test_x"))
    with (tree / "kept").open("a") as file:
        file.write('{"name": "b", "kil')
    kept = judgements(tree)
    kept.note("c", "src/bywire/m.py", Judgement(None))
    again = judgements(tree)
    assert [again.held(name, "src/bywire/m.py") for name in "abc"] == [
        Judgement("tests/test_a.py::test_x"),
        None,
        Judgement(None),
    ]
