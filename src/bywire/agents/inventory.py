"""Which tests a tree has, and which of them are switched off, by reading alone: nothing is imported or run.

Names are found as Python `def test_`, JavaScript `it(`/`test(` and Go `func Test`. Text in comments and Python
docstrings does not count. A renamed test counts as removed and added: the scan cannot know that it is the same.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

import msgspec

from bywire.evidence.path_classes import is_test

FILE_BYTES_MAX = 1_048_576
FILES_MAX = 5_000
NAMES_LISTED_MAX = 50
CONFIGURATIONS = frozenset({"conftest.py", "pytest.ini", "pyproject.toml", "setup.cfg", "tox.ini", ".pytest.ini"})

_PYTHON_STRINGS = re.compile(r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'')
_SLASH_COMMENTS = re.compile(r"/\*[\s\S]*?\*/|^\s*//.*$", re.MULTILINE)
_HASH_COMMENTS = re.compile(r"^\s*#.*$", re.MULTILINE)
_PYTHON_TEST = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(test\w*)\s*\(", re.MULTILINE)
_PYTHON_SKIP = re.compile(
    r"\bmark\.(?:skip|skipif|xfail)\b|\bunittest\.(?:skip\w*|expectedFailure)\b|\bpytest\.(?:skip|xfail)\s*\(|@skip\w*\b"
)
_SCRIPT_TEST = re.compile(r"\b(?:it|test)(?:\.each\([^)]*\))?\s*\(\s*[\"'`]([^\"'`\n]{1,200})")
_SCRIPT_SKIP = re.compile(
    r"\b(?:it|test|describe)\.(?:skip|todo|only|fails)\b|\b(?:xit|xtest|xdescribe|fit|fdescribe)\s*\("
)
_GO_TEST = re.compile(r"^func\s+((?:Test|Fuzz)\w*)\s*\(", re.MULTILINE)
_GO_SKIP = re.compile(r"\b\w+\.(?:Skip|Skipf|SkipNow)\s*\(|^//go:build\s+ignore", re.MULTILINE)
_DESELECT = re.compile(
    r"--deselect\b|--ignore(?:-glob)?\b|\bcollect_ignore(?:_glob)?\b|-k\s*[\"']?\s*not\b|\bnorecursedirs\b"
)


_PYTHON_PROPERTY = re.compile(
    r"^[ \t]*@(?:\w+\.)?given\b[\s\S]{0,2000}?^[ \t]*(?:async[ \t]+)?def[ \t]+(test\w*)", re.MULTILINE
)
_GO_PROPERTY = re.compile(r"^func\s+(Fuzz\w*)\s*\(", re.MULTILINE)


class Inventory(msgspec.Struct, frozen=True):
    """Test names with how often each occurs, and switches that turn tests off, by file."""

    names: Mapping[str, int]
    switched_off: Mapping[str, int]


class Lost(msgspec.Struct, frozen=True):
    """What the head has less of: names no longer there, files with more switches than before; both lists bounded."""

    removed: tuple[str, ...]
    newly_skipped: tuple[str, ...]
    count: int


def reads(path: str) -> bool:
    """Whether the inventory needs the text of `path`."""
    return is_test(path) or PurePosixPath(path).name in CONFIGURATIONS


def take(files: Mapping[str, bytes]) -> Inventory:
    """The inventory of `files` (path -> bytes); paths that `reads` refuses are ignored."""
    names: Counter[str] = Counter()
    switched_off: Counter[str] = Counter()
    for path, data in files.items():
        if not reads(path):
            continue
        text = data[:FILE_BYTES_MAX].decode("utf-8", "replace")
        found, switches = _scan(path, text)
        names.update(found)
        if switches:
            switched_off[path] = switches
    return Inventory(names=dict(names), switched_off=dict(switched_off))


def property_tests(files: Mapping[str, bytes]) -> frozenset[str]:
    """Names of tests that run over generated inputs: Python ones under hypothesis' `@given`, Go fuzz tests."""
    found: set[str] = set()
    for path, data in files.items():
        text = data[:FILE_BYTES_MAX].decode("utf-8", "replace")
        if path.endswith(".py"):
            found.update(_PYTHON_PROPERTY.findall(_HASH_COMMENTS.sub("", text)))
        elif path.endswith(".go"):
            found.update(_GO_PROPERTY.findall(text))
    return frozenset(found)


def lost(base: Inventory, head: Inventory) -> Lost:
    """Tests that `base` has and `head` has not, and switches that only `head` has.

    A switch counts against the tree, not the file, so that moving a file brings nothing new.
    """
    removed = sorted((Counter(base.names) - Counter(head.names)).elements())
    more = sum(head.switched_off.values()) - sum(base.switched_off.values())
    grown = [path for path, count in sorted(head.switched_off.items()) if count > base.switched_off.get(path, 0)]
    return Lost(
        removed=tuple(removed[:NAMES_LISTED_MAX]),
        newly_skipped=tuple(grown[:NAMES_LISTED_MAX]) if more > 0 else (),
        count=len(removed) + max(0, more),
    )


def _scan(path: str, text: str) -> tuple[list[str], int]:
    suffix = PurePosixPath(path).suffix
    deselected = (
        len(_DESELECT.findall(_HASH_COMMENTS.sub("", text))) if PurePosixPath(path).name in CONFIGURATIONS else 0
    )
    if suffix == ".py":
        plain = _PYTHON_STRINGS.sub('""', _HASH_COMMENTS.sub("", text))
        return _PYTHON_TEST.findall(plain), len(_PYTHON_SKIP.findall(plain)) + deselected
    if suffix == ".go":
        return _GO_TEST.findall(_SLASH_COMMENTS.sub("", text)), len(_GO_SKIP.findall(text))
    if suffix in {".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx"}:
        plain = _SLASH_COMMENTS.sub("", text)
        return _SCRIPT_TEST.findall(plain), len(_SCRIPT_SKIP.findall(plain))
    return [], deselected
