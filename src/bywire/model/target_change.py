"""What a deployment target says of itself: what it serves now, and the changes that led there."""

from typing import Annotated

import msgspec

_TIME_MS_MAX = 253_402_300_799_000  # the end of the year 9999: later ones have no date


class TargetChange(msgspec.Struct, frozen=True):
    """One version of a target: what was asked, under which key and epoch, and what it left serving.

    `key` is empty for a verb that has none; `weight` is the canary's share in percent; `at_ms` is the target's clock.
    """

    version: int
    verb: str
    key: str
    epoch: int
    at_ms: Annotated[int, msgspec.Meta(ge=0, le=_TIME_MS_MAX)]
    stable: str
    canary: str
    weight: float


class Serving(msgspec.Struct, frozen=True):
    """What a target serves now. Digests are sha256 hex or empty; `others` are instances that get no traffic."""

    version: int = 0
    epoch: int = 0
    stable: str = ""
    canary: str = ""
    weight: float = 0.0
    others: tuple[str, ...] = ()
