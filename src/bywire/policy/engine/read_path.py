"""Which bundles have a short way for reads that regorus's virtual machine may take.

The machine answers `undefined` where the interpreter raises. So it is asked one thing only: whether a read is allowed
by `read.rego`, every part of which is stated positively, so that what quietly vanishes makes it false. Only a text of
`read.rego` that was examined for this is compiled, and only where `action.rego` asks it before anything else.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from bywire.seal.digest import sha256_hex

ENTRYPOINT = "data.bywire.action.decision"
ASKED = "data.bywire.read_alone.answer"
# sha256 of each text of read.rego in whose `allowed` no negation stands, and no comprehension over what can fail.
EXAMINED = frozenset({"a8d1d1ca76019073559e7f97fe782caea4b887e77f72f1c88a3bcf530749f99f"})
_FIRST = "\ndecision := data.bywire.read.answer if data.bywire.read.allowed\n"
_ALONE = """package bywire.read_alone

answer := data.bywire.read.answer if data.bywire.read.allowed
"""


# What stands there, as it is written; UNSET where nothing does.
_Part: TypeAlias = msgspec.Raw | msgspec.UnsetType
_NULL = b"null"


class _Connected(msgspec.Struct):
    upstream: _Part = msgspec.UNSET
    reviewed: _Part = msgspec.UNSET
    definition: _Part = msgspec.UNSET


class _Action(msgspec.Struct):
    tool: str
    category: _Part = msgspec.UNSET
    environment: _Part = msgspec.UNSET
    unmet_preconditions: _Part = msgspec.UNSET
    parameters: _Part = msgspec.UNSET
    findings: _Part = msgspec.UNSET
    destination: _Part = msgspec.UNSET
    connected: _Connected | msgspec.UnsetType = msgspec.UNSET


class _Registration(msgspec.Struct):
    tools: _Part = msgspec.UNSET
    environments: _Part = msgspec.UNSET
    pattern: _Part = msgspec.UNSET
    expires_at_ms: _Part = msgspec.UNSET


class _Principal(msgspec.Struct):
    id: str
    registration: _Registration
    kind: _Part = msgspec.UNSET
    owner: _Part = msgspec.UNSET


class _State(msgspec.Struct):
    limits: _Part = msgspec.UNSET
    budget: _Part = msgspec.UNSET


class LookedAt(msgspec.Struct):
    """What the examined text looks at in a question, and nothing else. A test compares it with the text."""

    action: _Action
    principal: _Principal
    state: _State
    version: _Part = msgspec.UNSET
    now_ms: _Part = msgspec.UNSET


_LOOKED_AT = msgspec.json.Decoder(LookedAt)
_ENCODER = msgspec.json.Encoder()


class ShortWay(msgspec.Struct, frozen=True):
    """The modules (path, source) of a bundle's short way, and the tools of its table whose parameters it looks at.

    `connected` says whether it looks at those of every tool that is not in the table.
    """

    modules: tuple[tuple[str, str], ...]
    tools: frozenset[str]
    bounded: frozenset[str]
    connected: bool

    def question(self, text: str) -> tuple[str, str] | None:
        """(who asks, the question without anything that its answer does not depend on); None for another form.

        Two questions with the same rest have the same answer, because the rest is all that is asked.
        """
        try:
            found = _LOOKED_AT.decode(text)
        except msgspec.MsgspecError:
            return None
        tool = found.action.tool
        if not (tool in self.bounded if tool in self.tools else self.connected):
            found.action.parameters = msgspec.UNSET
        expires = found.principal.registration.expires_at_ms
        if isinstance(expires, msgspec.Raw) and bytes(expires) == _NULL:
            found.now_ms = msgspec.UNSET
        return found.principal.id, _ENCODER.encode(found).decode()


def short_way(modules: Mapping[str, str], table: Mapping[str, Any]) -> ShortWay | None:
    """The short way of a bundle's modules (path -> text) and table; None when it has another than was examined."""
    read, action = modules.get("read.rego", ""), modules.get("action.rego", "")
    asks_first = action.find("\ndecision := ") == action.find(_FIRST) >= 0
    if not asks_first or sha256_hex(read.encode()) not in EXAMINED:
        return None
    rows = {tool: _has_bounds(row) for tool, row in _object(table, "capabilities").items()}
    return ShortWay(
        modules=(("read.rego", read), ("read_alone.rego", _ALONE)),
        tools=frozenset(rows),
        bounded=frozenset(tool for tool, bounds in rows.items() if bounds),
        connected=_has_bounds(_object(table, "connected").get("read")),
    )


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _has_bounds(row: Any) -> bool:
    """Whether parameters may matter to a row; where it is of no form that is known, they may."""
    return not isinstance(row, dict) or row.get("bounds", {}) != {}
