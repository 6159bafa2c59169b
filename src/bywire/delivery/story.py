"""A delivery's story: lines that each name the ledger entry behind them, and the keys of its requests."""

from typing import Any

import msgspec

from bywire.delivery.state import EVENTS_MAX, DeliveryState, Ending, Event, Phase, Request, Work

Step = tuple[DeliveryState, tuple[Request, ...]]


def note(state: DeliveryState, now_ms: int, text: str, entry: int = -1, level: str = "info") -> DeliveryState:
    """Add one line to the delivery's story."""
    event = Event(at_ms=now_ms, phase=state.phase, text=text, entry=entry, level=level)
    return msgspec.structs.replace(state, events=(*state.events, event)[-EVENTS_MAX:])


def conclude(state: DeliveryState, phase: Phase, text: str, *, reasons: tuple[dict[str, Any], ...] = ()) -> Step:
    """Begin to end: a delivery's end is a signed statement before it is a state."""
    concluding = msgspec.structs.replace(
        state, phase=Phase.CONCLUDING, ending=Ending(phase=phase, text=text), reasons=reasons or state.reasons
    )
    work = Work(kind="conclude", key=request_key(state, "conclude"), arguments={"phase": str(phase), "text": text})
    return concluding, (work,)


def end(state: DeliveryState, now_ms: int, entry: int) -> DeliveryState:
    """Enter the terminal phase that was announced; `entry` proves it, -1 when it could not be recorded."""
    ending = state.ending or Ending(phase=Phase.FAILED, text="ended without a reason")
    ended = msgspec.structs.replace(state, phase=ending.phase)
    return note(ended, now_ms, ending.text, entry, "good" if ending.phase is Phase.SUCCESSFUL else "bad")


def request_key(state: DeliveryState, step: str) -> str:
    """The idempotency key `object:generation:phase` of one request."""
    return f"{state.id}:{state.generation}:{step}"
