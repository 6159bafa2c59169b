"""Reminders and escalation: who should answer a waiting request by when, and what is due to be said now.

Pure: the caller records what was said, once each, and passes it back in. Sending it anywhere is another part's work.
"""

from collections.abc import Collection

import msgspec

from bywire.approvals.packet import Packet
from bywire.model.operator import Reminders

ESCALATED = "escalated"


class Reminder(msgspec.Struct, frozen=True):
    """One thing to say, once: `name` is unique for the packet, and `roles` should answer by `act_by_ms`."""

    approval: str
    name: str
    roles: tuple[str, ...]
    act_by_ms: int

    @property
    def escalates(self) -> bool:
        """Whether this goes to others than those first asked."""
        return self.name == ESCALATED


def due(packet: Packet, schedule: Reminders, now_ms: int, already: Collection[str]) -> tuple[Reminder, ...]:
    """What is due for a request that waits. Nothing after its expiry, and nothing twice.

    Of the times that passed while nobody looked only the latest is said: a person needs one reminder, not three.
    """
    waited_ms = now_ms - packet.requested_at_ms
    if now_ms >= packet.expires_at_ms or waited_ms < 0:
        return ()
    passed = [seconds for seconds in schedule.after_seconds if waited_ms >= seconds * 1_000]
    found = []
    if passed and _name(max(passed)) not in already:
        found.append(_reminder(packet, _name(max(passed)), packet.roles))
    if is_escalated(packet, schedule, now_ms) and ESCALATED not in already:
        found.append(_reminder(packet, ESCALATED, schedule.escalate_to))
    return tuple(found)


def is_escalated(packet: Packet, schedule: Reminders, now_ms: int) -> bool:
    """Whether a request that still waits is now also those people's to answer."""
    after_ms = schedule.escalate_after_seconds * 1_000
    return bool(after_ms) and after_ms <= now_ms - packet.requested_at_ms and now_ms < packet.expires_at_ms


def _name(seconds: int) -> str:
    return f"after-{seconds}"


def _reminder(packet: Packet, name: str, roles: tuple[str, ...]) -> Reminder:
    return Reminder(approval=packet.id, name=name, roles=roles, act_by_ms=packet.expires_at_ms)
