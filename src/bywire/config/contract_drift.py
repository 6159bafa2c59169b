"""How far a server has moved from the contracts that were written for it, before anybody relies on the new version.

Nothing here changes anything. A contract that a server has left behind is safe, since its calls are refused or mean
what they meant, but of no use: whoever upgrades a server wants to know beforehand which tools stop, and why.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bywire.config.packs import GONE as NOT_THERE
from bywire.config.packs import consulted, misfits
from bywire.gateway.tool_definition import printable, suspicions

FITS, CHANGED, MOVED, GONE, NEW = "fits", "changed", "moved", "gone", "new"
STATES = (MOVED, CHANGED, GONE, NEW, FITS)
WHY_MAX, NAME_CHARS = 64, 95
WORDS_MAX = 8
_PINNED = "the contract pins another definition: it is not called until this one is approved"


class Drift(msgspec.Struct, frozen=True):
    """One tool of the contracts or of the server.

    `state`: fits, changed (the definition is not the one that the contract pins), moved (calls of the contract do not
    fit the server's parameters), gone, new. `why` is what makes it so, `notes` what stops nothing; both in words.
    """

    tool: str
    state: str
    why: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def drift(
    contracts: Mapping[str, Mapping[str, Any]], offered: Mapping[str, tuple[dict[str, Any], str]]
) -> tuple[Drift, ...]:
    """Every tool of both, by name: `contracts` as a contract file spells them, `offered` (definition, digest)."""
    found = [_known(name, contract, offered.get(name)) for name, contract in contracts.items()]
    found += [_new(name, definition) for name, (definition, _) in offered.items() if name not in contracts]
    return tuple(sorted(found, key=lambda one: one.tool))


def has_drifted(found: tuple[Drift, ...], *, whole: bool) -> bool:
    """Whether something stops. `whole`: the server is to offer every tool; else it may leave some out."""
    stops = {MOVED, CHANGED, GONE} if whole else {MOVED, CHANGED}
    return any(one.state in stops for one in found)


def _known(name: str, contract: Mapping[str, Any], offered: tuple[dict[str, Any], str] | None) -> Drift:
    if offered is None:
        return Drift(name, GONE, ("the server does not offer it",))
    definition, digest = offered
    why = tuple(_moved(contract, definition))[:WHY_MAX]
    notes = tuple(_notes(contract, definition))[:WHY_MAX]
    pinned = contract.get("definition")
    if why:
        return Drift(name, MOVED, why, notes)
    if pinned and pinned != digest:
        return Drift(name, CHANGED, (_PINNED,), notes)
    return Drift(name, FITS, (), notes)


def _new(name: str, definition: dict[str, Any]) -> Drift:
    return Drift(
        printable(name, NAME_CHARS), NEW, ("no contract knows it: it cannot be called",), tuple(_talk(definition))
    )


def _moved(contract: Mapping[str, Any], definition: Mapping[str, Any]) -> Iterator[str]:
    read = consulted(contract)
    for one in misfits(contract["schema"], definition.get("inputSchema")):
        reads = one.where.partition(".")[0].removesuffix("[]") in read
        decides = "; the contract reads where or what it does from there" if reads and one.kind == NOT_THERE else ""
        yield f"{printable(one.where) or 'parameters'}: {printable(one.said, 200)}{decides}"


def _notes(contract: Mapping[str, Any], definition: dict[str, Any]) -> Iterator[str]:
    ours, theirs = (_properties(one) for one in (contract["schema"], definition.get("inputSchema")))
    more = sorted(set(theirs) - set(ours), key=str)
    if more:
        yield f"the contract lets through no {_told(more)}"
    for name in ours:
        lost = [value for value in _values(ours[name]) if value not in _values(theirs.get(name))]
        if lost and _values(theirs.get(name)):
            yield f"{printable(name)}: the server does not take {_told(lost)} any more"
    said = definition.get("annotations")
    hints = said if isinstance(said, dict) else {}
    if contract.get("category") == "read" and (
        hints.get("readOnlyHint") is False or hints.get("destructiveHint") is True
    ):
        yield "the contract calls it a read, the server does not"
    yield from _talk(definition)


def _talk(definition: dict[str, Any]) -> Iterator[str]:
    for one in suspicions(definition)[:1]:
        yield f"its definition talks to the model: {one.kind} in {one.where}"


def _told(values: list[Any]) -> str:
    words = ", ".join(printable(str(value)) for value in values[:WORDS_MAX])
    return words if len(values) <= WORDS_MAX else f"{words} and {len(values) - WORDS_MAX} more"


def _properties(schema: Any) -> dict[str, Any]:
    found = schema.get("properties") if isinstance(schema, dict) else None
    return found if isinstance(found, dict) else {}


def _values(schema: Any) -> list[Any]:
    found = schema.get("enum") if isinstance(schema, dict) else None
    return found if isinstance(found, list) else []
