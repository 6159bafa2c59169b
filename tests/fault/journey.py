"""Deliveries whose processes are killed, and what must be true afterwards whatever was killed."""

import base64
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from scene import Scene, wait_until

from bywire.ledger.entry import parse_leaf
from bywire.seal.digest import sha256_hex

DRIVER = Path(__file__).with_name("driver.py")
# What the target counts a version for; the others leave no trace there, or one that is the same however often sent.
COUNTED = ("deploy_release", "set_canary_weight", "promote_release", "rollback_release")
MADE_ONCE = ("plan", "change-set", "test-report", "sbom", "provenance", "vsa")
EACH_DEATH_SECONDS = 170


class Journey:
    """One scene, driven by processes that may die."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._numbers = itertools.count()
        self._deaths = scene.root / "deaths"

    def drive(
        self, goal: str, branch: str = "main", *, tour: str = "deliver", kill: str = "", only: str = ""
    ) -> dict[str, Any]:
        """Take a tour (by default, deliver `branch`) and return how it came to rest."""
        place = self.scene.root / f"job-{next(self._numbers)}"
        job = {
            "tour": tour,
            "goal": goal,
            "branch": branch,
            "kill": kill,
            "only": only,
            "repo": str(self.scene.repo),
            "operator": str(self.scene.operator),
            "steps": f"{place}.steps",
            "deaths": str(self._deaths),
        }
        place.write_text(json.dumps(job))
        done = subprocess.run(
            [sys.executable, str(DRIVER), str(place)], capture_output=True, text=True, timeout=EACH_DEATH_SECONDS
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        result["steps"] = Path(f"{place}.steps").read_text().splitlines()
        return result

    def to_the_end(self, goal: str, branch: str = "main", **how: str) -> dict[str, Any]:
        """Drive, approve what waits, and drive on."""
        first = self.drive(goal, branch, **how)
        assert first["phase"] in {"approving", "pending"}, first
        assert self.scene.approve(first["approval_id"]).code == 0
        last = self.drive(goal, branch, **how)
        last["steps"] = first["steps"] + last["steps"]
        return last

    def deaths(self) -> list[str]:
        """Where processes died so far; nobody dies at the same place twice."""
        return self._deaths.read_text().splitlines() if self._deaths.exists() else []

    def check(self) -> Counter[str]:
        """Nothing twice, nothing lost, nothing open, and the log proves it. Returns how often each tool took effect."""
        committed = self._every_intent_ended_once()
        self._target_counted(committed)
        self._every_deliverable_once()
        verified = self.scene.bywire("audit", "verify", "--json")
        assert (verified.code, verified.json["ok"]) == (0, True), verified
        replayed = self.scene.bywire("audit", "replay", "--json")
        assert (replayed.code, replayed.json["differences"]) == (0, []), replayed
        return committed

    def _every_intent_ended_once(self) -> Counter[str]:
        opened = self.scene.workspace()
        try:
            assert opened.journal.open_intents() == ()
            intents = dict(opened.reader.rows("SELECT key, tool FROM intents"))
            failed = opened.reader.rows("SELECT key, tool FROM intents WHERE state = 'failed'")
            recorded = Counter(item["intent"] for kind, item in _entries(opened) if kind == "intent")
            outcomes = [item for kind, item in _entries(opened) if kind == "outcome"]
        finally:
            opened.close()
        # A lease asked for together with the promotion finds no canary any more when it comes second.
        assert {tool for _, tool in failed} <= {"renew_canary_lease"}
        assert recorded == Counter(intents.keys())
        assert Counter(item["intent"] for item in outcomes) == Counter(intents.keys())
        assert {item["intent"] for item in outcomes if item["status"] != "committed"} == {key for key, _ in failed}
        return Counter(intents.values())

    def _target_counted(self, committed: Counter[str]) -> None:
        kept = json.loads((self.scene.operator / "target" / "target.json").read_text())
        counted = sum(committed[tool] for tool in COUNTED)
        assert len(kept["records"]) == counted
        assert all(record["done"] and not record.get("error") for record in kept["records"].values())
        assert kept["version"] == counted + 1, "once more for the first start_rollout, which configures the router"
        status = self.scene.target.status()
        assert (status["canary"], status["superseded"], status["stable"]["restarts"]) == (None, [], 0)
        assert status["stable"]["alive"]

    def _every_deliverable_once(self) -> None:
        opened = self.scene.workspace()
        try:
            rows = opened.reader.rows("SELECT change_id, kind, count(*) FROM delivery_statements GROUP BY 1, 2")
            results = opened.reader.rows("SELECT key, result FROM work")
            asked = Counter(row.packet.action_digest for row in opened.approvals.rows())
            entries = {index: leaf for index, leaf, _ in opened.ledger.rows(0)}
        finally:
            opened.close()
        assert {(change, kind): count for change, kind, count in rows if kind in MADE_ONCE and count != 1} == {}
        named = [entry for _, result in results for entry in msgspec.json.decode(result)["entries"]]
        assert len(named) == len(set(named))
        assert set(named) <= set(entries)
        assert set(asked.values()) == {1}, "nobody is asked twice for one action"


def _entries(opened: Any) -> Iterator[tuple[str, Any]]:
    """(kind, what the entry says) of every entry of the log."""
    for _, leaf, content in opened.ledger.rows(0):
        entry = parse_leaf(leaf)
        assert content is not None
        assert sha256_hex(content) == entry.content
        document = msgspec.json.decode(content)
        if entry.statement:
            document = msgspec.json.decode(base64.b64decode(document["payload"]))["predicate"]
        yield entry.kind, document


def nobody_noticed(scene: Scene, since: int) -> bool:
    """Whether every request since an interval was answered well."""
    rows = scene.target.telemetry(since)
    return sum(row.requests for row in rows) > 0 and not any(row.errors for row in rows)


def settled(scene: Scene) -> None:
    """Wait until the interval that runs now is over, so that telemetry of all before it is complete."""
    now = scene.target.status()["interval_now"]
    wait_until(lambda: scene.target.status()["interval_now"] > now)
