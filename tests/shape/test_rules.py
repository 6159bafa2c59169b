"""Every rule of the envelope has tests that attack it, named after its number, and a line in docs/security.md."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = range(1, 29)
NAMED = re.compile(r"^ *def test_rule_(\d\d)_", re.MULTILINE)
MENTIONED = re.compile(r"`(tests/[\w/]+\.py)`")


def attacks_by_rule():
    found = {number: set() for number in RULES}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for number in map(int, NAMED.findall(path.read_text())):
            found[number].add(path.relative_to(ROOT).as_posix())
    return found


def lines_by_rule():
    rows = (ROOT / "docs/security.md").read_text().splitlines()
    return {int(row[1:].split()[0]): row for row in rows if re.match(r"\| \d+ ", row)}


@pytest.mark.parametrize("number", RULES)
def test_every_rule_is_attacked_and_documented(number):
    named = attacks_by_rule()[number]
    assert named, f"no test_rule_{number:02}_... anywhere"
    told = set(MENTIONED.findall(lines_by_rule()[number]))
    assert told, f"docs/security.md names no test for rule {number}"
    assert told <= named, f"rule {number}: {sorted(told - named)} hold no test_rule_{number:02}_..."
