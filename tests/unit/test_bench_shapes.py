"""The bench's own promises: one JSON line a bar, an exit code that tells, and measurements that still run.

Sizes are tiny here: no figure is judged, only that it is measured and has the shape of a bar.
"""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench import decision, demo, gateway, ledger
from bench.__main__ import AREAS, main
from bench.measured import at_least, at_most, not_judged

MET = at_most("met", 1, "ms", 1)
MISSED = at_most("missed", 2, "ms", 1)
UNKNOWN = not_judged("unknown", "no disk", "ms", "<= 1")


def check_bar(bar):
    assert set(bar) - {"reason"} == {"bar", "value", "unit", "limit", "ok"}
    assert bar["limit"].startswith(("<= ", ">= "))
    assert bar["ok"] in (True, False, None)
    assert (bar["ok"] is None) == bool(bar.get("reason"))
    assert json.loads(json.dumps(bar)) == bar


@pytest.mark.parametrize(
    ("bar", "ok"),
    [
        (at_most("b", 1.0, "ms", 1), True),
        (at_most("b", 1.0001, "ms", 1), False),
        (at_least("b", 10.0, "1/s", 10.0), True),
        (at_least("b", 9.99, "1/s", 10.0), False),
        (UNKNOWN, None),
    ],
)
def test_a_bar_is_judged_by_its_exact_value(bar, ok):
    check_bar(bar)
    assert bar["ok"] is ok


@pytest.mark.parametrize(
    ("bars", "code"), [([], 0), ([MET], 0), ([MET, UNKNOWN], 0), ([MET, MISSED], 1), ([UNKNOWN, MISSED, MET], 1)]
)
def test_a_missed_bar_fails_the_run_and_hides_no_other(bars, code, capsys):
    assert main([], {"area": lambda: iter(bars)}) == code
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == bars


def test_only_the_named_areas_run(capsys):
    areas = {"one": lambda: [MET], "two": lambda: [MISSED]}
    assert main(["one"], areas) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert main(["three"], areas) == 2
    assert capsys.readouterr().out == ""


def test_every_area_is_there():
    gateway_areas = ["gateway", "authzen", "idle", "ledger", "mcp", "peers", "sanitize", "telemetry"]
    assert list(AREAS) == ["decision", "policy_scale", *gateway_areas, "demo"]


def test_deciding_is_measured(monkeypatch):
    monkeypatch.setattr(decision, "ROUNDS", 1)
    monkeypatch.setattr(decision, "CALLS", 1)
    bars = list(decision.bars())
    assert len(bars) == len(decision.questions())
    for bar in bars:
        check_bar(bar)


def test_a_read_through_the_door_is_measured(monkeypatch):
    monkeypatch.setattr(gateway, "ROUNDS", 1)
    monkeypatch.setattr(gateway, "CALLS", 2)
    costs = list(gateway.read_costs())
    assert [tool for tool, _, _ in costs] == ["get_deployment_status", "read_telemetry"]
    assert all(microseconds > engine > 0 for _, microseconds, engine in costs)


def test_the_ledger_is_measured(monkeypatch):
    monkeypatch.setattr(ledger, "PROOFS", 50)
    for bar in ledger.million_entries(300):
        check_bar(bar)
        assert bar["ok"]
    for name, value in (("TURNS", 1), ("APPENDS", 8), ("SYNCS", 2), ("WAL_COMMITS_MAX", 2)):
        monkeypatch.setattr(ledger, name, value)
    pace = ledger.append_pace(4)
    assert set(pace) == {"rate", "syncs", "batch", "without_syncs"}
    assert 1 <= pace["batch"] <= 4
    for name, value in (("GAIN_TURNS", 1), ("WRITERS", 3), ("APPENDS_ALONE", 2), ("APPENDS_EACH", 2)):
        monkeypatch.setattr(ledger, name, value)
    found = ledger.group_commit_gain()
    assert set(found) == {"gain", "alone", "together", "batch", "sync_ms"}
    assert 1 <= found["batch"] <= 3


@pytest.mark.parametrize(
    ("seconds", "code", "ok"), [(1.0, 0, True), (999.0, 0, False), (1.0, 2, False), (1.0, None, False)]
)
def test_a_demo_that_fails_or_is_slow_is_no_success(seconds, code, ok, monkeypatch):
    monkeypatch.setattr(demo, "run_demo", lambda directory, output: (seconds, code))
    took, size = demo.bars()
    check_bar(took)
    check_bar(size)
    assert took["ok"] is ok


def test_a_file_with_two_names_occupies_its_space_once(tmp_path):
    (tmp_path / "one").write_bytes(b"x" * 100_000)
    once = demo.occupied_bytes(tmp_path)
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert 100_000 <= once == demo.occupied_bytes(tmp_path)
