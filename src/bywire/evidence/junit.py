"""JUnit XML: what a test run says happened, counted from its test cases and never from its summary attributes."""

import re
from collections import Counter

import msgspec

from bywire.evidence.xml_events import walk
from bywire.model.errors import EvidenceError

CASES_MAX = 100_000
NAME_CHARACTERS_MAX = 300
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_WORST_FIRST = ("error", "failure", "skipped")
_OUTCOME_OF = {"error": "error", "failure": "failed", "skipped": "skipped"}


class Case(msgspec.Struct, frozen=True):
    """One test case. `outcome` is passed, failed, error or skipped."""

    name: str
    classname: str
    file: str
    outcome: str

    @property
    def label(self) -> str:
        """How people name the case."""
        return f"{self.classname}.{self.name}" if self.classname else self.name

    @property
    def function(self) -> str:
        """The name without its parameters: `test_x[1]` is `test_x`."""
        return self.name.partition("[")[0]

    @property
    def words(self) -> frozenset[str]:
        """The lower-case words of its names: `test_faultSlow` has `fault`, `test_default` has not."""
        return frozenset(word.lower() for word in _WORD.findall(f"{self.name} {self.classname} {self.file}"))


class JunitReport(msgspec.Struct, frozen=True):
    """Every case of a run, in document order."""

    cases: tuple[Case, ...]

    def count(self, outcome: str) -> int:
        """How many cases ended with `outcome`."""
        return Counter(case.outcome for case in self.cases)[outcome]

    def passed_about(self, *words: str, names: frozenset[str] = frozenset()) -> int:
        """Passed cases named in `names` or with one of `words` in their names; only a passed case is evidence."""
        return sum(
            1
            for case in self.cases
            if case.outcome == "passed" and (case.function in names or not case.words.isdisjoint(words))
        )

    @property
    def failures(self) -> tuple[str, ...]:
        """Labels of cases that failed or broke."""
        return tuple(case.label for case in self.cases if case.outcome in {"failed", "error"})


class _Reading:
    def __init__(self) -> None:
        self.path: list[str] = []
        self.cases: list[Case] = []
        self.attributes: dict[str, str] = {}
        self.marks: set[str] = set()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.path and name not in {"testsuites", "testsuite"}:
            raise _malformed(f"its root element is <{name}>")
        if name == "testcase":
            if "testcase" in self.path:
                raise _malformed("a test case holds another")
            self.attributes, self.marks = attributes, set()
        elif name in _OUTCOME_OF and self.path[-1] == "testcase":
            self.marks.add(name)
        self.path.append(name)

    def end(self, name: str) -> None:
        self.path.pop()
        if name != "testcase":
            return
        if len(self.cases) >= CASES_MAX:
            raise _malformed(f"it has more than {CASES_MAX} test cases")
        worst = next((mark for mark in _WORST_FIRST if mark in self.marks), "")
        text = {key: self.attributes.get(key, "")[:NAME_CHARACTERS_MAX] for key in ("name", "classname", "file")}
        self.cases.append(Case(**text, outcome=_OUTCOME_OF.get(worst, "passed")))


def parse(data: bytes) -> JunitReport:
    """Read JUnit XML strictly. A report without cases is refused: nothing ran.

    Raises EvidenceError `report_refused`, `report_malformed`, `report_empty`.
    """
    reading = _Reading()
    walk(data, "JUnit report", reading.start, reading.end)
    if not reading.cases:
        raise EvidenceError(
            "the JUnit report holds no test case",
            code="report_empty",
            next_step="check commands.test in bywire.yaml: it must run at least one test",
        )
    return JunitReport(cases=tuple(reading.cases))


def _malformed(why: str) -> EvidenceError:
    return EvidenceError(
        f"the JUnit report is malformed: {why}",
        code="report_malformed",
        next_step="let the test runner's own JUnit reporter write the file",
    )
