"""What rules on trial would have refused: a summary that thresholds and patterns are tuned from (RULES 28).

Every recorded decision carries its question, so that what was asked can be told beside what was objected to: for a
limit the distribution of the values, for a budget of what was used and asked, for a list the values that are missing in
it, for a pattern its hits.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from bywire.model.decision import Decision, Effect
from bywire.policy.agent_bounds import THOUSANDTHS

TOP_MAX = 10
VALUES_MAX = 5
DISTINCT_MAX = 10_000
SUBJECTS_MAX = 200
TEXT_CHARS_MAX = 80
PERCENTILE = 99
# The last word of a rule -> where the value stands that it objects to.
_NUMBERS = {"max_replicas": ("meaning", "replicas"), "max_amount": ("meaning", "amount")}
_LISTS = {"image_not_allowed": ("meaning", "images"), "command": ("meaning", "command")}
_TEXTS = {"environment": ("environment",), "currency": ("meaning", "currency"), "tool_not_listed": ("tool",)}

_BUDGET, _COUNTED = "budget", ("unit", "period", "scope")

Recorded = tuple[Decision, Mapping[str, Any]]


class RuleCount(msgspec.Struct, frozen=True):
    """One rule: how many decisions it would have refused, and for whom most."""

    rule: str
    count: int
    agents: dict[str, int]


class Suggestion(msgspec.Struct, frozen=True):
    """What the record says about one rule, agent and tool.

    `observed` values were seen in all. A number has `percentile` (the 99th, nearest rank), `highest` and the `limit`
    that it met; anything else has its commonest refused `values` with their counts. `hits` were refused. Of a budget
    the numbers are what was used and asked in all, in whole units as the budget is written.
    """

    rule: str
    principal: str
    tool: str
    subject: str
    observed: int
    hits: int
    percentile: float | int | None = None
    highest: float | int | None = None
    limit: float | int | None = None
    values: dict[str, int] = {}


class ShadowReport(msgspec.Struct, frozen=True):
    """`would_block` decisions of `decisions` carried a rule on trial; `blocked` were refused by rules in force."""

    decisions: int
    blocked: int
    would_block: int
    ratio: float
    rules: tuple[RuleCount, ...]
    agents: dict[str, int]
    suggestions: tuple[Suggestion, ...]


class _Subject(msgspec.Struct, frozen=True):
    """What one rule objects to: where it stands in `action`, for this principal and tool.

    Of a budget `counted` holds unit, period and scope instead.
    """

    rule: str
    principal: str
    tool: str
    path: tuple[str, ...]
    counted: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called where people read it."""
        return "{} by the {} of {}".format(*self.counted) if self.counted else ".".join(self.path)

    def in_units(self, number: float) -> float | int:
        """Budgets are counted in thousandths and written in units."""
        if not self.counted:
            return number
        return number / THOUSANDTHS if number % THOUSANDTHS else number // THOUSANDTHS

    def value_in(self, question: Mapping[str, Any]) -> Any:
        """What was asked for; None where nothing was."""
        return _used(question, self) if self.counted else _at(_action(question), self.path)


class _Seen:
    """Values of one subject."""

    def __init__(self) -> None:
        self.observed = 0
        self.hits = 0
        self.limit: float | int | None = None
        self.numbers: Counter[float | int] = Counter()
        self.values: Counter[str] = Counter()


def report(read: Callable[[], Iterable[Recorded]]) -> ShadowReport:
    """Summarise; `read` yields the same recorded decisions each time it is called, twice here."""
    decisions = blocked = would_block = 0
    rules: dict[str, Counter[str]] = {}
    agents: Counter[str] = Counter()
    subjects: dict[_Subject, _Seen] = {}
    for decision, question in read():
        decisions += 1
        blocked += decision.effect is Effect.DENY
        tried = list(_tried(decision))
        would_block += bool(tried)
        principal = _principal(question)
        agents.update([principal] if tried else [])
        for rule, facts in tried:
            rules.setdefault(rule, Counter())[principal] += 1
            subject = _subject(rule, facts, principal, question)
            if subject is not None and (subject in subjects or len(subjects) < SUBJECTS_MAX):
                subjects.setdefault(subject, _Seen())
    _observe(read(), subjects)
    counted = [
        RuleCount(rule, total, dict(by.most_common(VALUES_MAX))) for rule, by in rules.items() for total in [by.total()]
    ]
    found = (_suggestion(subject, seen) for subject, seen in subjects.items())
    return ShadowReport(
        decisions=decisions,
        blocked=blocked,
        would_block=would_block,
        ratio=would_block / decisions if decisions else 0.0,
        rules=tuple(sorted(counted, key=lambda item: (-item.count, item.rule))[:TOP_MAX]),
        agents=dict(agents.most_common(TOP_MAX)),
        suggestions=tuple(sorted(found, key=lambda item: (-item.hits, item.rule, item.principal, item.tool))),
    )


