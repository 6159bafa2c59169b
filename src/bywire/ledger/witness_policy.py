"""Which witnesses must have cosigned a checkpoint before it is believed: the verifier's own rule (RULES 25).

The file form is C2SP tlog-policy: known logs, known witnesses, groups of them, one quorum. It comes from whoever
verifies, never from the file being verified. Stricter than the specification in one point: the file must be UTF-8.
"""

import re
from collections.abc import Mapping
from typing import NoReturn

import msgspec

from bywire.ledger.checkpoint import COSIGNATURE, ED25519, Checkpoint, cosignatures, log_signatures
from bywire.ledger.vkey import NamedKey, parse_vkey
from bywire.model.errors import EvidenceError
from bywire.seal.keys import VerifyKey

POLICY_BYTES_MAX = 65_536
LINES_MAX = 1_024
NO_QUORUM = "none"
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
_NEXT = "ask the log and its witnesses for a checkpoint with more cosignatures, or correct your witness policy"


class Group(msgspec.Struct, frozen=True):
    """Satisfied when at least `threshold` of `members` (witnesses or earlier groups) are."""

    threshold: int
    members: tuple[str, ...]


class WitnessPolicy(msgspec.Struct, frozen=True):
    """Accepted logs (empty: those of the trust root), witnesses and groups by their name in the file, and the quorum.

    `quorum` names a witness or group, or is "none".
    """

    logs: tuple[NamedKey, ...]
    witnesses: Mapping[str, NamedKey]
    groups: Mapping[str, Group]
    quorum: str


def n_of(witnesses: Mapping[str, VerifyKey], quorum: int) -> WitnessPolicy:
    """The policy that asks for `quorum` of `witnesses` (0: none)."""
    named = {name: NamedKey(name=name, key=key) for name, key in witnesses.items()}
    groups = {"": Group(threshold=quorum, members=tuple(named))} if quorum else {}
    return WitnessPolicy(logs=(), witnesses=named, groups=groups, quorum="" if quorum else NO_QUORUM)


def require_witnesses(checkpoint: Checkpoint, policy: WitnessPolicy) -> tuple[str, ...]:
    """The names of the trusted witnesses that cosigned, when they are enough and the log is an accepted one.

    Raises EvidenceError `witness_quorum`, `cosignature_invalid`, `checkpoint_origin` (the policy lists other logs),
    `checkpoint_signature`.
    """
    if policy.logs:
        accepted = [log.key for log in policy.logs if log.name == checkpoint.origin]
        if not log_signatures(checkpoint, checkpoint.origin, accepted):
            raise EvidenceError(
                "the witness policy does not list the log that signed this checkpoint",
                code="checkpoint_origin",
                next_step=_NEXT,
            )
    cosigned = {alias for alias, known in policy.witnesses.items() if cosignatures(checkpoint, {known.name: known.key})}
    satisfied = set(cosigned)
    for name, group in policy.groups.items():
        if sum(member in satisfied for member in group.members) >= group.threshold:
            satisfied.add(name)
    if policy.quorum != NO_QUORUM and policy.quorum not in satisfied:
        raise EvidenceError(
            f"{len(cosigned)} of {len(policy.witnesses)} trusted witnesses cosigned this checkpoint;"
            " that does not meet the quorum",
            code="witness_quorum",
            next_step=_NEXT,
        )
    return tuple(sorted(policy.witnesses[alias].name for alias in cosigned))


def parse_witness_policy(data: bytes) -> WitnessPolicy:
    """Read a policy file. Raises EvidenceError `witness_policy_invalid` or `vkey_invalid`, naming the line."""
    if len(data) > POLICY_BYTES_MAX or _FORBIDDEN.search(data):
        _refuse(0, "it is too large or holds control characters")
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        _refuse(0, "it is not UTF-8")
    if len(lines) > LINES_MAX:
        _refuse(0, f"it has more than {LINES_MAX} lines")
    reading = _Reading()
    for number, line in enumerate(lines, 1):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if words and not words[0].startswith("#"):
            reading.line(number, words)
    if reading.quorum is None:
        _refuse(len(lines), "it has no quorum line")
    return WitnessPolicy(
        logs=tuple(reading.logs), witnesses=reading.witnesses, groups=reading.groups, quorum=reading.quorum
    )


class _Reading:
    """What the lines so far have defined."""

    def __init__(self) -> None:
        self.logs: list[NamedKey] = []
        self.witnesses: dict[str, NamedKey] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._used: set[str] = set()
        self._keys: set[tuple[str, bytes]] = set()

    def line(self, number: int, words: list[str]) -> None:
        """Take one line that is neither empty nor a comment."""
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self.logs.append(self._key(number, vkey, "log", ED25519))
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                self._free(number, name)
                self.witnesses[name] = self._key(number, vkey, "witness", COSIGNATURE)
            case ["group", name, threshold, *members] if members:
                self._free(number, name)
                self.groups[name] = self._group(number, threshold, members)
            case ["quorum", name] if self.quorum is None:
                if name != NO_QUORUM and not self._defined(name):
                    _refuse(number, f"{name!r} is not defined on a line before it")
                self.quorum = name
            case _:
                _refuse(number, "it is no log, witness, group or (first) quorum line")

    def _key(self, number: int, vkey: str, kind: str, note_kind: bytes) -> NamedKey:
        named = parse_vkey(vkey, note_kind)
        if (kind, named.key.raw_public) in self._keys:
            _refuse(number, f"that {kind}'s key is listed twice")
        self._keys.add((kind, named.key.raw_public))
        return named

    def _group(self, number: int, threshold: str, members: list[str]) -> Group:
        for member in members:
            if not self._defined(member) or member in self._used:
                _refuse(number, f"{member!r} is not defined on a line before it, or is a member already")
            self._used.add(member)
        wanted = {"any": 1, "all": len(members)}.get(threshold)
        if wanted is None:
            wanted = int(threshold) if _NUMBER.fullmatch(threshold) else 0
        if not 1 <= wanted <= len(members):
            _refuse(number, f"{threshold!r} is not all, any, or a number from 1 to {len(members)}")
        return Group(threshold=wanted, members=tuple(members))

    def _free(self, number: int, name: str) -> None:
        if name == NO_QUORUM or self._defined(name):
            _refuse(number, f"{name!r} is defined already")

    def _defined(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups


def _refuse(number: int, why: str) -> NoReturn:
    where = f", line {number}" if number else ""
    raise EvidenceError(
        f"the witness policy cannot be read{where}: {why}",
        code="witness_policy_invalid",
        next_step="write it as C2SP tlog-policy says: log, witness, group and one quorum line",
    )
