"""The parts of telemetry by themselves: queue, labels, messages, lines, files."""

import json
import os
import threading

import pytest

from bywire.adapters import otel_fields
from bywire.adapters.json_log import JsonLog
from bywire.adapters.json_log_lines import line_of, short_line_of
from bywire.adapters.metrics_counts import KINDS_MAX, OTHER, CallCounts, Histogram, Names
from bywire.adapters.otel_fields import TEXT_CHARS_MAX, attributes, told
from bywire.adapters.syslog_message import framed, message, severity
from bywire.adapters.telemetry_outbox import Outbox
from bywire.adapters.trace_ids import begun
from bywire.gateway.redaction import Redactor
from bywire.model.ask import CallRecord
from bywire.model.errors import ConfigError
from bywire.model.gateway_telemetry import JsonLogSettings
from bywire.model.trace_context import heard

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = "AKIA" + "IOSFODNN7EXAMPLE"
SHOWN = Redactor(b"w" * 32).shown


def record(**changes):
    plain = dict.fromkeys(
        ("surface", "upstream", "category", "owner", "team", "service", "error", "decision_id", "policy_version",
         "approval_id", "intent", "run", "change", "trace"), "",
    )  # fmt: skip
    plain |= {
        "tool": "t",
        "principal": "agent:x",
        "environment": "production",
        "effect": "allow",
        "status": "committed",
    }
    plain |= {"rules": (), "evidence": (), "cost": (), "would_block": ()}
    return CallRecord(**{**plain, "started_ms": 1_790_000_000_123, "duration_ns": {"total": 2_000_000}, **changes})


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (TRACE, True),
        (TRACE.replace("00-", "01-", 1) + "-later", True),
        (TRACE + "-later", False),
        (TRACE.upper(), False),
        (TRACE.replace("00-", "ff-", 1), False),
        (TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), False),
        (TRACE.replace("b7ad6b7169203331", "0" * 16), False),
        (TRACE + "\n", False),
        ("", False),
        ("0" * 100_000, False),
    ],
)
def test_a_traceparent_is_one_or_nothing(text, valid):
    assert (heard(text) is not None) is valid
    own = begun(text)
    assert heard(str(own)) == own
    assert (own.trace_id == TRACE.split("-")[1]) is valid


def test_a_full_queue_drops_what_is_new_and_counts_it():
    gate, batches = threading.Event(), []

    def send(batch):
        gate.wait(20)
        batches.append(list(batch))

    outbox = Outbox("x", send, 20)
    for number in range(100):
        outbox.observed(record(run=str(number)))
    gate.set()
    outbox.close(10)
    told_of = [one.run for batch in batches for one in batch]
    assert told_of == [str(number) for number in range(len(told_of))]
    assert len(told_of) >= 20
    assert (outbox.sent, outbox.dropped, outbox.lost) == (len(told_of), 100 - len(told_of), 0)
    outbox.observed(record())
    assert outbox.dropped == 101 - len(told_of)


def test_one_record_that_cannot_be_told_ends_nothing():
    sent = []

    def send(batch):
        if batch[0].run == "bad":
            raise ValueError("nobody expected that")
        sent.extend(batch)

    outbox = Outbox("x", send, 20)
    outbox.observed(record(run="bad"))
    deadline = threading.Event()
    while not outbox.lost:
        deadline.wait(0.01)
    outbox.observed(record(run="good"))
    outbox.close(10)
    assert [one.run for one in sent] == ["good"]
    assert outbox.lost == 1


def test_names_beyond_a_number_share_a_label():
    names = Names(2)
    assert [names.of(one) for one in ("a", "b", "c", "a", "")] == ["a", "b", OTHER, "a", "none"]
    counts = CallCounts(names_max=3)
    for number in range(50):
        counts.observed(record(principal=f"agent:{number}", category="read", tool=f"t{number}", surface=f"s{number}"))
    assert len(counts.agents) == len(counts.tools) == 4
    assert {key[0] for key in counts.calls} == {OTHER}


