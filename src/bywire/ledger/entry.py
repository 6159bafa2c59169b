"""Log entries: what a leaf may hold. Digests and names only, never content (RULES 5).

A leaf is canonical JSON (RFC 8785) of at most LEAF_BYTES_MAX bytes, so that one entry has one byte string and one leaf
hash. `statement` is the sha256 of a DSSE envelope's bytes, `record` the sha256 of an unsigned record's bytes; exactly
one of them is there. The bytes themselves are blobs beside the log.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from bywire.model.errors import LedgerError
from bywire.model.statement import Statement
from bywire.seal.digest import sha256_hex

LEAF_BYTES_MAX = 65_535
SUBJECTS_MAX = 256
# An entry is parsed when it is built and again, under the database lock, when it is appended.
PARSED_MAX = 4_096
_TIME_MS_MAX = 2**53 - 1

_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Kind = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_.-]{0,63}\Z")]
_Object = Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]{1,256}\Z")]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry. Fields stand in alphabetical order: that makes msgspec's encoding the RFC 8785 one.

    `object` names what the entry is about (`delivery:7f..`, `intent:12`); `at_ms` is milliseconds since the epoch;
    `signer` is the key id that signed the statement; `subjects` are the statement's subject digests, sorted.
    """

    at_ms: Annotated[int, msgspec.Meta(ge=0, le=_TIME_MS_MAX)]
    kind: _Kind
    object: _Object
    record: _Digest = ""
    signer: _Digest = ""
    statement: _Digest = ""
    subjects: Annotated[tuple[_Digest, ...], msgspec.Meta(max_length=SUBJECTS_MAX)]
    v: Literal[1]

    @property
    def content(self) -> str:
        """The sha256 hex of the blob this entry stands for."""
        return self.statement or self.record


def statement_entry(kind: str, at_ms: int, about: str, envelope: bytes, statement: Statement, signer: str) -> Entry:
    """An entry for a signed statement: its envelope's exact bytes, what it says, and the key that signed it."""
    return Entry(
        at_ms=at_ms,
        kind=kind,
        object=about,
        signer=signer,
        statement=sha256_hex(envelope),
        subjects=_sorted(subject.sha256 for subject in statement.subject),
        v=1,
    )


def record_entry(kind: str, at_ms: int, about: str, record: bytes, subjects: Iterable[str] = ()) -> Entry:
    """An entry for an unsigned record, vouched for by the log's checkpoint alone."""
    return Entry(at_ms=at_ms, kind=kind, object=about, record=sha256_hex(record), subjects=_sorted(subjects), v=1)


def leaf_bytes(entry: Entry) -> bytes:
    """The canonical leaf. Raises LedgerError `entry_malformed` for an entry that no reader would accept."""
    leaf = msgspec.json.encode(entry)
    parse_leaf(leaf)
    return leaf


@lru_cache(maxsize=PARSED_MAX)
def parse_leaf(leaf: bytes) -> Entry:
    """Strictly parse a leaf: bounds, types, canonical form. Raises LedgerError `entry_malformed`."""
    if len(leaf) > LEAF_BYTES_MAX:
        raise _malformed(f"it is larger than {LEAF_BYTES_MAX} bytes")
    try:
        entry = _DECODER.decode(leaf)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _malformed(str(error)) from error
    if bool(entry.statement) == bool(entry.record):
        raise _malformed("it must hold exactly one of statement and record")
    if bool(entry.statement) != bool(entry.signer):
        raise _malformed("a statement names its signer, and a record has none")
    if entry.subjects != _sorted(entry.subjects) or msgspec.json.encode(entry) != leaf:
        raise _malformed("it is not canonical")
    return entry


def _sorted(digests: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(digests)))


def _malformed(why: str) -> LedgerError:
    return LedgerError(
        f"the log entry is malformed: {why}",
        code="entry_malformed",
        next_step="run `bywire audit verify` to see whether the log was changed",
    )


_DECODER = msgspec.json.Decoder(Entry)
