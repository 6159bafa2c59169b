"""Coverage of changed lines: three formats, one answer; what nobody measured is not covered."""

import json

import pytest

from bywire.evidence import coverage
from bywire.model.change import Change, ChangedFile
from bywire.model.errors import EvidenceError

JSON = json.dumps(
    {"meta": {}, "files": {"app/quotes.py": {"executed_lines": [1, 2, 5], "missing_lines": [6], "summary": {}}}}
).encode()
LCOV = b"TN:\nSF:/work/tree/app/quotes.py\nDA:1,1\nDA:2,3\nDA:5,1,hash\nDA:6,0\nend_of_record\n"
COBERTURA = b"""<?xml version="1.0"?><!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
<coverage><sources><source>/work/tree/app</source></sources><packages><package><classes>
<class filename="quotes.py"><lines><line number="1" hits="1"/><line number="2" hits="1"/><line number="5" hits="9"/>
<line number="6" hits="0"/></lines></class></classes></package></packages></coverage>"""


def change(*files):
    return Change("b", "main", "0" * 40, "1" * 40, tuple(files), (), ())


def changed(path, *lines):
    return ChangedFile(path, "M", tuple(lines), 0)


@pytest.mark.parametrize(("data", "name"), [(JSON, "c.json"), (LCOV, "c.lcov"), (COBERTURA, "c.xml")])
def test_every_format_counts_only_executable_changed_lines(data, name):
    report = coverage.parse(data, name, "/work/tree")
    ratio = coverage.changed_line_coverage(change(changed("app/quotes.py", 2, 3, 4, 5, 6)), report)
    assert ratio == pytest.approx(2 / 3, abs=1e-6)


def test_a_change_without_executable_lines_has_no_ratio():
    report = coverage.parse(JSON, "c.json")
    assert coverage.changed_line_coverage(change(changed("app/quotes.py", 3), changed("README.md", 1)), report) is None


def test_a_source_file_that_no_test_imports_counts_as_uncovered_and_is_named():
    report = coverage.parse(JSON, "c.json")
    seen = coverage.changed_lines(change(changed("app/quotes.py", 1), changed("app/new.py", 1, 2, 3)), report)
    assert seen.unmeasured == ("app/new.py",)
    assert seen.ratio == 0.25


def test_source_code_whose_lines_git_cannot_tell_counts_as_uncovered():
    report = coverage.parse(JSON, "c.json")
    hidden = ChangedFile("app/quotes.py", "M", (), 0, binary=True)
    others = (ChangedFile("app/gone.py", "D", (), 0, binary=True), ChangedFile("logo.png", "A", (), 0, binary=True))
    seen = coverage.changed_lines(change(hidden, *others), report)
    assert (seen.unmeasured, seen.ratio) == (("app/quotes.py",), 0.0)


def test_tests_and_deleted_files_do_not_count():
    report = coverage.parse(JSON, "c.json")
    files = (changed("tests/test_new.py", 1, 2), changed("app/test_x.py", 1), ChangedFile("app/gone.py", "D", (), 9))
    assert coverage.changed_lines(change(*files), report).executable == 0


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"{}", "c.json"),
        (b'{"files": {"a": {"executed_lines": [0], "missing_lines": []}}}', "c.json"),
        (b"DA:1,1", "c.lcov"),
        (b"SF:a\nDA:1", "c.lcov"),
        (b"SF:a\nDA:" + b"9" * 5000 + b",1", "c.lcov"),
        (b"<coverage><class filename='a'><line number='x' hits='1'/></class></coverage>", "c.xml"),
        (
            b"<coverage><sources><source>/r/a</source><source>/r/b</source></sources></coverage>",
            "c.xml",
        ),
        (b'<!DOCTYPE c [<!ENTITY a "b">]><coverage/>', "c.xml"),
        (b"{}", "c.txt"),
    ],
)
def test_broken_reports_are_refused(data, name):
    with pytest.raises(EvidenceError) as caught:
        coverage.parse(data, name, "/r")
    assert caught.value.code in {"report_malformed", "report_refused"}
