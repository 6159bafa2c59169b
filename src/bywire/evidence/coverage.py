"""Line coverage from coverage.py JSON, lcov and Cobertura XML, and the share of changed lines that tests reach."""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Annotated

import msgspec

from bywire.evidence.path_classes import is_test
from bywire.evidence.xml_events import walk
from bywire.model.change import Change
from bywire.model.errors import EvidenceError

REPORT_BYTES_MAX = 16 * 1024 * 1024
FILES_MAX = 20_000
_NUMBER = re.compile(r"[0-9]{1,12}")
_FIX = "check `coverage:` of commands.test in bywire.yaml; its suffix (.json, .lcov, .xml) names the format"


class FileLines(msgspec.Struct, frozen=True):
    """Executable lines of one file, 1-based: those that ran and those that did not."""

    covered: frozenset[int]
    uncovered: frozenset[int]


class CoverageReport(msgspec.Struct, frozen=True):
    """Lines by path relative to the repository root."""

    files: Mapping[str, FileLines]


class ChangedFileLines(msgspec.Struct, frozen=True):
    """Executable changed lines of one file and how many of them ran."""

    path: str
    covered: int
    executable: int


class ChangedLines(msgspec.Struct, frozen=True):
    """Executable changed lines, by file in order of path.

    `unmeasured` are changed source files of a measured language that the report does not know; their added lines count
    as not covered, because a module that no test imports is not covered. A source file whose lines git cannot tell
    counts as one such line.
    """

    files: tuple[ChangedFileLines, ...]
    unmeasured: tuple[str, ...]

    @property
    def executable(self) -> int:
        """How many executable lines changed."""
        return sum(item.executable for item in self.files)

    @property
    def ratio(self) -> float | None:
        """The share `covered / executable`, or None when the change has no executable line."""
        covered = sum(item.covered for item in self.files)
        return round(covered / self.executable, 6) if self.executable else None


_Line = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


class _JsonFile(msgspec.Struct):
    executed_lines: list[_Line]
    missing_lines: list[_Line]


class _JsonReport(msgspec.Struct):
    files: dict[str, _JsonFile]


def parse(data: bytes, path: str, root: str = "") -> CoverageReport:
    """Read a report; the suffix of `path` names its format (.json, .lcov or .info, .xml).

    `root` is the absolute directory the tests ran in; it is cut from the front of absolute paths.
    Raises EvidenceError `report_malformed`, `report_refused`.
    """
    if len(data) > REPORT_BYTES_MAX:
        raise EvidenceError("the coverage report is too large", code="report_refused", next_step=_FIX)
    reader = _READERS.get(PurePosixPath(path).suffix)
    if reader is None:
        raise EvidenceError(f"{path}: not a known coverage format", code="report_malformed", next_step=_FIX)
    lines = reader(data, root)
    if len(lines) > FILES_MAX:
        raise EvidenceError("the coverage report names too many files", code="report_refused", next_step=_FIX)
    return CoverageReport(
        files={
            name: FileLines(covered=frozenset(hit), uncovered=frozenset(missed - hit))
            for name, (hit, missed) in lines.items()
        }
    )


def changed_lines(change: Change, report: CoverageReport) -> ChangedLines:
    """Count the executable lines that `change` added and those of them that ran; test files are left out."""
    suffixes = {PurePosixPath(path).suffix for path in report.files}
    counted: list[ChangedFileLines] = []
    unmeasured: list[str] = []
    for item in sorted(change.files, key=lambda item: item.path):
        added = set(item.added_lines)
        if is_test(item.path) or item.status == "D" or not (added or item.binary):
            continue
        lines = report.files.get(item.path)
        if item.binary:
            # A NUL byte or a stray carriage return must not take source code out of the count.
            if lines is not None or PurePosixPath(item.path).suffix in suffixes:
                unmeasured.append(item.path)
                counted.append(ChangedFileLines(item.path, 0, 1))
            continue
        if lines is not None:
            hit = len(added & lines.covered)
            counted.append(ChangedFileLines(item.path, hit, hit + len(added & lines.uncovered)))
        elif PurePosixPath(item.path).suffix in suffixes:
            unmeasured.append(item.path)
            counted.append(ChangedFileLines(item.path, 0, len(added)))
    return ChangedLines(files=tuple(counted), unmeasured=tuple(unmeasured))


