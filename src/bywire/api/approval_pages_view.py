"""What the pages show, as plain values for the templates, and the one way an HTML answer leaves.

Templates escape everything. Nothing on a page runs: no script, no style of its own, no frame, no form that leads away.
"""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from starlette.responses import Response

from bywire.adapters.sqlite_approvals import ApprovalRow
from bywire.approvals.channel_text import line, pretty, proposal, visible
from bywire.approvals.grant import BY_KEY, kind_of
from bywire.approvals.packet import Packet, differences
from bywire.approvals.runbook import bounds, parse_runbook
from bywire.approvals.showing import exact_call
from bywire.wiring.approval_view import seconds_left, state_of
from bywire.wiring.approving import progress
from bywire.wiring.channel_telling import moment
from bywire.wiring.channels import WEB, ApprovalChannels

PROSE_CHARS_MAX = 20_000
_HOW = {True: "with their own key", False: "said so in a channel"}
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # With no-referrer a browser would say `Origin: null` of our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
}


def _source(name: str) -> str:
    return (files("bywire.api") / "templates" / name).read_text(encoding="utf-8")


TEMPLATES = Environment(loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined, auto_reload=False)
TEMPLATES.filters["visible"] = lambda text: visible(str(text))
TEMPLATES.filters["line"] = lambda text: line(str(text))


def page(name: str, status: int, /, **values: Any) -> Response:
    """An HTML answer."""
    text = TEMPLATES.get_template(name).render(**values)
    return Response(text, status, HEADERS, media_type="text/html; charset=utf-8")


def style() -> Response:
    """The style sheet; the one thing that may be kept, since it is nobody's."""
    kept = {**HEADERS, "cache-control": "max-age=300"}
    return Response(_source("style.css"), 200, kept, media_type="text/css; charset=utf-8")


def listed(channels: ApprovalChannels, most: int) -> list[dict[str, Any]]:
    """Requests for the list, those that wait first, then the newest."""
    now_ms = channels.workspace.clock.now_ms()
    rows = sorted(channels.workspace.approvals.rows(), key=lambda row: state_of(row, now_ms) != "pending")
    return [
        {
            "id": row.packet.id,
            "state": state_of(row, now_ms),
            "tool": row.packet.action.get("tool", ""),
            "place": f"{row.packet.service}, {row.packet.environment}",
            "tier": row.packet.tier,
            "requester": row.packet.requester,
            "expires": moment(row.expires_ms),
        }
        for row in rows[:most]
    ]


def shown(channels: ApprovalChannels, row: ApprovalRow, person: str) -> dict[str, Any]:
    """One whole request, for the person who looks at it."""
    workspace, packet = channels.workspace, row.packet
    now_ms = workspace.clock.now_ms()
    standing, state = progress(workspace, row, now_ms), state_of(row, now_ms)
    return {
        "id": packet.id,
        "digest": packet.digest,
        "state": state,
        "rows": _rows(channels, row, now_ms),
        "arguments": pretty(packet),
        "call": visible(exact_call(packet.action)),
        "bounds": bounds(parse_runbook(packet.plan)) if kind_of(packet) == "runbook" else (),
        "against": [
            {"label": label, "lines": found}
            for label, found in (
                ("risk", packet.risk_flags),
                ("missing", packet.missing),
                ("contrary", packet.contrary),
                ("uncertain", packet.uncertain),
            )
        ],
        "evidence": packet.evidence,
        "evidence_digest": packet.evidence_digest,
        "summary": packet.evidence_summary,
        "instead": packet.alternatives,
        "prose": channels.display(packet.prose[:PROSE_CHARS_MAX]),
        "earlier": _earlier(channels, packet),
        "later": channels.changed(row),
        "agreed": [f"{one.approver} as {one.role}, {_HOW[one.asserted_by == BY_KEY]}" for one in standing.agreed],
        "denied_by": f"{standing.denied_by}: {standing.reason or 'no reason given'}" if standing.denied_by else "",
        "waits_for": ", ".join(standing.may_answer),
        "command": f"bywire approvals approve {packet.id} --as {person.partition(':')[2]}",
        "deny_command": f"bywire approvals deny {packet.id} --as {person.partition(':')[2]} --reason TEXT",
        "capped": channels.why_not(packet, WEB),
        "takes_verdicts": channels.channels.web.verdicts,
    }


def _rows(channels: ApprovalChannels, row: ApprovalRow, now_ms: int) -> list[tuple[str, str]]:
    """What is said in one line each."""
    packet, left = row.packet, seconds_left(row, now_ms)
    standing = progress(channels.workspace, row, now_ms)
    target = ", ".join(f"{name} {str(value)[:12]}" for name, value in sorted(packet.target.items()) if value)
    return [
        ("action", f"{packet.action.get('tool', '')} on {packet.service}"),
        ("environment", packet.environment),
        ("risk tier", packet.tier),
        ("requested by", packet.requester),
        ("owner", channels.owner(packet.requester) or "not registered any more"),
        ("target now", target or "not observed"),
        ("would become", proposal(packet) or "as the arguments say"),
        ("undo", packet.undo),
        ("expected", packet.expected),
        ("gate", f"{packet.gate or 'single'}: {standing.counted} of {packet.quorum} persons agreed"),
        ("may approve", ", ".join(packet.roles) or "any listed approver"),
        ("policy", packet.bundle_digest),
        ("packet", packet.digest),
        ("expires", f"{moment(row.expires_ms)}, {f'{left} s left' if left else 'over'}"),
    ]


def _earlier(channels: ApprovalChannels, packet: Packet) -> dict[str, Any] | None:
    if not packet.supersedes:
        return None
    before = channels.workspace.approvals.row(packet.supersedes)
    changed = differences(before.packet, packet) if before is not None else ()
    return {"id": packet.supersedes, "lines": changed or ("nothing that is bound; see what speaks against it",)}