def test_a_histogram_counts_what_is_at_most_its_bound():
    one = Histogram((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 3.0):
        one.observe(seconds)
    assert one.cumulative() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert one.sum == 6.0


def test_a_message_is_of_its_form_whatever_the_host_is_called():
    found = message(
        "authpriv", severity("deny", "denied", "x"), 1_790_000_000_123, "a b\n<0>", "bywire", "7", "call", b"{}"
    )
    assert found == b"<84>1 2026-09-21T14:13:20.123Z ab<0> bywire 7 call - {}"
    assert framed(found) == b"55 " + found
    assert b" - bywire " in message("user", 6, 0, "", "bywire", "7", "call", b"")


def test_names_that_nobody_declared_are_looked_through_and_cut():
    made = told(record(tool=f"shop.{KEY}", intent="x" * 5_000, evidence=("e" * 64, KEY), trace=f"00-{KEY}"), SHOWN)
    assert made.tool == "shop.[aws_key]"
    assert len(made.intent) == TEXT_CHARS_MAX
    assert made.evidence[1] == "[aws_key]"
    assert made.trace == ""
    assert "bywire.shadow.would_block" not in attributes(made)


HOSTILE_KINDS = (
    "",
    "x" * 65,
    "Email",
    "e mail",
    'a"} 1\nbywire_up{a="',
    "a\n",
    "é",
    "bywire.decision.id",
    KEY,
    "other",
    "1st",
)


@pytest.mark.parametrize("kind", HOSTILE_KINDS)
def test_what_is_called_like_no_kind_is_neither_a_label_nor_a_name(kind):
    counts = CallCounts()
    one = record(effect="sanitize", redacted_request={kind: 2, "email": 1}, redacted_response={kind: 3})
    counts.observed(one)
    assert dict(counts.redactions) == {
        (OTHER, "request"): 2,
        ("email", "request"): 1,
        (OTHER, "response"): 3,
    }
    found = attributes(told(one, SHOWN))
    assert {name for name in found if name.startswith("bywire.redacted.")} == {
        "bywire.redacted.request.email",
        "bywire.redacted.request.other",
        "bywire.redacted.response.other",
    }
    assert json.loads(line_of(one, SHOWN))["redacted_response"] == {"other": 3}
    assert KEY not in str(found)


def test_a_flood_of_kinds_is_bounded_and_loses_no_count():
    flood = {f"kind_{number}": 1 for number in range(5_000)}
    one = record(effect="sanitize", redacted_request=flood, redacted_response=flood)
    counts = CallCounts()
    for _ in range(2):
        counts.observed(one)
    assert len(counts.redactions) == 2 * (KINDS_MAX + 1)
    assert sum(counts.redactions.values()) == 4 * len(flood)
    made = told(one, SHOWN)
    assert len(made.redacted_request) == otel_fields.KINDS_MAX + 1
    assert sum(made.redacted_request.values()) == len(flood)
    assert len(line_of(one, SHOWN)) < 4_000


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"effect": "sanitize", "status": "committed"}, 1),
        ({"effect": "sanitize", "status": "unknown"}, 1),
        ({"effect": "sanitize", "status": "advised"}, 0),
        ({"effect": "approval_needed", "status": "pending"}, 0),
        ({"effect": "deny", "status": "denied"}, 0),
    ],
)
def test_only_what_was_allowed_so_counts_as_taken_out_of_a_request(changes, counted):
    counts = CallCounts()
    counts.observed(record(**changes, redacted_request={"email": 1}))
    assert sum(counts.redactions.values()) == counted


def test_an_unmasked_call_says_nothing_of_masking():
    assert [name for name in attributes(told(record(), SHOWN)) if "sanitize" in name or "redacted" in name] == []
    assert (
        not {"effect_before", "effect_after", "replaced", "redacted_request"}
        & json.loads(line_of(record(), SHOWN)).keys()
    )


def test_a_secret_that_is_cut_off_does_not_stay():
    made = told(record(run="x" * (TEXT_CHARS_MAX - 10) + f" {KEY}"), SHOWN)
    assert KEY[:8] not in made.run


def test_a_line_is_whole_json_of_bounded_size():
    long = record(evidence=tuple(f"{n:064x}" for n in range(60)), arguments={"note": "y" * 5_000})
    line = short_line_of(long, SHOWN, 1_800)
    assert len(line) <= 1_800
    assert json.loads(line)["left_out"] == ["arguments", "evidence"]
    assert json.loads(line_of(long, SHOWN))["arguments"] == {"note": "y" * 5_000}


@pytest.mark.parametrize("kind", ["link", "pipe", "missing"])
def test_a_log_that_cannot_be_written_is_said_at_once(tmp_path, kind):
    file = tmp_path / "there" / "calls.jsonl"
    if kind != "missing":
        file.parent.mkdir()
    if kind == "link":
        file.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(file)
    with pytest.raises(ConfigError) as raised:
        JsonLog(JsonLogSettings(file=str(file)), SHOWN)
    assert raised.value.code == "log_unwritable"
    assert not (tmp_path / "elsewhere").exists()
