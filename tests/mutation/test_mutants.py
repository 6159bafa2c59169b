"""The tool that changes code is code, too: which changes it makes, that each compiles, and that names are unique."""

from pathlib import Path

import pytest
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
