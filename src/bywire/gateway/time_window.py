"""`window` of a contract: the longest stretch of time that one call may ask an upstream for.

A query of a year of logs is one call and costs what a year of logs costs, whatever its limit of lines says. Both ends
are read here, before anything is decided; what two readers could take for two moments is refused.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bywire.gateway.contract import ContractError
from bywire.model.connected import TimeWindow

_MICROSECONDS = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AMOUNT = r"[0-9]{1,9}(?:\.[0-9]{1,3})?[smhdw]"
# `now-6h`, and `-6h`, which means the same wherever it means anything.
_AGO = re.compile(rf"(?:now)?-((?:{_AMOUNT}){{1,4}})")
_AMOUNTS = re.compile(r"([0-9.]+)([smhdw])")
# RFC 3339, 5.6. A moment without an offset is another one in another place.
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)


def check_window(window: TimeWindow, parameters: dict[str, Any], now_ms: int) -> None:
    """Raises ContractError for a call that asks for more than `window`, or does not say plainly for how much.

    An end that is left out is now. A start that is left out is the server's own, so a contract whose server has none
    requires it in its schema.
    """
    now = now_ms * 1_000
    until = _moment(parameters[window.until], window.until, now) if window.until in parameters else now
    if window.since not in parameters:
        return
    since = _moment(parameters[window.since], window.since, now)
    if since > until:
        raise ContractError(
            f"{window.since} is after {window.until}", next_step="send the earlier time first; without an end it is now"
        )
    if until - since > window.seconds * 1_000_000:
        raise ContractError(
            f"{window.since} to {window.until} is more than {window.seconds} seconds",
            next_step=f"ask for at most {window.seconds} seconds at once, such as {window.since}=now-1h",
        )


def _moment(value: Any, parameter: str, now: int) -> int:
    """Microseconds since the epoch."""
    found = _read(value, now) if isinstance(value, str) else None
    if found is None:
        raise ContractError(
            f"{parameter} is no time that has one reading",
            next_step="send RFC 3339 with an offset (2026-01-05T09:00:00Z), now, or now-6h in s, m, h, d or w",
        )
    return found


def _read(text: str, now: int) -> int | None:
    if text == "now":
        return now
    ago = _AGO.fullmatch(text)
    if ago is not None:
        parts = (Decimal(number) * _MICROSECONDS[unit] for number, unit in _AMOUNTS.findall(ago[1]))
        return now - int(sum(parts))
    said = _MOMENT.fullmatch(text)
    if said is None:
        return None
    day, clock, fraction, sign, hours, minutes = said.groups(default="")
    try:
        local = datetime.fromisoformat(f"{day}T{clock}+00:00")
    except ValueError:
        return None
    offset = (int(hours) * 60 + int(minutes)) * _MICROSECONDS["m"] if sign else 0
    moment = (local - _EPOCH) // timedelta(microseconds=1) + int(fraction.ljust(6, "0")[:6])
    return moment + offset if sign == "-" else moment - offset
