"""What reconciling reads of the database: the intents that went to a target, and the summaries of what was gated."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bywire.adapters.sqlite_reading import Reader
from bywire.evidence.verification import SealedStatement

SUMMARIES_PAGE = 200


class IntentSketch(msgspec.Struct, frozen=True):
    """The part of an intent that is compared; `before` is the version of the target it was decided on."""

    key: str
    tool: str
    state: str
    before: int
    parameters: dict[str, Any]
    result: dict[str, Any]


class _Parameters(msgspec.Struct):
    parameters: dict[str, Any] = {}


class _Precondition(msgspec.Struct):
    version: int | None = None


class _Outcome(msgspec.Struct):
    result: dict[str, Any] | None = None


class SqliteReconciling:
    """Read-only; `tools` are names from the catalogue."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def intents(self, tools: Sequence[str]) -> list[IntentSketch]:
        """Every intent of these tools, oldest first."""
        marks = ", ".join("?" * len(tools))
        rows = self._reader.rows(
            "SELECT key, tool, state, precondition, request, outcome FROM intents"  # noqa: S608  marks only
            f" WHERE tool IN ({marks}) ORDER BY entry",
            tuple(tools),
        )
        return [_sketch(*row) for row in rows]

    def advised(self) -> int:
        """How many answers were advice alone."""
        row = self._reader.row(
            """SELECT count(*) FROM entries WHERE instr(CAST(leaf AS TEXT), '"kind":"advised"') > 0"""
        )
        return 0 if row is None else int(row[0])

    def mediated(self) -> tuple[int, int, int]:
        """(effects that the door carried out, that it permitted to their callers, that those have not reported)."""
        row = self._reader.row(
            "SELECT count(*) FILTER (WHERE said IS NOT 0), count(*) FILTER (WHERE said IS 0),"
            " count(*) FILTER (WHERE said IS 0 AND state IN ('intended', 'unknown'))"
            " FROM (SELECT state, json_extract(CAST(request AS TEXT), '$.mediated') AS said FROM intents)"
        )
        return (0, 0, 0) if row is None else (int(row[0]), int(row[1]), int(row[2]))

    def newest(self, count: int) -> list[tuple[int, str, bool]]:
        """(ledger index of the decision, state, whether an outcome is recorded) of the newest intents."""
        rows = self._reader.rows(
            "SELECT entry, state, outcome IS NOT NULL FROM intents ORDER BY entry DESC LIMIT ?", (count,)
        )
        return [(int(entry), str(state), bool(told)) for entry, state, told in rows]

    def summaries(self) -> Iterator[SealedStatement]:
        """Sealed verification summaries of every delivery, newest first, read as far as they are asked for."""
        before = 2**62
        while True:
            rows = self._reader.rows(
                "SELECT unsealed(b.digest, b.key, b.bytes), s.entry, s.at_ms FROM delivery_statements s"
                " JOIN entries e ON e.idx = s.entry"
                " JOIN blobs b ON b.id = e.blob WHERE s.kind = 'vsa' AND s.entry < ? ORDER BY s.entry DESC LIMIT ?",
                (before, SUMMARIES_PAGE),
            )
            yield from (SealedStatement(*row) for row in rows if row[0] is not None)
            if len(rows) < SUMMARIES_PAGE:
                return
            before = rows[-1][1]


def _sketch(
    key: str, tool: str, state: str, precondition: bytes, request: bytes, outcome: bytes | None
) -> IntentSketch:
    result = msgspec.json.decode(outcome, type=_Outcome).result if outcome is not None else None
    return IntentSketch(
        key=key,
        tool=tool,
        state=state,
        before=msgspec.json.decode(precondition, type=_Precondition).version or 0,
        parameters=msgspec.json.decode(request, type=_Parameters).parameters,
        result=result or {},
    )
