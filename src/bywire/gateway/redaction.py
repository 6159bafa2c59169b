"""Redaction at the door: raw in, canonical out (RULES 4).

Each secret, and each piece of pii or phi, is replaced by its type and an HMAC under the workspace key: equal ones stay
comparable, and nobody can test guesses without the key, as they could with a plain hash. When in doubt a text is taken
for a secret. What is looked for, and how, is in `sensitive.py`.
"""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from bywire.gateway.sensitive import DEFAULT, Detector, Hosts, detector, marked
from bywire.gateway.sensitive_checks import is_card
from bywire.gateway.sensitive_kinds import Hit
from bywire.gateway.sensitive_pattern import decoded, encoded
from bywire.gateway.sensitive_secrets import NAMED, is_secret_value
from bywire.model.gateway_inspection import FindingClass, InspectionSettings

# Which rules made a canonical form. 1: secrets by ten forms. 2: all forms of `sensitive.py`, pii, phi, other writings.
# 3: a name that looks like a redacted one, and a card's number as a number, have forms of their own.
REDACTOR_VERSION = "redactor/3"
NAMED_SECRET = "named_secret"  # noqa: S105 - a kind
_SECRET_KEY = re.compile(rf"{NAMED}\Z")
_NAMED_CHARS_MIN = 4
_CARD_MIN, _CARD_END = 10**12, 10**19
_MARK = re.compile(r"\[([a-z][a-z0-9_]{0,63})\]")
# What `_name` leaves of a sensitive name; one that was written so by its sender is none.
_NAME_MARK = re.compile(r"\[[a-z][a-z0-9_]{0,63}:[0-9a-f]{64}\]")
_LITERAL_NAME = "literal"
_REDACTED = {"text", "secrets"}
_LITERAL = {"literal"}
# An object that says a name and its value in two fields, as lists of variables do.
_NAME_FIELDS = ("name", "key", "Name", "Key", "variable")
_VALUE_FIELDS = ("value", "Value")


