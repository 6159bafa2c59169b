"""What stands in a call's parameters that a rule may want to know: kinds and places, never values.

Everything is found without running, resolving or fetching anything. A finding does not decide; the policy does. One
search over all strings together tells that an ordinary call holds nothing; only where it does not is each looked at.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from bywire.gateway import inspection_commands as shell
from bywire.gateway import inspection_encoded as writing
from bywire.gateway import inspection_places as places
from bywire.gateway.redaction import NAMED_SECRET, carries_named_secret, is_card_number, is_named_secret, masked
from bywire.gateway.sensitive import Detector, Hosts, detector
from bywire.gateway.sensitive_pattern import Pattern, decoded, either, encoded
from bywire.model.connected import Parameter
from bywire.model.gateway_inspection import Finding, FindingClass, InspectionSettings

FINDINGS_MAX = 64
STRINGS_MAX = 10_000
DECODED_DEEP_MAX = 6
# A word too short to carry what a path must not show, unless the operator says what that is.
SHORT_NAME = 16
DECODED_TIMES_MAX = 4
NAME_CHARS_MAX = 64
PATH_CHARS_MAX = 256
_GRAVITY = [
    FindingClass.SIZE,
    FindingClass.SECRET,
    FindingClass.SHELL,
    FindingClass.ENCODED,
    FindingClass.HOST,
    FindingClass.PATH,
    FindingClass.PHI,
    FindingClass.PII,
]
# Names under which a command travels where no contract says so.
_COMMAND_NAMES = frozenset(
    ("command", "commands", "command_line", "cmd", "script", "exec", "run", "shell", "args", "argv", "entrypoint",
     "entry_point", "bash", "powershell")
)  # fmt: skip
# `script` is what a shell is for, and `text` is run by nobody: there, no shell's signs and no places are worth telling.
_SCRIPT, _KEPT_TEXT = "script", "text"
_ROLES = {role: role for role in ("command", "host", "path", _SCRIPT, _KEPT_TEXT)} | {"replaced": _KEPT_TEXT}
_RUNS = frozenset((shell.SUBSTITUTION, shell.WRAPPER, shell.INLINE_CODE))
# What a value means; for an object, what its members do, and under None what each other one does.
_Role: TypeAlias = "str | Mapping[str | None, _Role]"
# Kind, class, and whether its form alone tells it.
_Found = tuple[str, FindingClass, bool]
# No account, card, phone or record has fewer digits; a short name with fewer is one.
_FIVE_DIGITS = re.compile(r"(?:\d\D*){5}")
# Where a text may go on in its next line: a line end, or how one is written.
_BREAK = re.compile(r"[\r\n\\]")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class _Text(NamedTuple):
    """A string of the call: where it stands, and what its parameter means."""

    path: str
    role: str
    value: str


class _Walk:
    """The strings of a call, and what its size is worth a finding."""

    def __init__(self, settings: InspectionSettings, roles: Mapping[str | None, _Role]) -> None:
        self.texts: list[_Text] = []
        self.findings: set[Finding] = set()
        self.commands: list[tuple[str, str | list[str]]] = []
        self._settings = settings
        self._roles = roles
        self._bytes = 0

    def parameters(self, parameters: Mapping[str, Any]) -> None:
        """Every value under its name."""
        self._object(parameters, "", self._roles, 1)

    def _object(self, value: Mapping[Any, Any], path: str, role: _Role, depth: int) -> None:
        named = carries_named_secret(dict(value)) if "value" in value or "Value" in value else None
        for key, item in value.items():
            name = key if isinstance(key, str) else str(key)
            shown = self._shown(name)
            where = f"{path}.{shown}" if path else shown
            self._string(name, where, "")
            if key == named or is_named_secret(name, item):
                self.add(where, NAMED_SECRET, FindingClass.SECRET, certain=False)
            inner = role if isinstance(role, str) else role.get(name) or role.get(None, "")
            self.value(item, where, inner if path or inner else _by_name(name), name, depth)

    def value(self, value: Any, path: str, role: _Role, key: str, depth: int) -> None:
        """One value at its place."""
        if isinstance(value, dict) and depth <= self._settings.depth_max:
            self._object(value, path, role, depth + 1)
            return
        # A schema lets nothing but objects through where their parts mean something.
        role = role if isinstance(role, str) else ""
        if isinstance(value, str):
            self._string(value, path, role)
        elif isinstance(value, dict | list | tuple) and depth > self._settings.depth_max:
            self.add(path, "depth", FindingClass.SIZE)
        elif isinstance(value, list | tuple):
            if role == "command":
                self.commands.append((path, [str(item) for item in value if not isinstance(item, dict | list | tuple)]))
            for index, item in enumerate(value):
                if is_named_secret(key, item):
                    self.add(f"{path}[{index}]", NAMED_SECRET, FindingClass.SECRET, certain=False)
                # Another list among the arguments is a command of its own.
                inner = "argument" if role == "command" and isinstance(item, str) else role
                self.value(item, f"{path}[{index}]", inner, key, depth + 1)
        elif is_card_number(value):
            self.add(path, "payment_card", FindingClass.PII)

    def add(self, path: str, kind: str, family: FindingClass, *, certain: bool = True) -> None:
        """A finding; its path is cut where it gets long."""
        self.findings.add(Finding(path[:PATH_CHARS_MAX], kind, family, certain))

    def _string(self, value: str, path: str, role: str) -> None:
        self._bytes += len(value)
        if self._bytes > self._settings.bytes_max or len(self.texts) >= STRINGS_MAX:
            self.add("", "bytes" if self._bytes > self._settings.bytes_max else "strings", FindingClass.SIZE)
            value = value[: max(0, self._settings.bytes_max - self._bytes + len(value))]
            if not value or len(self.texts) >= STRINGS_MAX:
                return
        self.texts.append(_Text(path, role, value))
        if role == "command":
            self.commands.append((path, value))

    def _shown(self, name: str) -> str:
        """A name as a path may carry it: a secret in it is replaced, and what is no plain name is quoted and cut."""
        if (
            len(name) < SHORT_NAME
            and name.isidentifier()
            and not self._settings.patterns
            and not _FIVE_DIGITS.search(name)
        ):
            return name
        text = masked(name, detector(self._settings))
        if text == name and _PLAIN_NAME.match(name):
            return name
        plain = "".join(char if char.isprintable() and char not in '".[]' else "?" for char in text[:NAME_CHARS_MAX])
        return f'"{plain}"'


def inspect(
    parameters: Mapping[str, Any],
    *,
    commands: Collection[str] = (),
    meaning: Mapping[str, Parameter] | None = None,
    settings: InspectionSettings,
) -> tuple[Finding, ...]:
    """Sorted by place, at most FINDINGS_MAX; `size` is among them when something was too large to be looked through.

    `meaning` says which parameter means what (`{"command": ("cmd",), "host": ("to", "host")}`), `commands` which
    programs the `command` parameter may start: with that meaning and none given, every program is a finding. In a
    `script` a shell's own signs are none; of a `text`, which is only kept, secrets and encodings are. Called on raw
    parameters.
    """
    walk = _Walk(settings, _roles(parameters, commands, meaning or {}))
    walk.parameters(parameters)
    for path, command in walk.commands:
        for kind, certain in shell.in_command(command, commands):
            walk.add(path, kind, FindingClass.SHELL, certain=certain)
    together = encoded("\n".join([text.value for text in walk.texts]))
    search = _interest(settings)
    if any(text.role or _BREAK.search(text.value) for text in walk.texts) or search.found(together):
        reader = _Reader(settings)
        for text in walk.texts:
            data = encoded(text.value)
            if text.role or search.found(data) or (_BREAK.search(text.value) and reader.may_hold(data)):
                for kind, family, certain in reader.read(data, text.role):
                    walk.add(text.path, kind, family, certain=certain)
    return _gravest(walk.findings)


def _roles(
    parameters: Mapping[str, Any], commands: Collection[str], meaning: Mapping[str, Parameter]
) -> dict[str | None, _Role]:
    """What each parameter means, by name; of an object whose parts mean something, what each of them does."""
    roles = {place: _ROLES[word] for word, place in meaning.items() if word in _ROLES}
    guessed = "command" if commands and "command" not in roles.values() else ""
    found: dict[str | None, Any] = {}
    for place, role in roles.items():
        # Its name says what the whole may be, of each part that no meaning names.
        inside, others = found, _by_name(place[0]) and (guessed or _by_name(place[0]))
        for name in place[:-1]:
            inside = inside.setdefault(name, {None: others})
        inside[place[-1]] = role
    if guessed:
        found |= {name: guessed for name in parameters if _by_name(name) and name not in found}
    return found


def _by_name(name: str) -> str:
    return "maybe_command" if name.lower() in _COMMAND_NAMES else ""


def mask(value: Any, settings: InspectionSettings, counts: Counter[str] | None = None) -> Any:
    """`value` with every secret and every piece of pii or phi replaced by `[kind]`; its shape stays as it was.

    What was replaced is added to `counts`.
    """
    return masked(value, detector(settings), counts)


class _Reader:
    """Reads what the strings of one call say and what is encoded in them, to a depth and so many bytes in all."""

    def __init__(self, settings: InspectionSettings) -> None:
        self._bytes_max = settings.bytes_max
        self._search = _detector(settings)
        self._left = DECODED_TIMES_MAX * settings.bytes_max

    def may_hold(self, data: bytes) -> bool:
        """Whether a string holds something sensitive, across its lines too."""
        return self._search.may_hold(data)

    def read(self, data: bytes, role: str) -> Iterator[_Found]:
        """Everything found in one string."""
        for hit in self._search.find(data, across_lines=True):
            if role != _KEPT_TEXT or hit.family is FindingClass.SECRET:
                yield hit.kind, hit.family, hit.certain
        yield from self._said(data, role, DECODED_DEEP_MAX)

    def _said(self, data: bytes, role: str, deep: int) -> Iterator[_Found]:
        if role != _KEPT_TEXT:
            yield from _acted_on(data, role)
        # What is encoded hides from whoever reads along, whatever it stands in.
        within = "" if role in {_SCRIPT, _KEPT_TEXT} else role
        for payload in writing.payloads(data, self._bytes_max):
            inside = list(self._inside(payload.inside, within, deep)) if payload.inside not in (b"", data) else []
            # Readable for certain, or worth a finding by what it says: else a word that happens to decode.
            if payload.certain or inside or not payload.inside:
                for kind in payload.kinds:
                    yield kind, FindingClass.ENCODED, payload.certain or bool(inside)
            yield from inside

    def _inside(self, data: bytes, role: str, deep: int) -> Iterator[_Found]:
        self._left -= len(data)
        if deep == 0 or self._left < 0:
            yield "nested", FindingClass.ENCODED, True
            return
        if self._search.may_hold(data):
            for hit in self._search.find(data, across_lines=True):
                yield hit.kind, hit.family, hit.certain
        # A command that is encoded was meant to be run.
        if shell.looks_like_command(decoded(data)):
            yield "command_line", FindingClass.SHELL, True
        yield from self._said(data, role, deep - 1)


def _acted_on(data: bytes, role: str) -> Iterator[_Found]:
    """What whoever acts on a text would run, open, or connect to."""
    if role != _SCRIPT:
        for kind, certain in _shell(decoded(data), role):
            yield kind, FindingClass.SHELL, certain
    for kind, certain in places.paths(data, relative=role == "path"):
        yield kind, FindingClass.PATH, certain
    for kind, certain in places.destinations(data, is_host=role == "host"):
        yield kind, FindingClass.HOST, certain


def _shell(text: str, role: str) -> Iterator[tuple[str, bool]]:
    if role == "maybe_command":
        yield from shell.in_command(text, None)
    elif role not in {"command", "argument"} and shell.looks_like_command(text):
        # Prose begins with the names of programs as well: only what runs something else counts, and not for certain.
        yield from ((kind, False) for kind, certain in shell.in_command(text, None) if certain and kind in _RUNS)
    if role not in {"command", "argument"}:
        yield from shell.in_text(text)


def _detector(settings: InspectionSettings) -> Detector:
    return detector(settings, Hosts.LISTED)


@lru_cache(maxsize=16)
def _interest(settings: InspectionSettings) -> Pattern:
    """What any of the searches could begin at, over all strings of a call between zero bytes."""
    calls = (*writing.CALLS_FOR_A_LOOK, *shell.CALLS_FOR_A_LOOK, *places.CALLS_FOR_A_LOOK)
    return Pattern(either([_detector(settings).expression, *calls]))


def _gravest(found: set[Finding]) -> tuple[Finding, ...]:
    """Sorted by place. Where there are too many, many small ones crowd out no grave one, and `findings` says so."""
    if len(found) <= FINDINGS_MAX:
        return tuple(sorted(found))
    ranked = sorted(found, key=lambda one: (_GRAVITY.index(one.family), not one.certain, one))
    return tuple(sorted([Finding("", "findings", FindingClass.SIZE), *ranked[: FINDINGS_MAX - 1]]))
