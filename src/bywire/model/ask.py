"""One call as a surface heard it, what it was answered, and the record of it that telemetry sees."""

from typing import Any, Protocol

import msgspec

from bywire.model.decision import Outcome


class Ask(msgspec.Struct, frozen=True):
    """One call, as an agent made it through a surface.

    `surface` is mcp, http, authzen, ext_authz, hook, sdk, egress or api. `trace` is the W3C traceparent as heard.
    `tokens` is what the caller says it spent. Service and environment are not here: the tool's contract knows them.
    `destination` is what a surface itself saw of where the call leads (host, port, address class); no agent says it.
    """

    tool: str
    parameters: dict[str, Any]
    key: str = ""
    change: str = ""
    plan: str = ""
    evidence: tuple[str, ...] = ()
    dry_run: bool = False
    surface: str = ""
    trace: str = ""
    tokens: int = 0
    destination: dict[str, Any] = {}


class Answered(msgspec.Struct, frozen=True):
    """An outcome and, unless it is what the caller wanted, the one payload that every surface puts somewhere."""

    outcome: Outcome
    payload: dict[str, Any]
    tool: str

    @property
    def code(self) -> str:
        """The payload's code; empty when the call was carried out, permitted or answered."""
        return str(self.payload.get("code", ""))


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one call, for telemetry; no parameters unless `arguments` was asked for.

    `effect` is what was decided, `status` how it ended, `error` the payload's code. `rules` and `would_block` are rule
    ids, of what fired and of what would have fired but for its shadow. `cost` holds `{unit, amount}` in thousandths.
    Where the policy wanted another action, `effect_before` is what it said of the one that was asked for and
    `effect_after` what of the changed one; `replaced` parameters got another value, and `redacted_request` counts what
    this call had taken out of them, by kind. `redacted_response` counts what was taken out of the answer.
    Durations are ns: {decide, execute, total}, of reads without `execute`. `trace` is the
    traceparent as heard, `span` the call's own, which upstreams are told; `call` is the name of the call.
    """

    surface: str
    tool: str
    upstream: str
    category: str
    principal: str
    owner: str
    team: str
    service: str
    environment: str
    effect: str
    status: str
    rules: tuple[str, ...]
    error: str
    decision_id: str
    policy_version: str
    approval_id: str
    intent: str
    run: str
    change: str
    evidence: tuple[str, ...]
    cost: tuple[dict[str, Any], ...]
    would_block: tuple[str, ...]
    started_ms: int
    duration_ns: dict[str, int]
    trace: str
    call: str = ""
    span: str = ""
    arguments: dict[str, Any] | None = None
    effect_before: str = ""
    effect_after: str = ""
    replaced: int = 0
    redacted_request: dict[str, int] = {}
    redacted_response: dict[str, int] = {}


class Observer(Protocol):
    """Is told of every call after it was answered."""

    def observed(self, record: CallRecord) -> None:
        """Synchronous; must neither block nor raise."""
        ...
