"""Finding a recorded decision by its name, and the newest one on a request for approval.

Each decision that is recorded by itself is named in `decided`. Reads are recorded in batches and have no name there, so
that none of them costs a row: they are looked for among the newest entries, within limits. A row of `decided` says
where to look and is believed no further; what is found there says itself what it is.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from bywire.adapters.sqlite_ledger_transaction import Transaction
from bywire.adapters.sqlite_reading import Reader
from bywire.audit.replay import Recorded, recorded_decisions
from bywire.ledger.entry import parse_leaf

# How far back a read is looked for: entries of any kind, and bytes of batches.
ENTRIES_SEARCHED_MAX = 2_000
BYTES_SEARCHED_MAX = 67_108_864
_PAGE = 16
_CONTENT = """SELECT e.idx, CAST(e.leaf AS BLOB), unsealed(b.digest, b.key, b.bytes)
    FROM entries e JOIN blobs b ON b.id = e.blob"""
_BATCHES = f"""{_CONTENT} WHERE e.idx >= ? AND e.idx < ? AND instr(CAST(e.leaf AS TEXT), '"kind":"reads"') > 0
    ORDER BY e.idx DESC LIMIT {_PAGE}"""


def name_entry(tx: Transaction, name: str, entry: int) -> None:
    """Remember where the newest decision of this name is."""
    tx.execute("INSERT OR REPLACE INTO decided VALUES (?, ?)", (name, entry))


def name_decision(tx: Transaction, document: dict[str, Any], entry: int) -> None:
    """Remember where the decision is that this document holds, under each of `Recorded.names`."""
    name_entry(tx, document["decision"]["id"], entry)
    if sanitized := document.get("sanitized"):
        name_entry(tx, sanitized["decision_id"], entry)


def named(reader: Reader, name: str) -> Recorded | None:
    """The recorded decision of this name; None when there is none, or what it said was erased."""
    row = reader.row(f"{_CONTENT} JOIN decided d ON d.entry = e.idx WHERE d.name = ?", (name,))
    found = () if row is None or row[2] is None else recorded_decisions([_kept(row)], advice=True)
    return next(iter(found), None)


def recent_read(reader: Reader, decision_id: str) -> Recorded | None:
    """The newest read that was decided so, if it is not too long ago."""
    wanted = msgspec.json.encode(decision_id)
    for index, kind, content in _batches(reader):
        # Cheaper than reading the batch, and a name that some parameter only mentions does no harm.
        if wanted in content:
            batch = recorded_decisions([(index, kind, content)])
            found = [one for one in batch if decision_id in one.names]
            if found:
                return found[-1]
    return None


def _batches(reader: Reader) -> Iterator[tuple[int, str, bytes]]:
    last = reader.row("SELECT max(idx) FROM entries")
    end = (last[0] if last and last[0] is not None else -1) + 1
    first, left = max(0, end - ENTRIES_SEARCHED_MAX), BYTES_SEARCHED_MAX
    while rows := reader.rows(_BATCHES, (first, end)):
        for row in rows:
            if row[2] is None:
                continue
            left -= len(row[2])
            if left < 0:
                return
            yield _kept(row)
        end = rows[-1][0]


def _kept(row: tuple[int, bytes, bytes]) -> tuple[int, str, bytes]:
    index, leaf, content = row
    return index, parse_leaf(leaf).kind, bytes(content)
