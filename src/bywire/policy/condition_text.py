"""Reading `approval_needed`: from text to a condition, or a refusal with the column and what to write instead."""

import json
import re
import unicodedata
from typing import Any

import msgspec

from bywire.policy.conditions import (
    ASSIGNMENTS_MAX,
    COMPARISONS_MAX,
    DEPTH_MAX,
    ENVIRONMENT,
    ENVIRONMENTS,
    LISTS,
    LITERALS_MAX,
    NAMES,
    NAMES_MAX,
    PARAMETERS,
    TEXT_CHARS_MAX,
    Always,
    Compare,
    Condition,
    Given,
    Holds,
    Join,
    Negation,
    Path,
    Within,
    assignments_of,
    lists_of,
    names_of,
    scalars_of,
)

_TOKEN = re.compile(
    r"""(?P<space>[ \t\n]+)
      | (?P<text>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])*" | '[^'\\\n]*')
      | (?P<number>-?[0-9]{1,15}(?:\.[0-9]{1,9})?(?![0-9A-Za-z_.]))
      | (?P<word>[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*)
      | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)""",
    re.VERBOSE,
)
_ORDERS = frozenset({"<", "<=", ">", ">="})
_OPERATORS = _ORDERS | {"==", "!="}
_WORDS = frozenset({"and", "or", "not", "in", "given", "true", "false"})
# What people write from other languages -> what it is called here.
_OTHERS = {"&&": "and", "||": "or", "!": "not", "=": "==", "AND": "and", "OR": "or", "NOT": "not", "IN": "in"}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class ConditionError(Exception):
    """Why a text is no condition, and what to write instead."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    column: int


def parse_condition(text: str) -> Condition:
    """The condition that a text says. Raises ConditionError."""
    if len(text) > TEXT_CHARS_MAX:
        raise ConditionError(f"it is longer than {TEXT_CHARS_MAX} characters", "split it into several actions")
    reader = _Reader(_tokens(text))
    condition = reader.whole()
    if lists_of(condition) & scalars_of(condition):
        raise ConditionError("it takes one value for a list and for a single value", "compare it in one way")
    if len(names_of(condition)) > NAMES_MAX or assignments_of(condition) > ASSIGNMENTS_MAX:
        raise ConditionError("it turns on too many values", f"use at most {NAMES_MAX} names and few literals")
    return condition


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _unreadable(text, at)
        if match.lastgroup != "space":
            found.append(_Token(match.lastgroup, match[0], at + 1))
        at = match.end()
    return [*found, _Token("end", "", len(text) + 1)]


def _unreadable(text: str, at: int) -> ConditionError:
    other = next((word for word in ("&&", "||", "!", "=") if text.startswith(word, at)), "")
    if other:
        return ConditionError(f"column {at + 1}: {other} is not part of it", f"write {_OTHERS[other]}")
    char = text[at]
    if char in "\"'":
        return ConditionError(f"column {at + 1}: a text has no end, or an escape in it", 'write "text" on one line')
    name = f" ({unicodedata.name(char, 'no character')})" if not char.isascii() else ""
    shown = char if char.isascii() and char.isprintable() else f"U+{ord(char):04X}"
    return ConditionError(
        f"column {at + 1}: {shown}{name} is not part of it", "use plain letters, ==, and, or, not, in"
    )


class _Reader:
    """Recursive descent: or, and, not, comparison."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._comparisons = 0

    def whole(self) -> Condition:
        """The condition that all tokens make."""
        if self._now.text in {"true", "false"} and self._tokens[self._at + 1].kind == "end":
            return Always(self._now.text == "true")
        condition = self._either()
        if self._now.kind != "end":
            raise self._refuse(f"{self._now.text} is not expected here", "join comparisons with `and` or `or`")
        return condition

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._now
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _is(self, text: str) -> bool:
        return self._now.kind in {"word", "sign"} and self._now.text == text

    def _refuse(self, problem: str, remedy: str) -> ConditionError:
        return ConditionError(f"column {self._now.column}: {problem}", remedy)

    def _either(self) -> Condition:
        parts = [self._all()]
        while self._is("or"):
            self._take()
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Join(every=False, parts=tuple(parts))

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._is("and"):
            self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Join(every=True, parts=tuple(parts))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._refuse(f"this nests deeper than {DEPTH_MAX}", "write it flat")
        if self._is("not"):
            self._take()
            found: Condition = Negation(self._one())
        elif self._is("("):
            self._take()
            found = self._either()
            self._expect(")")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _expect(self, sign: str) -> None:
        if not self._is(sign):
            raise self._refuse(f"{sign} is missing", f"write {sign}")
        self._take()

    def _comparison(self) -> Condition:
        self._comparisons += 1
        if self._comparisons > COMPARISONS_MAX:
            raise self._refuse(f"more than {COMPARISONS_MAX} comparisons", "split it into several actions")
        if self._is("given"):
            self._take()
            self._expect("(")
            path, _ = self._name()
            self._expect(")")
            return Given(path)
        if self._now.kind in {"text", "number"} or self._now.text in {"true", "false"}:
            return self._mirrored()
        path, is_list = self._name()
        if is_list:
            raise self._refuse("a list is compared by its members", 'write "x" in images')
        if self._is("not") or self._is("in"):
            return self._within(path)
        return self._ordered(path, self._operator(), self._literal())

    def _mirrored(self) -> Condition:
        """A literal comes first."""
        literal = self._literal()
        denied = self._is("not")
        if denied:
            self._take()
        if self._is("in"):
            self._take()
            path, is_list = self._name()
            if not is_list and path[1] != PARAMETERS:
                raise self._refuse("this is no list", f"write {'.'.join(path[-1:])} == {json.dumps(literal)}")
            return Negation(Holds(path, literal)) if denied else Holds(path, literal)
        operator = self._operator()
        path, is_list = self._name()
        if is_list:
            raise self._refuse("a list is compared by its members", 'write "x" in images')
        return self._ordered(path, _MIRRORED[operator], literal)

    def _within(self, path: Path) -> Condition:
        denied = self._is("not")
        if denied:
            self._take()
        if not self._is("in"):
            raise self._refuse("`in` is missing", "write `not in [...]`")
        self._take()
        self._expect("[")
        literals = [self._literal()]
        while self._is(","):
            self._take()
            literals.append(self._literal())
        self._expect("]")
        if len(literals) > LITERALS_MAX:
            raise self._refuse(f"more than {LITERALS_MAX} values", "list fewer")
        for literal in literals:
            self._check(path, literal)
        found = Within(path, tuple(literals))
        return Negation(found) if denied else found

    def _ordered(self, path: Path, operator: str, literal: Any) -> Condition:
        if operator in _ORDERS and (isinstance(literal, bool) or not isinstance(literal, int | float)):
            raise self._refuse(f"{operator} compares numbers", "compare with == or !=, or with a number")
        self._check(path, literal)
        return Compare(path, operator, literal)

    def _check(self, path: Path, literal: Any) -> None:
        if path == ENVIRONMENT and literal not in ENVIRONMENTS:
            raise self._refuse(
                f"{json.dumps(literal)} is no environment, so this could never hold",
                f"write one of {', '.join(ENVIRONMENTS)}",
            )

    def _operator(self) -> str:
        if self._now.kind != "sign" or self._now.text not in _OPERATORS:
            other = _OTHERS.get(self._now.text)
            said = f"{self._now.text or 'the end'} is not expected here"
            raise self._refuse(said, f"write {other}" if other else "compare it: ==, !=, <, <=, >, >=, in [...]")
        return self._take().text

    def _name(self) -> tuple[Path, bool]:
        """Where a name stands in the policy input, and whether a list is there."""
        word = self._now.text
        first, _, rest = word.partition(".")
        if self._now.kind == "word" and first == PARAMETERS and rest:
            self._take()
            return ("action", PARAMETERS, *rest.split(".")), False
        if self._now.kind != "word" or word not in NAMES:
            other = _OTHERS.get(word)
            known = f"the names are {', '.join(NAMES)} and {PARAMETERS}.NAME"
            quoted = f'; a text stands in quotes: "{word}"' if self._now.kind == "word" and word not in _WORDS else ""
            raise self._refuse(f"{word or 'the end'} is no name", f"write {other}" if other else known + quoted)
        self._take()
        return NAMES[word], word in LISTS

    def _literal(self) -> Any:
        token = self._now
        if token.kind == "text":
            self._take()
            return json.loads(token.text) if token.text.startswith('"') else token.text[1:-1]
        if token.kind == "number":
            self._take()
            value = float(token.text)
            return int(value) if value.is_integer() else value
        if token.text in {"true", "false"}:
            self._take()
            return token.text == "true"
        raise self._refuse(f"{token.text or 'the end'} is no value", f'a text stands in quotes: "{token.text}"')