class Redactor:
    """Turns raw JSON values into canonical ones. Deterministic for one workspace key; different values stay different.

    A string with secrets becomes `{"text", "secrets"}`. An object that only looks like that becomes `{"literal"}`.
    """

    def __init__(self, workspace_key: bytes, settings: InspectionSettings = DEFAULT) -> None:
        self._key = workspace_key
        self._settings = settings
        self._detector = detector(settings)

    def canonical(self, value: Any) -> Any:
        """`value` with everything sensitive replaced; object keys are redacted too."""
        return self.counted(value)[0]

    def counted(self, value: Any) -> tuple[Any, Counter[str]]:
        """(the canonical value, how many of each kind were replaced in it)."""
        counts: Counter[str] = Counter()
        parts: list[str] = []
        copy = _copy(value, parts)
        return self._value(value, counts) if _may_hold(parts, self._detector) else copy, counts

    def display(self, text: str, counts: Counter[str] | None = None) -> str:
        """`text` for people: what is sensitive is shown as `[type]`. Doing it again changes nothing.

        What was replaced is added to `counts`.
        """
        return redacted_text(text, self._detector, counts)

    def shown(self, value: Any) -> Any:
        """`value` in its own shape for answers, spans and logs, with names of internal hosts replaced as well."""
        return masked(value, detector(self._settings, Hosts.ALL))

    def certain(self, value: Any) -> tuple[str, ...]:
        """The kinds of secrets in `value` that are known by their own form, sorted; guesses by name are left out."""
        return tuple(sorted({hit.kind for hit in self._secrets(value) if hit.certain}))

    def holds_secret(self, text: str) -> bool:
        """Whether `text` looks as if it held a secret, by form or by name; pii is none."""
        return any(True for _ in self._secrets(text))

    def _secrets(self, value: Any) -> Iterator[Hit]:
        for text in strings(value):
            data = encoded(text)
            if self._detector.may_hold(data):
                hits = self._detector.find(data, across_lines=True)
                yield from (hit for hit in hits if hit.family is FindingClass.SECRET)

    def _value(self, value: Any, counts: Counter[str]) -> Any:
        if isinstance(value, str):
            return self._string(value, counts)
        if isinstance(value, dict):
            named = carries_named_secret(value)
            plain = {
                self._name(str(key), counts): self._named(str(key), value[key], counts, named=key == named)
                for key in value
            }
            return {"literal": plain} if value.keys() in (_REDACTED, _LITERAL) else plain
        if isinstance(value, list | tuple):
            return [self._value(item, counts) for item in value]
        if is_card_number(value):
            return self._replaced("payment_card", f"number {value}", counts)
        return value

    def _string(self, text: str, counts: Counter[str]) -> Any:
        data = encoded(text)
        hits = self._detector.find(data, across_lines=True) if self._detector.may_hold(data) else []
        if not hits:
            return text
        left, _ = marked(data, hits)
        if self._detector.find(left, across_lines=True):
            # A mark completed something beside it. What belongs to what cannot be told, so nothing of it is kept.
            return self._replaced(hits[0].kind, text, counts)
        counts.update(hit.kind for hit in hits)
        found = [{"type": hit.kind, "hmac": self._mac(data[hit.start : hit.end])} for hit in hits]
        if any(mark in self._detector.kinds for mark in _MARK.findall(text)):
            # Which of the marks stand for secrets is part of the text: two texts must not share one form.
            places = _characters(data, [hit.start for hit in hits])
            return {
                "text": decoded(left),
                "secrets": [{**one, "at": at} for one, at in zip(found, places, strict=True)],
            }
        return {"text": decoded(left), "secrets": found}

    def _named(self, key: str, value: Any, counts: Counter[str], *, named: bool) -> Any:
        """A value whose key calls it a secret is one, whatever it looks like; so is each of a list."""
        if named or is_named_secret(key, value):
            return self._replaced(NAMED_SECRET, value, counts)
        if isinstance(value, list | tuple) and _SECRET_KEY.search(key):
            return [self._named(key, item, counts, named=False) for item in value]
        return self._value(value, counts)

    def _name(self, key: str, counts: Counter[str]) -> str:
        """An object's key: still a string, and two keys are still two: nobody can write what another is replaced by."""
        data = encoded(key)
        if _NAME_MARK.search(key):
            return f"[{_LITERAL_NAME}:{self._mac(data)}]"
        hits = self._detector.find(data, across_lines=True) if self._detector.may_hold(data) else []
        if not hits:
            return key
        counts.update(hit.kind for hit in hits)
        kinds = [Hit(*hit[:2], f"{hit.kind}:{self._mac(data[hit.start : hit.end])}", *hit[3:]) for hit in hits]
        return decoded(marked(data, kinds)[0])

    def _replaced(self, kind: str, text: str, counts: Counter[str]) -> dict[str, Any]:
        counts[kind] += 1
        return {"text": f"[{kind}]", "secrets": [{"type": kind, "hmac": self._mac(encoded(text))}]}

    def _mac(self, secret: bytes) -> str:
        return hmac.new(self._key, b"secret\x00" + secret, hashlib.sha256).hexdigest()


def masked(value: Any, search: Detector, counts: Counter[str] | None = None) -> Any:
    """`value` in its own shape, with `[kind]` for what is sensitive. Doing it again changes nothing.

    What was replaced is added to `counts`.
    """
    parts: list[str] = []
    copy = _copy(value, parts, as_it_is=True)
    counts = Counter() if counts is None else counts
    return copy if not _may_hold(parts, search) else _masked(value, search, counts)


