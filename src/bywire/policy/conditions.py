"""The small language of `approval_needed`: comparisons of what is asked, joined by `and`, `or` and `not`.

It has no functions, no arithmetic and nothing to run: a text becomes a tree of five kinds of nodes or a refusal that
says where and what to write instead. A comparison is of one name with one literal, so whether a condition can hold at
all, and when, can be found out by trying the few values that tell its literals apart.

Truth has three values (Kleene's strong logic): what was not told, or is not of the kind compared, is unknown, and so is
whatever turns on it. Only the presence of a value is always known.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

TEXT_CHARS_MAX = 500
COMPARISONS_MAX = 16
NAMES_MAX = 6
DEPTH_MAX = 8
LITERALS_MAX = 32
ASSIGNMENTS_MAX = 50_000
ENVIRONMENTS = ("non-production", "staging", "production")

Path: TypeAlias = tuple[str, ...]
Assignment: TypeAlias = Mapping[Path, Any]

ENVIRONMENT: Path = ("action", "environment")
# Name in the language -> where it stands in the policy input. `parameters.<name>` is read beside these.
NAMES: Mapping[str, Path] = {
    "env": ENVIRONMENT,
    "environment": ENVIRONMENT,
    "service": ("action", "service"),
    "replicas": ("action", "meaning", "replicas"),
    "amount": ("action", "meaning", "amount"),
    "currency": ("action", "meaning", "currency"),
    "images": ("action", "meaning", "images"),
    "command": ("action", "meaning", "command"),
    "hosts": ("action", "meaning", "hosts"),
}
LISTS = frozenset({"images", "command", "hosts"})
PARAMETERS = "parameters"


class Compare(msgspec.Struct, frozen=True, tag=True):
    """A value against one literal: `==`, `!=`, `<`, `<=`, `>`, `>=`. The four orders are of numbers."""

    path: Path
    operator: str
    literal: Any


class Within(msgspec.Struct, frozen=True, tag=True):
    """A value is one of a few literals."""

    path: Path
    literals: tuple[Any, ...]


class Holds(msgspec.Struct, frozen=True, tag=True):
    """A list has this literal for a member."""

    path: Path
    literal: Any


class Given(msgspec.Struct, frozen=True, tag=True):
    """A value is there."""

    path: Path


class Join(msgspec.Struct, frozen=True, tag=True):
    """`and` (every) or `or` (any) of its parts."""

    every: bool
    parts: tuple["Condition", ...]


class Negation(msgspec.Struct, frozen=True, tag=True):
    """`not`."""

    part: "Condition"


class Always(msgspec.Struct, frozen=True, tag=True):
    """`true` or `false`, standing alone."""

    value: bool


Condition: TypeAlias = Compare | Within | Holds | Given | Join | Negation | Always


def truth(condition: Condition, told: Assignment) -> bool | None:
    """Whether a condition holds where `told` is all that is known; None for unknown."""
    match condition:
        case Always(constant):
            return bool(constant)
        case Negation(part):
            inside = truth(part, told)
            return None if inside is None else not inside
        case Join(every, parts):
            found = [truth(part, told) for part in parts]
            decisive = not every
            return decisive if decisive in found else None if None in found else bool(every)
        case Given(path):
            return told.get(path) is not None
        case Within(path, literals):
            return _is_one_of(told.get(path), literals)
        case Holds(path, literal):
            members = told.get(path)
            return bool(_is_one_of(literal, tuple(members))) if isinstance(members, list) else None
        case Compare(path, operator, literal):
            return _compared(told.get(path), operator, literal)


def known(condition: Condition, told: Assignment) -> Condition:
    """What is left of a condition once `told` is so: a constant where that settles it."""
    match condition:
        case Always():
            return condition
        case Negation(part):
            inside = known(part, told)
            return Always(value=not inside.value) if isinstance(inside, Always) else Negation(inside)
        case Join(every, parts):
            rest = tuple(part for part in (known(part, told) for part in parts) if part != Always(value=every))
            if Always(value=not every) in rest:
                return Always(value=not every)
            return Join(every, rest) if rest else Always(value=every)
        case Compare(path) | Within(path) | Holds(path) | Given(path):
            settled = truth(condition, told) if path in told else None
            return condition if settled is None else Always(value=settled)


def witness(condition: Condition, wanted: frozenset[bool | None], fixed: Assignment) -> dict[Path, Any] | None:
    """Values under which the condition's truth is one of `wanted`; None when there are none.

    `fixed` values are kept. All others are tried that tell the condition's literals apart, so None is the last word.
    """
    for told in assignments(condition, fixed):
        if truth(condition, told) in wanted:
            return told
    return None


def assignments_of(condition: Condition) -> int:
    """How many assignments `witness` may have to try."""
    total = 1
    for values in _candidates(condition).values():
        total *= len(values)
    return total


def names_of(condition: Condition) -> frozenset[Path]:
    """Every value that the condition reads."""
    return frozenset(path for path, _ in _leaves(condition))


def literals_of(condition: Condition, path: Path) -> tuple[Any, ...]:
    """All that the condition compares one value, or the members of one list, with."""
    return tuple(literal for read, leaf in _leaves(condition) if read == path for literal in _literals(leaf))


def assignments(condition: Condition, fixed: Assignment) -> Iterator[dict[Path, Any]]:
    """Values for the condition's names, all that its literals tell apart, beside the `fixed` ones."""
    free = {path: values for path, values in _candidates(condition).items() if path not in fixed}
    for chosen in itertools.product(*free.values()):
        yield {**fixed, **{path: value for path, value in zip(free, chosen, strict=True) if value is not None}}


