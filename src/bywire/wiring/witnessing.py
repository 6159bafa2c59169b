"""The workspace's side of witnesses: ask them what they know, collect their cosignatures, say how far behind they are.

Failure, by design: a witness that is down or refuses never stops publishing, and never stops what reduces exposure.
While fewer than the quorum have cosigned within `witness_lag_entries` of the log's end, `overdue` is true, and the door
admits nothing that raises exposure. A witness that knows more than the log, or another root, stops the workspace at
start (RULES 24): its note is among `notes`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from bywire.adapters.witness_directory import DirectoryWitness
from bywire.adapters.witness_http import HttpWitness
from bywire.adapters.witness_memory import WitnessMemory, WitnessStatus
from bywire.identity.trust import TrustRoot
from bywire.ledger.checkpoint import (
    COSIGNATURE,
    Checkpoint,
    NoteSignature,
    cosignatures,
    key_hash,
    log_keys,
    log_signatures,
    parse_checkpoint,
    render_note,
    verify_checkpoint,
)
from bywire.ledger.witness import (
    CONFLICT,
    AddCheckpoint,
    Refusal,
    WitnessPlace,
    read_answer,
    read_latest,
    render_request,
)
from bywire.model.errors import BywireError, EvidenceError, LedgerError
from bywire.model.operator import Witness, Witnessing
from bywire.seal.keys import VerifyKey
from bywire.wiring.witness_report import WitnessReport, WitnessStanding

RETRY_MS = 30_000
NOTES_MAX = 256

Prove: TypeAlias = Callable[[int, int], Sequence[bytes]]
"""The consistency proof between two sizes of the workspace's log."""


