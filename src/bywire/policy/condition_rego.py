"""A condition as Rego rules: one holds where it is true, one where it is false, and neither where it is unknown."""

import json
from typing import Any

from bywire.policy.conditions import Always, Compare, Condition, Given, Holds, Join, Negation, Path, Within

_DENIED = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_ORDERS = frozenset({"<", "<=", ">", ">="})


def literal(value: Any) -> str:
    """A JSON value as Rego writes it. Whatever a text holds stays inside its quotes."""
    return json.dumps(value, ensure_ascii=False)


def rule_text(head: str, body: list[str]) -> str:
    """A rule, as `opa fmt` would write it."""
    if len(body) == 1:
        return f"{head} if {body[0]}"
    lines = "\n".join(f"\t{line}" for line in body)
    return f"{head} if {{\n{lines}\n}}"


def value_at(path: Path) -> str:
    """The expression for a value of the input; null when it was not told."""
    return f"object.get(input, {literal(list(path))}, null)"


class ConditionRules:
    """Rules for one condition, named `<prefix>_<number>_yes` or `..._no`, and written when first asked for."""

    def __init__(self, prefix: str) -> None:
        self.rules: list[str] = []
        self._prefix = prefix
        self._names: dict[tuple[Condition, bool], str] = {}

    def name(self, condition: Condition, *, holds: bool) -> str:
        """The rule that is true where the condition is (`holds` True), or where it is surely not."""
        if isinstance(condition, Negation):
            return self.name(condition.part, holds=not holds)
        known = self._names.get((condition, holds))
        if known is None:
            known = f"{self._prefix}_{len(self._names) + 1}_{'yes' if holds else 'no'}"
            self._names[condition, holds] = known
            self.rules += [rule_text(known, body) for body in self._bodies(condition, holds=holds)]
        return known

    def _bodies(self, condition: Condition, *, holds: bool) -> list[list[str]]:
        """Each body is one way in which the condition is so."""
        match condition:
            case Join(every, parts):
                names = [self.name(part, holds=holds) for part in parts]
                return [names] if every is holds else [[name] for name in names]
            case Given(path):
                return [[f"{value_at(path)} {'!=' if holds else '=='} null"]]
            case Within(path, literals):
                return [[f"value := {value_at(path)}", "value != null", _member("value", list(literals), holds=holds)]]
            case Holds(path, member):
                test = f"{'' if holds else 'not '}{literal(member)} in value"
                return [[f"value := {value_at(path)}", "is_array(value)", test]]
            case Compare(path, operator, compared):
                kind = "is_number(value)" if operator in _ORDERS else "value != null"
                sign = operator if holds else _DENIED[operator]
                return [[f"value := {value_at(path)}", kind, f"value {sign} {literal(compared)}"]]
            case Always(value):
                return [[literal(value is holds)]]
        raise AssertionError(condition)


def _member(name: str, literals: list[Any], *, holds: bool) -> str:
    return f"{'' if holds else 'not '}{name} in {literal(literals)}"
