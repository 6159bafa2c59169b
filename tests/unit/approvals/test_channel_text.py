"""What a channel shows of a request: nothing invisible, nothing cut, nothing that a chat takes for markup."""

import json
import unicodedata

import msgspec
import pytest
from approval_fixtures import packet as sample
from hypothesis import given
from hypothesis import strategies as st

from bywire.approvals import channel_slack, channel_teams
from bywire.approvals.channel_text import ARGUMENTS_CHARS_MAX, LINE_CHARS_MAX, asked, line, pretty, visible
from bywire.gateway.redaction import masked
from bywire.gateway.sensitive import DEFAULT, Hosts, detector

HOSTS = detector(DEFAULT, Hosts.ALL)
HOSTILE = "<!channel> <@U1> *b* `c` [x](https://evil.example) <at>all</at> & \u202e\u200b"


def told(**changes):
    made = msgspec.structs.replace(sample(), **changes)
    return asked(
        made, url="https://b.example/approvals/x", owner="person:o", may_answer=True, display=lambda value: value
    )


@given(st.text(max_size=200))
def test_nothing_invisible_is_left(text):
    shown = visible(text)
    assert not [char for char in shown if char not in "\n\t" and unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"}]
    assert len(line(text)) <= LINE_CHARS_MAX
    assert "\n" not in line(text)


def test_what_looks_alike_does_not_stay_so():
    for char in "\u202e\u2066\u200b\ufeff\u00ad\u3164\u2800\ufe0f\U000e0041\r\x1b":
        assert visible(f"a{char}b") == f"a<U+{ord(char):04X}>b"


def test_arguments_are_shown_whole_or_not_at_all():
    fits = told(action={"tool": "t", "parameters": {"a": "x" * (ARGUMENTS_CHARS_MAX - 8)}})
    assert (fits.is_whole, fits.may_answer, len(fits.arguments)) == (True, True, ARGUMENTS_CHARS_MAX)
    long = told(action={"tool": "t", "parameters": {"a": "x" * (ARGUMENTS_CHARS_MAX - 7)}})
    assert (long.is_whole, long.may_answer, long.arguments) == (False, False, "")


def test_rule_18_nobody_approves_in_a_chat_what_is_masked_there():
    made = msgspec.structs.replace(sample(), action={"tool": "t", "parameters": {"host": "payments.prod.internal"}})
    said = asked(made, url="u", owner="o", may_answer=True, display=lambda value: masked(value, HOSTS))
    assert json.loads(said.arguments) == {"host": "[internal_host]"}
    assert (said.is_whole, said.may_answer) == (False, False)
    for document in (channel_slack.message(said, "soon"), channel_teams.message(said, "soon")):
        assert "[internal_host]" in json.dumps(document)
        assert "verdict needs the whole request" in json.dumps(document)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("replicas", "replicas"),
        ("$schema", "$schema"),
        ('a: 1\nnamespace: "staging"', '"a: 1\\nnamespace: \\"staging\\""'),
        ("a: 1", '"a: 1"'),
        ("", '""'),
        (" a", '" a"'),
        ("a\u202eb", '"a<U+202E>b"'),
        ("a" * 129, '"' + "a" * 129 + '"'),
    ],
)
def test_rule_18_a_name_forges_no_line_of_the_exact_arguments(name, shown):
    made = msgspec.structs.replace(sample(), action={"tool": "t", "parameters": {name: 1}})
    assert pretty(made) == f"{shown}: 1"


def test_many_reasons_are_counted_and_not_hidden():
    said = told(contrary=tuple(f"reason {number}" for number in range(30)))
    assert said.contrary[-1] == "and 22 more, on the page"


def test_slack_reads_no_markup_in_what_agents_say():
    said = told(action={"tool": HOSTILE, "parameters": {HOSTILE: HOSTILE}}, service=HOSTILE, contrary=(HOSTILE,))
    for document in (
        channel_slack.message(said, "soon"),
        channel_slack.decided(said, HOSTILE),
        channel_slack.reminder(said, HOSTILE),
    ):
        assert "mrkdwn" not in json.dumps(document)
        assert "<" not in document["text"]
        for block in document["blocks"]:
            assert block["type"] in {"header", "section", "rich_text", "actions"}
            if "text" in block:
                assert block["text"]["type"] == "plain_text"
                assert len(block["text"]["text"]) <= 3_000
    assert len(channel_slack.message(said, "soon")["blocks"][0]["text"]["text"]) <= 150


def test_an_adaptive_card_reads_no_markup_either():
    card = channel_teams.message(told(contrary=(HOSTILE,), service=HOSTILE), "soon")["attachments"][0]["content"]
    texts = [block["text"] for block in card["body"] if block["type"] == "TextBlock"]
    assert any("\\[x\\]" in text for text in texts)
    assert not any("[x](" in text or "<at>" in text for text in texts)
