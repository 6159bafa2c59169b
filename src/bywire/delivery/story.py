"""A delivery's story: lines that each name the ledger entry behind them, and the keys of its requests."""

from typing import Any

import msgspec

from bywire.delivery.state import EVENTS_MAX, DeliveryState, Event, Phase


def note(state: DeliveryState, now_ms: int, text: str, entry: int = -1, level: str = "info") -> DeliveryState:
    """Add one line to the delivery's story."""
    event = Event(at_ms=now_ms, phase=state.phase, text=text, entry=entry, level=level)
    return msgspec.structs.replace(state, events=(*state.events, event)[-EVENTS_MAX:])


def end(
    state: DeliveryState,
    phase: Phase,
    now_ms: int,
    text: str,
    *,
    entry: int = -1,
    reasons: tuple[dict[str, Any], ...] = (),
) -> DeliveryState:
    """Enter a terminal phase."""
    level = "good" if phase is Phase.SUCCESSFUL else "bad"
    ended = msgspec.structs.replace(state, phase=phase, reasons=reasons or state.reasons)
    return note(ended, now_ms, text, entry, level)


def request_key(state: DeliveryState, step: str) -> str:
    """The idempotency key `object:generation:phase` of one request."""
    return f"{state.id}:{state.generation}:{step}"