class Witnesses:
    """The configured witnesses of one log."""

    def __init__(
        self,
        witnessing: Witnessing,
        memory: WitnessMemory,
        trust: Callable[[], TrustRoot],
        now_ms: Callable[[], int],
        places: Mapping[str, WitnessPlace] | None = None,
    ) -> None:
        self._witnessing = witnessing
        self._memory = memory
        self._trust = trust
        self._now_ms = now_ms
        self._places = places or {one.name: _place(one) for one in witnessing.witnesses}
        self._keys = {one.name: VerifyKey.from_hex(one.key) for one in witnessing.witnesses}
        self._hashes = {name: key_hash(name, COSIGNATURE, key) for name, key in self._keys.items()}
        # One thread asks at a time; both are replaced, never changed, so that others may read them meanwhile.
        self._asking = threading.RLock()
        self._status: dict[str, WitnessStatus] = {}
        self._heads: dict[str, Checkpoint] = {}
        if self._places:
            self._status = memory.statuses()
            self._remember()

    def ask(self) -> None:
        """Ask every witness what it last cosigned; over a network, unless it just failed to answer."""
        with self._asking:
            for name in self._askable():
                with _Recorded(self, name):
                    self._ask_one(name)
            self._save()

    def notes(self) -> tuple[str, ...]:
        """Signed checkpoints of this log that some witness knows; the log may not be behind or beside them."""
        return tuple(render_note(head.text, head.signatures) for head in self._heads.values())

    def collect(self, note: str, prove: Prove, *, again: bool = False) -> str:
        """Ask for cosignatures on a published checkpoint; returns it with every one known. Never raises for a witness.

        `again` asks those too that just failed to answer.
        """
        checkpoint = parse_checkpoint(note)
        with self._asking:
            if checkpoint.size:  # an empty tree says nothing
                for name in self._places if again else self._askable():
                    if self._sizes().get(name, 0) < checkpoint.size:
                        with _Recorded(self, name):
                            self._submit(name, checkpoint, note, prove)
            self._save()
            found = self._heads.get(_name(checkpoint))
        return render_note(found.text, found.signatures) if found else note

    def quorum_note(self) -> str | None:
        """The largest checkpoint that carries the quorum's cosignatures."""
        best = self._best()
        return render_note(best.text, best.signatures) if best else None

    def report(self, log_size: int) -> WitnessReport:
        """Where a log of that size stands; asks nobody."""
        sizes = self._sizes()
        quorum = self._witnessing.quorum
        ordered = sorted((sizes.get(name, 0) for name in self._places), reverse=True)
        cosigned = ordered[quorum - 1] if quorum else log_size
        lag = max(log_size - cosigned, 0)
        return WitnessReport(
            log_size=log_size,
            quorum=quorum,
            cosigned_size=cosigned,
            lag_entries=lag,
            lag_max=self._witnessing.lag_entries,
            overdue=lag > self._witnessing.lag_entries,
            witnesses=tuple(
                WitnessStanding(
                    name=one.name,
                    place=one.directory or one.url,
                    size=sizes.get(one.name, 0),
                    problem=self._problem(one.name),
                )
                for one in self._witnessing.witnesses
            ),
        )

    def told(self, name: str, error: str) -> None:
        """Record how a witness answered: `error` is empty when it did as asked."""
        before = self._status.get(name, WitnessStatus())
        told = msgspec.structs.replace(before, tried_at_ms=self._now_ms(), error=error)
        self._status = {**self._status, name: told}

    def _problem(self, name: str) -> str:
        status = self._status.get(name, WitnessStatus())
        forgot = "it forgot what it once cosigned" if status.forgot else ""
        return "; ".join(part for part in (status.error, forgot) if part)

    def _askable(self) -> list[str]:
        now_ms = self._now_ms()
        return [
            name
            for name, place in self._places.items()
            if place.answers_later
            or not (status := self._status.get(name, WitnessStatus())).error
            or not 0 <= now_ms - status.tried_at_ms < RETRY_MS
        ]

    def _ask_one(self, name: str) -> int:
        """Learn what a witness last cosigned; returns that size."""
        trust = self._trust()
        note = self._places[name].latest(trust.origin)
        size = 0
        cosigned = True
        if note is not None:
            head, cosigned = read_latest(note, trust.origin, log_keys(trust), name, self._keys[name])
            size = head.size
            self._learn(head)
        self._noted(name, forgot=size < self._sizes().get(name, 0))
        if not cosigned:
            raise EvidenceError(
                "what it serves does not carry a cosignature of the key configured for it",
                code="witness_answer",
                next_step="compare the key in operator.yaml with the witness's own",
            )
        return size

    def _submit(self, name: str, checkpoint: Checkpoint, note: str, prove: Prove) -> None:
        old = self._sizes().get(name, 0)
        place = self._places[name]
        if place.answers_later:
            old = self._ask_one(name)
        # A second try with the size that the witness named in its refusal; a third would be another witness's answer.
        for last in (False, True):
            if old >= checkpoint.size:
                return
            answer = place.add_checkpoint(checkpoint.origin, render_request(_request(old, checkpoint, note, prove)))
            if answer is None:
                return
            read = read_answer(answer, checkpoint, name, self._keys[name])
            if not isinstance(read, Refusal):
                signatures = (*parse_checkpoint(note).signatures, read)
                self._learn(msgspec.structs.replace(checkpoint, signatures=signatures))
                return
            if last or read.status != CONFLICT or read.size > checkpoint.size:
                raise LedgerError(f"it does not cosign {checkpoint.size} entries: {read.message}", code=read.code)
            self._noted(name, forgot=read.size < old)
            old = read.size

    def _learn(self, head: Checkpoint) -> None:
        """Keep a verified tree head, with the signatures of every head of the same text that was known before."""
        name = _name(head)
        known = self._heads.get(name)
        lines = [*(known.signatures if known else ()), *head.signatures]
        signatures = _newest_only([line for line in lines if self._believed(head, line)])
        merged = msgspec.structs.replace(head, signatures=signatures)
        if known is None or merged.signatures != known.signatures:
            self._heads = {**self._heads, name: merged}
            self._memory.keep(head.origin, name, render_note(merged.text, merged.signatures))

    def _believed(self, head: Checkpoint, line: NoteSignature) -> bool:
        """Whether the log or one of our witnesses made this line."""
        trust = self._trust()
        alone = msgspec.structs.replace(head, signatures=(line,))
        try:
            by_log = log_signatures(alone, trust.origin, log_keys(trust)(head.size))
            return bool(by_log or cosignatures(alone, self._keys))
        except EvidenceError:
            return False

    def _noted(self, name: str, *, forgot: bool) -> None:
        noted = msgspec.structs.replace(self._status.get(name, WitnessStatus()), forgot=forgot)
        self._status = {**self._status, name: noted}

    def _remember(self) -> None:
        trust = self._trust()
        for name, note in self._memory.notes(trust.origin).items():
            try:
                self._heads[name] = verify_checkpoint(note, trust.origin, log_keys(trust))
                cosignatures(self._heads[name], self._keys)
            except EvidenceError as error:
                raise EvidenceError(
                    f"a remembered checkpoint, {name}, is damaged: {error.message}",
                    code="witness_memory_damaged",
                    next_step="remove that file below witnesses/; the witness itself still has the checkpoint",
                ) from error

    def _cosigners(self, head: Checkpoint) -> set[str]:
        """Our witnesses on a head of ours, all of whose lines were verified when it was learnt."""
        return {line.name for line in head.signatures if self._hashes.get(line.name) == line.key_hash}

    def _sizes(self) -> dict[str, int]:
        """The largest size that each witness has cosigned, as far as we know."""
        sizes: dict[str, int] = {}
        for head in self._heads.values():
            for name in self._cosigners(head):
                sizes[name] = max(sizes.get(name, 0), head.size)
        return sizes

    def _best(self) -> Checkpoint | None:
        quorum = max(self._witnessing.quorum, 1)
        met = [head for head in self._heads.values() if len(self._cosigners(head)) >= quorum]
        return max(met, key=lambda head: head.size, default=None)

    def _save(self) -> None:
        """Remember the statuses, and forget tree heads that nobody will ask for again."""
        if not self._places:
            return
        best = self._best()
        sizes = self._sizes()
        newest = sorted(self._heads.values(), key=lambda head: head.size)[-NOTES_MAX:]
        floor = max(best.size if best else 0, newest[0].size if newest else 0)
        self._heads = {
            name: head
            for name, head in self._heads.items()
            if head.size >= floor or any(sizes[who] == head.size for who in self._cosigners(head)) or head is best
        }
        self._memory.forget_others(self._trust().origin, self._heads.keys())
        self._memory.keep_statuses(self._status)


class _Recorded:
    """What a witness does wrong inside the block is recorded, never raised: it must not stop a retreat."""

    def __init__(self, witnesses: Witnesses, name: str) -> None:
        self._witnesses = witnesses
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        del kind, trace
        if error is None or isinstance(error, BywireError):
            self._witnesses.told(self._name, f"{error.code}: {error.message}" if error else "")
            return True
        return False


def _place(witness: Witness) -> WitnessPlace:
    return DirectoryWitness(Path(witness.directory)) if witness.directory else HttpWitness(witness.url)


def _request(old: int, checkpoint: Checkpoint, note: str, prove: Prove) -> AddCheckpoint:
    proof = tuple(prove(old, checkpoint.size)) if old else ()
    return AddCheckpoint(old_size=old, proof=proof, note=note)


def _newest_only(lines: Sequence[NoteSignature]) -> tuple[NoteSignature, ...]:
    """One line a key: of a cosignature given twice, the later."""
    return tuple({(line.name, line.key_hash): line for line in lines}.values())


def _name(head: Checkpoint) -> str:
    return f"{head.size:020}-{head.root[:8].hex()}.note"
