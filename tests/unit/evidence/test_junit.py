"""JUnit reports: counted from cases; hostile documents are refused before anything is expanded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.evidence import junit
from bywire.evidence.xml_events import DEPTH_MAX
from bywire.model.errors import EvidenceError

REPORT = b"""<?xml version="1.0"?><testsuites tests="999"><testsuite name="s" failures="0">
<testcase classname="tests.test_quotes" name="test_property_rounding[1]"/>
<testcase classname="tests.test_quotes" name="test_default_currency"/>
<testcase classname="tests.FaultSlow" name="test_slow"><failure message="x">boom</failure></testcase>
<testcase classname="t" name="a"><skipped/></testcase>
<testcase classname="t" name="b"><failure/><error/></testcase>
</testsuite></testsuites>"""


def test_outcomes_come_from_cases_not_from_attributes():
    report = junit.parse(REPORT)
    assert [report.count(kind) for kind in ("passed", "failed", "error", "skipped")] == [2, 1, 1, 1]
    assert report.failures == ("tests.FaultSlow.test_slow", "t.b")


def test_only_passed_cases_about_a_word_count_and_words_are_whole():
    report = junit.parse(REPORT)
    assert report.passed_about("property") == 1
    assert report.passed_about("fault") == 0  # the fault test failed, and `default` is no fault
    assert report.passed_about(names=frozenset({"test_property_rounding"})) == 1


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><testsuite><testcase name="&a;"/></testsuite>', "report_refused"),
        (
            b'<!DOCTYPE testsuite SYSTEM "file:///etc/passwd"><testsuite><testcase name="a"/></testsuite>',
            "report_refused",
        ),
        (b"<testsuite><testcase name='&undeclared;'/></testsuite>", "report_malformed"),
        (b"<testsuite>" + b"<a>" * (DEPTH_MAX + 1), "report_refused"),
        (b"<testsuite><testcase name='a'>", "report_malformed"),
        (b"<coverage/>", "report_malformed"),
        (b"<testsuite tests='3'/>", "report_empty"),
        (b"<testsuite><testcase name='a'><testcase name='b'/></testcase></testsuite>", "report_malformed"),
        (b"<?xml version='1.0' encoding='no-such'?><testsuite/>", "report_malformed"),
        (b"", "report_malformed"),
    ],
)
def test_hostile_and_broken_documents_are_refused(document, code):
    with pytest.raises(EvidenceError) as caught:
        junit.parse(document)
    assert caught.value.code == code
    assert caught.value.next_step


@given(st.binary(max_size=200))
def test_any_bytes_give_a_report_or_one_clear_error(data):
    try:
        junit.parse(b"<testsuite>" + data)
    except EvidenceError as error:
        assert error.code.startswith("report_")
