"""A bounded plan: the thing a person approves once so that a controller may act many times within it (RULES 20)."""

from typing import Any

import msgspec


class RolloutStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One exposure: `weight` in percent of traffic, restricted to `segments` (empty = all)."""

    weight: int
    segments: tuple[str, ...] = ()


class RolloutPlan(msgspec.Struct, frozen=True):
    """Exact bounds of a rollout. Any deviation from these fields needs another approval.

    `artifact` and `last_good` are sha256 hex digests (`last_good` empty for a first release); `ceiling` is the highest
    weight in percent; `warm` says that the release's warm-up runs before any exposure; `origin` says who wrote it.
    """

    service: str
    environment: str
    artifact: str
    last_good: str
    steps: tuple[RolloutStep, ...]
    ceiling: int
    warm: bool
    origin: str

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, ready for JCS."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain
