"""A request for approval as a channel may show it: display form, bounded, with nothing invisible in it.

Escaping is the renderer's: a page, Slack and Teams each have their own. What no renderer can make safe is text that
looks like other text, so that controls, invisible characters and reversed writing are spelled out here.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Any

import msgspec

from bywire.approvals.packet import Packet
from bywire.approvals.showing import proposed_state
from bywire.seal import jcs

ARGUMENTS_CHARS_MAX = 2_400
LINE_CHARS_MAX = 200
LINES_MAX = 8
_KEPT = "\n\t"
_PLAIN_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_.$-]{0,127}")
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
# Blank to the eye, and no category above: Hangul fillers, Braille blank, variation selectors, combining joiner.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}


class Asked(msgspec.Struct, frozen=True):
    """What is told of one request. `arguments` are empty when they are too long; `is_whole`: all of them are shown."""

    id: str
    digest: str
    url: str
    tool: str
    arguments: str
    is_whole: bool
    service: str
    environment: str
    requester: str
    owner: str
    tier: str
    quorum: int
    roles: tuple[str, ...]
    expires_at_ms: int
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    contrary: tuple[str, ...]
    uncertain: tuple[str, ...]
    may_answer: bool
    supersedes: str


def asked(packet: Packet, *, url: str, owner: str, may_answer: bool, display: Callable[[Any], Any]) -> Asked:
    """What a chat is told. `display` masks what is sensitive. What agents wrote is left to the page.

    Nobody approves what is hidden from him: where an argument is masked for the chat, the page alone takes a verdict.
    """
    parameters = packet.action.get("parameters", {})
    shown = display(parameters)
    arguments = visible(jcs.canonical(shown).decode())
    fits = len(arguments) <= ARGUMENTS_CHARS_MAX
    whole = fits and shown == parameters
    return Asked(
        id=packet.id,
        digest=packet.digest,
        url=url,
        tool=line(str(packet.action.get("tool", ""))),
        arguments=arguments if fits else "",
        is_whole=whole,
        service=line(packet.service),
        environment=line(packet.environment),
        requester=line(packet.requester),
        owner=line(owner),
        tier=packet.tier,
        quorum=packet.quorum,
        roles=packet.roles,
        expires_at_ms=packet.expires_at_ms,
        reasons=_lines(packet.risk_flags, display),
        missing=_lines(packet.missing, display),
        contrary=_lines(packet.contrary, display),
        uncertain=_lines(packet.uncertain, display),
        may_answer=may_answer and whole,
        supersedes=packet.supersedes,
    )


def visible(text: str) -> str:
    """`text` with every invisible or direction-changing character spelled out, such as `<U+202E>`."""
    return "".join(f"<U+{ord(char):04X}>" if _is_hidden(char) else char for char in text)


def line(text: str) -> str:
    """One line of bounded length."""
    shown = visible(text).replace("\n", " ").replace("\t", " ")
    return shown if len(shown) <= LINE_CHARS_MAX else f"{shown[: LINE_CHARS_MAX - 1]}…"


def pretty(packet: Packet) -> str:
    """The exact arguments, one a line, for a page; nothing is cut."""
    parameters = packet.action.get("parameters", {})
    return "\n".join(
        f"{_named(name)}: {visible(jcs.canonical(parameters[name]).decode())}" for name in sorted(parameters)
    )


def _named(name: str) -> str:
    """A parameter's name; one that could be taken for more than a name is spelled as JSON, on one line."""
    return name if _PLAIN_NAME.fullmatch(name) else visible(jcs.canonical(name).decode())


def proposal(packet: Packet) -> str:
    """What the action would make of things, in one line."""
    return line(packet.proposed or proposed_state(packet.action))


def _is_hidden(char: str) -> bool:
    return char not in _KEPT and (unicodedata.category(char) in _INVISIBLE or char in _BLANK)


def _lines(found: tuple[str, ...], display: Callable[[Any], Any]) -> tuple[str, ...]:
    told = tuple(line(str(display(text))) for text in found[:LINES_MAX])
    return told if len(found) <= LINES_MAX else (*told, f"and {len(found) - LINES_MAX} more, on the page")
