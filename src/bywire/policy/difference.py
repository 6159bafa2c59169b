"""What separates two bundles: rules, definitions, tables and messages; and which recorded decisions would change."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from bywire.model.decision import Decision
from bywire.policy.examination import Examination


class Delta(msgspec.Struct, frozen=True):
    """Names on one side only, or on both with different content."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.added or self.removed or self.changed)


class Difference(msgspec.Struct, frozen=True):
    """Two bundles compared. `rules` go by rule id, `definitions` by full rule name, `tables` by `table.key`."""

    rules: Delta
    definitions: Delta
    tables: Delta
    messages: Delta
    entrypoints: Delta

    @property
    def same(self) -> bool:
        """Whether nothing of it differs."""
        return not any((self.rules, self.definitions, self.tables, self.messages, self.entrypoints))


class Changed(msgspec.Struct, frozen=True):
    """A recorded decision that the candidate would have made otherwise. Rules are those given as reasons."""

    entry: int
    decision_id: str
    principal: str
    tool: str
    was: str
    would_be: str
    rules_were: tuple[str, ...]
    rules_would_be: tuple[str, ...]


def compare(before: Examination, after: Examination) -> Difference:
    """What `after` adds, removes and changes."""
    return Difference(
        rules=delta(_texts(before), _texts(after)),
        definitions=delta(before.definitions, after.definitions),
        tables=delta(_flat(before.tables), _flat(after.tables)),
        messages=delta(before.messages, after.messages),
        entrypoints=delta(dict.fromkeys(before.entrypoints), dict.fromkeys(after.entrypoints)),
    )


def delta(before: Mapping[str, Any], after: Mapping[str, Any]) -> Delta:
    """Two mappings compared by key and value."""
    return Delta(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
    )


def changed(
    recorded: Iterable[tuple[int, Decision, Mapping[str, Any]]], again: Iterable[Decision]
) -> tuple[Changed, ...]:
    """Recorded (entry, decision, input) that differ in effect or reasons from the same questions decided again."""
    return tuple(
        Changed(
            entry=entry,
            decision_id=was.id,
            principal=str(question.get("principal", {}).get("id", "")),
            tool=str(question.get("action", {}).get("tool", "")),
            was=str(was.effect),
            would_be=str(now.effect),
            rules_were=_rules(was),
            rules_would_be=_rules(now),
        )
        for (entry, was, question), now in zip(recorded, again, strict=True)
        if (was.effect, _rules(was)) != (now.effect, _rules(now))
    )


def _rules(decision: Decision) -> tuple[str, ...]:
    return tuple(sorted({reason.rule for reason in decision.reasons}))


def _texts(found: Examination) -> dict[str, list[str]]:
    """Where a rule is written does not matter, only what."""
    return {rule: sorted(written.text for written in places) for rule, places in found.rules.items()}


def _flat(tables: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {f"{name}.{key}": digest for name, table in tables.items() for key, digest in table.items()}
