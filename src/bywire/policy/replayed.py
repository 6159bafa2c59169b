"""What a candidate would have decided about recorded questions: counted by rule and agent, with a few examples.

A decision comes out looser when its effect is less severe than it was (deny, approval needed, sanitize, allow): what
was refused or waited would have gone on. Stricter is the reverse; else only the reasons are others.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from bywire.model.decision import Decision, Effect
from bywire.policy.difference import Changed, changed

LOOSER, STRICTER, OTHERWISE = "looser", "stricter", "otherwise"
EXAMPLES_MAX = 3
GROUPS_MAX = 10_000
_SEVERITY = {
    effect: number for number, effect in enumerate((Effect.ALLOW, Effect.SANITIZE, Effect.APPROVAL_NEEDED, Effect.DENY))
}
_ORDER = {LOOSER: 0, STRICTER: 1, OTHERWISE: 2}


class Group(msgspec.Struct, frozen=True):
    """Decisions that change alike. `rule` is the one that no longer objects (looser), or that now does."""

    direction: str
    rule: str
    principal: str
    was: str
    would_be: str
    count: int
    examples: tuple[int, ...]


class Replay(msgspec.Struct, frozen=True):
    """The outcome. `groups` come most dangerous first, then by count; decisions with several rules are in several."""

    decisions: int
    looser: int
    stricter: int
    otherwise: int
    groups: tuple[Group, ...]


class ReplayCount:
    """Counts batch by batch, in memory bounded by the number of groups."""

    def __init__(self) -> None:
        self._decisions = 0
        self._directions = dict.fromkeys(_ORDER, 0)
        self._groups: dict[tuple[str, ...], Group] = {}

    @property
    def decisions(self) -> int:
        """How many were counted so far."""
        return self._decisions

    def add(self, recorded: Iterable[tuple[int, Decision, Mapping[str, Any]]], again: tuple[Decision, ...]) -> None:
        """Count one batch: recorded (entry, decision, input), and what the candidate decided, in the same order."""
        self._decisions += len(again)
        for item in changed(recorded, again):
            direction = _direction(item)
            self._directions[direction] += 1
            for rule in _rules(direction, item):
                self._count(direction, rule, item)

    def report(self) -> Replay:
        """What was counted."""
        groups = sorted(self._groups.values(), key=lambda group: (_ORDER[group.direction], -group.count, group.rule))
        return Replay(self._decisions, **self._directions, groups=tuple(groups))

    def _count(self, direction: str, rule: str, item: Changed) -> None:
        key = (direction, rule, item.principal, item.was, item.would_be)
        group = self._groups.get(key)
        if group is None and len(self._groups) >= GROUPS_MAX:
            key = (direction, "(others)", "", item.was, item.would_be)
            group = self._groups.get(key)
        group = group or Group(*key, count=0, examples=())
        examples = (*group.examples, item.entry)[:EXAMPLES_MAX]
        self._groups[key] = msgspec.structs.replace(group, count=group.count + 1, examples=examples)


def _direction(item: Changed) -> str:
    was, now = _SEVERITY[Effect(item.was)], _SEVERITY[Effect(item.would_be)]
    return LOOSER if now < was else STRICTER if now > was else OTHERWISE


def _rules(direction: str, item: Changed) -> tuple[str, ...]:
    gone = sorted(set(item.rules_were) - set(item.rules_would_be))
    new = sorted(set(item.rules_would_be) - set(item.rules_were))
    found = gone if direction == LOOSER else new or gone
    return tuple(found) or item.rules_would_be[:1]