def _observe(recorded: Iterable[Recorded], subjects: dict[_Subject, _Seen]) -> None:
    """What every decision asked for, for each subject that it is about."""
    for decision, question in recorded:
        tried = dict(_tried(decision))
        who, tool = _principal(question), str(_action(question).get("tool", ""))
        for subject, seen in subjects.items():
            if (subject.principal, subject.tool) != (who, tool):
                continue
            facts = tried.get(subject.rule)
            hit = facts is not None and _subject(subject.rule, facts, who, question) == subject
            _count(subject, seen, subject.value_in(question), facts if hit else None)


def _count(subject: _Subject, seen: _Seen, value: Any, facts: Mapping[str, Any] | None) -> None:
    if value is None and facts is None:
        return
    seen.observed += 1
    seen.hits += facts is not None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value in seen.numbers or len(seen.numbers) < DISTINCT_MAX:
            seen.numbers[value] += 1
        limit = (facts or {}).get("limit")
        seen.limit = subject.in_units(limit) if isinstance(limit, int | float) else seen.limit
    elif facts is not None:
        for text in map(_shown, value if isinstance(value, list) else [value]):
            if text in seen.values or len(seen.values) < DISTINCT_MAX:
                seen.values[text] += 1


def _suggestion(subject: _Subject, seen: _Seen) -> Suggestion:
    return Suggestion(
        rule=subject.rule,
        principal=subject.principal,
        tool=subject.tool,
        subject=subject.name,
        observed=seen.observed,
        hits=seen.hits,
        percentile=nearest_rank(seen.numbers, PERCENTILE),
        highest=max(seen.numbers, default=None),
        limit=seen.limit,
        values=dict(seen.values.most_common(VALUES_MAX)),
    )


def nearest_rank(values: Counter[float | int], percent: int) -> float | int | None:
    """The smallest value that at least `percent` of all values do not exceed; None of nothing."""
    rank = math.ceil(values.total() * percent / 100)
    for value in sorted(values):
        rank -= values[value]
        if rank <= 0:
            return value
    return None


def _tried(decision: Decision) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in decision.obligations:
        if item.get("kind") == "shadowed" and isinstance(item.get("rule"), str):
            facts = item.get("facts")
            yield item["rule"], facts if isinstance(facts, Mapping) else {}


def _subject(rule: str, facts: Mapping[str, Any], principal: str, question: Mapping[str, Any]) -> _Subject | None:
    word, tool = rule.rpartition(".")[2], str(_action(question).get("tool", ""))
    parameter = facts.get("parameter")
    if isinstance(parameter, str) and not rule.startswith("inspect."):
        return _Subject(rule, principal, tool, ("parameters", *parameter.split(".")))
    if isinstance(parameter, str):
        return _Subject(rule, principal, tool, ("findings",))
    if rule.startswith("egress.") or word == "egress":
        return _Subject(rule, principal, tool, ("destination",))
    if word == _BUDGET:
        counted = tuple(str(facts.get(name, "")) for name in _COUNTED)
        return _Subject(rule, principal, tool, (), counted)
    path = (_NUMBERS | _LISTS | _TEXTS).get(word)
    return None if path is None else _Subject(rule, principal, tool, path)


def _used(question: Mapping[str, Any], subject: _Subject) -> float | int | None:
    """What would have been used of a budget with this call; None where it was not told."""
    state = question.get("state")
    usage = state.get("usage") if isinstance(state, Mapping) else None
    for item in usage if isinstance(usage, list) else ():
        if isinstance(item, Mapping):
            told = (item.get("unit"), item.get("period"), item.get("scope", f"principal:{subject.principal}"))
            observed, asked = item.get("observed"), item.get("asked")
            if told == subject.counted and isinstance(observed, int) and isinstance(asked, int):
                return subject.in_units(observed + asked)
    return None


def _at(action: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = action
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _shown(value: Any) -> str:
    """A refused value in few words; values in a question are redacted already."""
    if isinstance(value, Mapping) and "host" in value:
        return f"{value['host']}:{value.get('port')}"[:TEXT_CHARS_MAX]
    if isinstance(value, Mapping) and "class" in value:
        return f"{value['class']} {value.get('kind')} in {value.get('parameter')}"[:TEXT_CHARS_MAX]
    text = value if isinstance(value, str) else "(not given)" if value is None else msgspec.json.encode(value).decode()
    return text[:TEXT_CHARS_MAX]


def _action(question: Mapping[str, Any]) -> Mapping[str, Any]:
    action = question.get("action")
    return action if isinstance(action, Mapping) else {}


def _principal(question: Mapping[str, Any]) -> str:
    principal = question.get("principal")
    return str(principal.get("id", "")) if isinstance(principal, Mapping) else ""