def _masked(value: Any, search: Detector, counts: Counter[str]) -> Any:
    if isinstance(value, str):
        return redacted_text(value, search, counts)
    if isinstance(value, dict):
        named = carries_named_secret(value)
        found: dict[str, Any] = {}
        for key, item in value.items():
            text = redacted_text(str(key), search, counts)
            name, count = text, 1
            while name in found:
                count += 1
                name = f"{text}#{count}"
            found[name] = _masked_named(str(key), item, search, counts, named=key == named)
        return found
    if isinstance(value, list | tuple):
        return [_masked(item, search, counts) for item in value]
    if is_card_number(value):
        counts["payment_card"] += 1
        return "[payment_card]"
    return value


def _masked_named(key: str, value: Any, search: Detector, counts: Counter[str], *, named: bool) -> Any:
    if named or is_named_secret(key, value):
        counts[NAMED_SECRET] += 1
        return f"[{NAMED_SECRET}]"
    if isinstance(value, list | tuple) and _SECRET_KEY.search(key):
        return [_masked_named(key, item, search, counts, named=False) for item in value]
    return _masked(value, search, counts)


def redacted_text(text: str, search: Detector, counts: Counter[str] | None = None) -> str:
    """`text` with `[kind]` for what is sensitive, broken lines joined to look; what was replaced goes to `counts`."""
    data = encoded(text)
    if not search.may_hold(data):
        return text
    left, found = search.redacted(data, across_lines=True)
    if counts is not None:
        counts.update(found)
    return decoded(left)


def strings(value: Any) -> Iterator[str]:
    """Every string in `value`, keys among them."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack += [*item, *item.values()]
        elif isinstance(item, list | tuple):
            stack += item


def is_named_secret(key: str, value: Any) -> bool:
    """Whether a key says that its value is a secret, and the value does not say that it is none."""
    return (
        isinstance(value, str)
        and len(value) >= _NAMED_CHARS_MIN
        and _SECRET_KEY.search(key) is not None
        and is_secret_value(key, value)
    )


def carries_named_secret(value: dict[Any, Any]) -> str | None:
    """The field of `{"name": "DB_PASSWORD", "value": ...}` that holds the secret, if the object is such a pair."""
    names = [value[field] for field in _NAME_FIELDS if field in value]
    fields = [field for field in _VALUE_FIELDS if field in value]
    if len(fields) == 1 and any(isinstance(name, str) and is_named_secret(name, value[fields[0]]) for name in names):
        return fields[0]
    return None


def is_card_number(value: Any) -> bool:
    """Whether a whole number is a payment card's."""
    return isinstance(value, int) and _CARD_MIN <= value < _CARD_END and is_card(str(value))


def _copy(value: Any, parts: list[str], *, as_it_is: bool = False) -> Any:
    """A copy for the case that nothing is found in it; every string goes to `parts`."""
    if isinstance(value, str):
        parts.append(value)
        return value
    if isinstance(value, dict):
        plain = {}
        for key, item in value.items():
            name = key if isinstance(key, str) else str(key)
            parts.append(name)
            if isinstance(item, str):
                parts.append(item)
                plain[name] = item
            else:
                plain[name] = _copy(item, parts, as_it_is=as_it_is)
        return {"literal": plain} if not as_it_is and value.keys() in (_REDACTED, _LITERAL) else plain
    if isinstance(value, list | tuple):
        return [_copy(item, parts, as_it_is=as_it_is) for item in value]
    if is_card_number(value):
        parts.append(str(value))
    return value


def _may_hold(parts: list[str], search: Detector) -> bool:
    """Whether any of the strings needs a closer look: all of them together, each a line of its own."""
    together = "\n".join(parts)
    if _NAME_MARK.search(together):
        return True
    if "\\" in together or "\r" in together or together.count("\n") >= len(parts):
        return search.may_hold(*map(encoded, parts))
    return search.may_hold_lines(encoded(together))


def _characters(data: bytes, offsets: list[int]) -> list[int]:
    """Offsets in bytes as offsets in characters."""
    count, last, places = 0, 0, []
    for offset in offsets:
        count += len(decoded(data[last:offset]))
        last = offset
        places.append(count)
    return places
