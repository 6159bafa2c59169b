"""A database as schema version 1 left it: its tables, and rows of every kind as its program wrote them.

The log is real: leaves, tiles, frontier and a signed checkpoint, made with the in-memory double and inserted by SQL.
"""

import json
import sqlite3
from contextlib import closing

from ledger_memory import MemoryLedger

from bywire.adapters.sqlite_schema import META_TABLE, MIGRATIONS
from bywire.ledger import log
from bywire.ledger.entry import leaf_bytes, record_entry

HOUR = 490_000
NOW_MS = HOUR * 3_600_000
DAY_MS = 86_400_000
BUNDLE = "b" * 64

PACKET = {
    "id": "ap-0123456789ab",
    "action": {"tool": "start_rollout", "parameters": {"artifact": "a" * 64}, "change": "dl-old"},
    "action_digest": "1" * 64,
    "evidence": ["2" * 64],
    "evidence_digest": "3" * 64,
    "bundle_digest": BUNDLE,
    "environment": "production",
    "service": "tiny",
    "requester": "agent:release-controller",
    "target": {"version": 3, "stable": "4" * 64},
    "plan": None,
    "plan_digest": "",
    "tier": "high",
    "approver_roles": ["sre-oncall"],
    "requested_at_ms": NOW_MS,
    "expires_at_ms": NOW_MS + 1_000 * DAY_MS,
    "undo": "rollback_release",
    "expected": "the new release serves",
    "missing": [],
    "contrary": [],
    "uncertain": [],
    "prose": "",
    "supersedes": "",
}
DECISION = {
    "id": "d" * 16,
    "effect": "allow",
    "reasons": [],
    "obligations": [],
    "engine": "regorus-0.13",
    "bundle_digest": BUNDLE,
    "entrypoint": "data.bywire.decision",
    "input_digest": "5" * 64,
}
REQUEST = {"parameters": {"to": "6" * 64}, "evidence": [], "redacted": False}
OUTCOME = {"status": "committed", "action_digest": "1" * 64, "decision": DECISION, "result": {"ok": True}, "entry": 3}
DELIVERY = {
    "id": "dl-old",
    "goal": "a goal of version 1",
    "service": "tiny",
    "environment": "production",
    "branch": "greet",
    "base_branch": "main",
    "base_commit": "7" * 40,
    "head_commit": "8" * 40,
    "generation": 1,
    "dry_run": False,
    "steps": [],
    "warm": False,
    "plan_origin": "bywire.yaml",
    "ceiling": 100,
    "last_good": "",
    "phase": "approving",
    "approval_id": PACKET["id"],
}
ENTRIES = 300


def build(path, origin, log_key, entries=ENTRIES):
    """Write it to `path`; the log is signed under `origin`. The last entry is a day old; the first, a hundred."""
    memory = MemoryLedger()
    for number in range(entries):
        record = json.dumps({"n": number}).encode()
        at_ms = NOW_MS - (100 if number < entries // 2 else 1) * DAY_MS
        memory.append(leaf_bytes(record_entry("decision", at_ms, "dl-old", record)), [record])
    log.publish(memory, origin, log_key)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN")
        for statement in (*MIGRATIONS[0], META_TABLE):
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('schema_version', 1)")
        _insert_log(connection, memory)
        _insert_state(connection)
        connection.execute("COMMIT")
    path.chmod(0o600)


def _insert_log(connection, memory):
    numbers = {}
    for digest, content in memory.contents.items():
        cursor = connection.execute("INSERT INTO blobs (digest, bytes) VALUES (?, ?)", (bytes.fromhex(digest), content))
        numbers[digest] = cursor.lastrowid
    for index, (leaf, hashed, content) in memory.entries.items():
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (index, hashed, numbers[content], leaf))
    for (level, index), hashes in memory.tiles.items():
        connection.execute("INSERT INTO tiles VALUES (?, ?, ?)", (level, index, hashes))
    for note in memory.notes.values():
        connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", (note.size, note.root, note.note))
    connection.execute("INSERT INTO meta VALUES ('frontier', ?)", (memory.frontier(),))
    connection.execute("INSERT INTO meta VALUES ('now_ms', ?)", (NOW_MS,))


def _insert_state(connection):
    def text(value):
        return json.dumps(value).encode()

    for key, state, outcome in (("old:done", "committed", text(OUTCOME)), ("old:open", "intended", None)):
        connection.execute(
            "INSERT INTO intents VALUES (?, ?, 'agent:release-controller', 'rollback_release', 'tiny', 'production',"
            " 'dl-old', ?, 1, ?, ?, ?, ?, ?, ?, 1)",
            (
                key,
                "1" * 64,
                state,
                NOW_MS,
                NOW_MS + 60_000,
                text({"version": 3}),
                text(REQUEST),
                text(DECISION),
                outcome,
            ),
        )
    connection.execute("INSERT INTO budgets VALUES ('agent:release-controller', ?, 7)", (HOUR,))
    for name, integrity in (("s-clean", "trusted"), ("s-tainted", "tainted")):
        connection.execute(
            "INSERT INTO sessions VALUES (?, 'agent:planner', 'agent', 'person:dana', ?, ?, 0)",
            (name, f"run-{name}", integrity),
        )
    connection.execute("INSERT INTO stops VALUES (1, 'service', 'other', 'person:dana', 'old', ?, NULL)", (NOW_MS,))
    connection.execute(
        "INSERT INTO approvals VALUES (?, ?, '', ?, NULL, 'pending', 0, 0, ?, ?)",
        (PACKET["id"], PACKET["action_digest"], text(PACKET), NOW_MS, PACKET["expires_at_ms"]),
    )
    connection.execute("INSERT INTO machines VALUES ('dl-old', 4, ?, ?)", (text(DELIVERY), text([])))
    connection.execute("INSERT INTO work VALUES ('dl-old:1:plan', ?)", (text({"lines": [], "entries": [1]}),))
    connection.execute("INSERT INTO delivery_statements VALUES ('dl-old', 1, 'plan', ?, ?)", ("9" * 64, NOW_MS))
    connection.execute("INSERT INTO bundles VALUES (?, 1, 1, ?)", (BUNDLE, NOW_MS))
    connection.execute("INSERT INTO leases VALUES ('writer', 5)")