def changed_line_coverage(change: Change, report: CoverageReport) -> float | None:
    """The share (0..1) of executable changed lines that ran, or None when the change has none."""
    return changed_lines(change, report).ratio


_Lines = dict[str, tuple[set[int], set[int]]]


def _relative(path: str, root: str) -> str:
    path = path.replace("\\", "/")
    if root and path.startswith(root.rstrip("/") + "/"):
        path = path[len(root.rstrip("/")) + 1 :]
    return path.removeprefix("./")


def _read_json(data: bytes, root: str) -> _Lines:
    try:
        report = msgspec.json.decode(data, type=_JsonReport)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _malformed(str(error)) from error
    return {
        _relative(path, root): (set(item.executed_lines), set(item.missing_lines))
        for path, item in report.files.items()
    }


def _read_lcov(data: bytes, root: str) -> _Lines:
    lines: _Lines = {}
    current: tuple[set[int], set[int]] | None = None
    for record in data.decode("utf-8", "replace").splitlines():
        kind, _, rest = record.partition(":")
        if kind == "SF":
            current = lines.setdefault(_relative(rest, root), (set(), set()))
        elif kind == "DA":
            if current is None:
                raise _malformed("a DA record before any SF record")
            number, hits = _lcov_counts(rest)
            current[0 if hits > 0 else 1].add(number)
        elif kind == "end_of_record":
            current = None
    return lines


def _lcov_counts(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) not in {2, 3} or not _NUMBER.fullmatch(parts[0]) or not _NUMBER.fullmatch(parts[1].removeprefix("-")):
        raise _malformed(f"not a DA record: {text[:40]!r}")
    return int(parts[0]), int(parts[1])


class _Cobertura:
    def __init__(self) -> None:
        self.files: _Lines = {}
        self.sources: list[str] = []
        self.in_source = False
        self.current: tuple[set[int], set[int]] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "source":
            self.in_source = True
            self.sources.append("")
        elif name == "class":
            self.current = self.files.setdefault(attributes.get("filename", ""), (set(), set()))
        elif name == "line" and self.current is not None:
            number, hits = attributes.get("number", ""), attributes.get("hits", "")
            if not _NUMBER.fullmatch(number) or not _NUMBER.fullmatch(hits):
                raise _malformed("a <line> without number and hits")
            self.current[0 if int(hits) > 0 else 1].add(int(number))

    def text(self, characters: str) -> None:
        if self.in_source:
            self.sources[-1] += characters

    def end(self, name: str) -> None:
        if name == "source":
            self.in_source = False
        elif name == "class":
            self.current = None


def _read_cobertura(data: bytes, root: str) -> _Lines:
    reading = _Cobertura()
    walk(data, "coverage report", reading.start, reading.end, text=reading.text, doctype=True)
    sources = {_relative(source.strip() + "/", root).strip("/") for source in reading.sources} - {"", "."}
    if len(sources) > 1:
        # Which source a file name belongs to is then a guess, and a guess could credit the wrong file.
        raise _malformed("it names several sources; write coverage as JSON or lcov instead")
    prefix = next(iter(sources), "")
    joined = {
        path if path.startswith("/") or not prefix else f"{prefix}/{path}": lines
        for path, lines in reading.files.items()
    }
    return {_relative(path, root): lines for path, lines in joined.items()}


_READERS: dict[str, Callable[[bytes, str], _Lines]] = {
    ".json": _read_json,
    ".lcov": _read_lcov,
    ".info": _read_lcov,
    ".xml": _read_cobertura,
}


def _malformed(why: str) -> EvidenceError:
    return EvidenceError(f"the coverage report is malformed: {why}", code="report_malformed", next_step=_FIX)