def _candidates(condition: Condition) -> dict[Path, list[Any]]:
    """For each name its literals, what lies between and beside them, something else, and nothing."""
    literals: dict[Path, list[Any]] = {}
    for path, leaf in _leaves(condition):
        literals.setdefault(path, []).extend(_literals(leaf))
    lists = lists_of(condition)
    return {path: _telling(path, values, is_list=path in lists) for path, values in literals.items()}


def _telling(path: Path, literals: list[Any], *, is_list: bool) -> list[Any]:
    if path == ENVIRONMENT:
        return list(ENVIRONMENTS)
    numbers = sorted({value for value in literals if _is_number(value)})
    between = [(low + high) / 2 for low, high in itertools.pairwise(numbers)]
    beside = [numbers[0] - 1, numbers[-1] + 1] if numbers else []
    other = next(text for number in itertools.count() if (text := f"other {number}") not in literals)
    values = list({json.dumps(value): value for value in (*literals, *between, *beside, other)}.values())
    if not is_list:
        return [*values, None]
    return [*([value] for value in values), values, None]


def lists_of(condition: Condition) -> frozenset[Path]:
    """The values that the condition looks into as lists."""
    return frozenset(path for path, leaf in _leaves(condition) if isinstance(leaf, Holds))


def scalars_of(condition: Condition) -> frozenset[Path]:
    """The values that it compares whole."""
    return frozenset(path for path, leaf in _leaves(condition) if isinstance(leaf, Compare | Within))


def _literals(leaf: Condition) -> tuple[Any, ...]:
    match leaf:
        case Compare(_, _, literal) | Holds(_, literal):
            return (literal,)
        case Within(_, literals):
            return literals
    return ()


def _leaves(condition: Condition) -> Iterator[tuple[Path, Condition]]:
    match condition:
        case Join(_, parts):
            for part in parts:
                yield from _leaves(part)
        case Negation(part):
            yield from _leaves(part)
        case Compare(path) | Within(path) | Holds(path) | Given(path):
            yield path, condition


def _is_one_of(value: Any, literals: tuple[Any, ...]) -> bool | None:
    return None if value is None else any(_same(value, literal) for literal in literals)


def _compared(value: Any, operator: str, literal: Any) -> bool | None:
    if value is None:
        return None
    if operator in {"==", "!="}:
        return _same(value, literal) is (operator == "==")
    if not _is_number(value):
        return None
    orders = {"<": value < literal, "<=": value <= literal, ">": value > literal, ">=": value >= literal}
    return bool(orders[operator])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(left: Any, right: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)
