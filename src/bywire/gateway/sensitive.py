"""Finding what is sensitive in a text, and taking it out: one pass of RE2 over the bytes, then a check for each kind.

A text is looked at as it stands, as it is drawn (full-width letters, characters without width), with its escapes,
percent signs, entities, hex and base64 undone, to a bounded depth. Where something is found in such a view, what stands
for it in the text itself is taken out. The time grows with the text alone.
"""

import bisect
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import lru_cache
from typing import TypeVar

from bywire.gateway import sensitive_views as views
from bywire.gateway.sensitive_kinds import END, Hit, Kind
from bywire.gateway.sensitive_pattern import Pattern, Which, decoded, either, encoded
from bywire.gateway.sensitive_personal import PERSONAL, internal_hosts, own
from bywire.gateway.sensitive_secrets import NAMED, SECRETS
from bywire.model.gateway_inspection import FindingClass, InspectionSettings

# How often a text that was written otherwise may have been written otherwise again.
VIEWS_DEEP_MAX = 4
# A mark may complete something beside it; a text that is still not at rest after this is taken out whole.
ROUNDS_MAX = 4
DETECTORS_MAX = 16
DEFAULT = InspectionSettings()
_WORD = bytes(char for char in range(256) if bytes((char,)).isalnum() or char >= 0x80)
_BREAKS = re.compile(rb"[\r\n\\]")
Text = TypeVar("Text", bytes, str)


class Hosts(IntEnum):
    """Which names of internal hosts are sensitive.

    All in logs and answers; those that the operator lists in a call; none in what an approver reads, who must see where
    an action goes.
    """

    NONE = 0
    LISTED = 1
    ALL = 2


class _Search:
    """The kinds that are looked for together."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self.expression = either([kind.pattern for kind in kinds])
        self._kinds = kinds
        self._any = Pattern(self.expression)
        self._which = Which([kind.pattern for kind in kinds])

    def found(self, text: bytes) -> bool:
        """Whether any of them may be in `text`."""
        return self._any.found(text)

    def hits(self, text: bytes) -> Iterator[Hit]:
        """From left to right. What a check refuses is looked at again from its second word on."""
        position = 0
        while position <= len(text) and (span := self._any.first(text, position)) is not None:
            if span[0] == span[1]:
                # An operator's pattern may be true of nothing at some place that nobody thought of.
                position = span[1] + 1
                continue
            hit, position = self._checked(text, *span)
            if hit is not None:
                yield hit

    def _checked(self, text: bytes, start: int, end: int) -> tuple[Hit | None, int]:
        """The hit, if it is one, and where to go on."""
        indexes = self._which.of(text[start:end])
        if not indexes:
            # It was found, so it is something: nobody knows only what.
            return Hit(start, end, "secret", FindingClass.SECRET, certain=False), end
        for kind in (self._kinds[index] for index in indexes):
            found = kind.check(text, start, end)
            if found is not None:
                return Hit(found[0], found[1], kind.name, kind.family, found[2]), max(start + 1, found[1])
        skip = self._kinds[indexes[0]].skip
        place = text.find(skip, start, end) if skip else -1
        return None, end if skip == END else place + 1 if place >= 0 else _second_word(text, start, end)


def _second_word(text: bytes, start: int, end: int) -> int:
    word = len(text[start:end]) - len(text[start:end].lstrip(_WORD))
    # What stands between the words may be the beginning of a form of its own.
    return start + max(1, word)


class Detector:
    """What one operator's settings call sensitive. Safe to use from several threads."""

    def __init__(self, settings: InspectionSettings, which_hosts: Hosts) -> None:
        others = [kind for kind in PERSONAL if kind.name not in settings.kept]
        others += [own(one.kind, one.family, one.pattern) for one in settings.patterns]
        # Names of hosts are looked for on their own: what is none may hold a number that is something else.
        named = which_hosts is Hosts.ALL or (which_hosts is Hosts.LISTED and bool(settings.internal_hosts))
        names = [internal_hosts(settings.internal_hosts, endings=which_hosts is Hosts.ALL)] if named else []
        names = [] if "internal_host" in settings.kept else names
        # A key may be any text up to its end: beside others, each of them would be looked at backwards to the last one.
        keys = [kind for kind in SECRETS if kind.name == "private_key"]
        forms = [kind for kind in SECRETS if kind.name != "private_key"]
        self._searches = tuple(_Search(tuple(kinds)) for kinds in (forms, keys, others, names) if kinds)
        expressions = [*(search.expression for search in self._searches), views.WRITTEN_OTHERWISE, views.STRANGE]
        # A line that ends with a name that means secret: a key, when many strings are looked at as lines of one.
        self.expression = either([*expressions, rf"(?m:{NAMED}$)"])
        self._any = Pattern(self.expression)
        self.kinds = frozenset(kind.name for kind in (*SECRETS, *others, *names)) | {"secret", "named_secret"}

    def may_hold(self, *texts: bytes) -> bool:
        """Whether any of them needs a closer look, across its lines too; False only when there is nothing."""
        if self._any.found(b"\n".join(texts)):
            return True
        again = [views.behind_escapes(text) for text in texts if b"\\" in text]
        joined = (views.unbroken(text) for text in texts if _BREAKS.search(text))
        again += [views.spaced(view[0]) for view in joined if view is not None]
        return bool(again) and self._any.found(b"\n".join(again))

    def may_hold_lines(self, lines: bytes) -> bool:
        """The same for texts of one line each, joined by line ends."""
        return self._any.found(lines)

    def find(self, text: bytes, *, across_lines: bool = False, deep: int = VIEWS_DEEP_MAX) -> list[Hit]:
        """Every hit in order, none overlapping another. `across_lines` joins broken lines for secrets of known form."""
        found = [hit for search in self._searches for hit in search.hits(text)]
        if deep:
            found += self._hidden(text, deep)
        found = _apart(found)
        # The letter of an escape would be taken for the beginning of the word behind it.
        if b"\\" in text and self._searches[0].found(views.behind_escapes(text)):
            known = (hit for hit in self._searches[0].hits(views.spaced(text)) if hit.certain)
            found = _apart([*found, *(hit for hit in known if not _touches(hit.start, hit.end, found))])
        if across_lines and (view := views.unbroken(text)) is not None:
            hits = [hit for hit in self._searches[0].hits(views.spaced(view[0])) if hit.certain]
            spans = view[1]([(hit.start, hit.end) for hit in hits])
            found += [
                Hit(start, end, hit.kind, hit.family, hit.certain)
                for (start, end), hit in zip(spans, hits, strict=True)
                if end - start > hit.end - hit.start and not _touches(start, end, found)
            ]
            return _apart(found)
        return found

    def _hidden(self, text: bytes, deep: int) -> Iterator[Hit]:
        """What is found in what the text says rather than in how it is written."""
        view = views.folded(text)
        if view is not None:
            hits = self.find(view[0], deep=deep - 1)
            for (start, end), hit in zip(view[1]([(hit.start, hit.end) for hit in hits]), hits, strict=True):
                yield Hit(start, end, hit.kind, hit.family, hit.certain)
        for start, end, says in views.runs(text):
            if says == text[start:end] or not self.may_hold(says):
                continue
            inside = self.find(says, across_lines=True, deep=deep - 1)
            if inside:
                yield Hit(start, end, inside[0].kind, inside[0].family, inside[0].certain)

    def redacted(self, text: bytes, *, across_lines: bool = False) -> tuple[bytes, Counter[str]]:
        """`text` with a mark for each hit, and how many there were of each kind; nothing is found in the answer."""
        counts: Counter[str] = Counter()
        hits = self.find(text, across_lines=across_lines)
        for _ in range(ROUNDS_MAX):
            if not hits:
                return text, counts
            counts.update(hit.kind for hit in hits)
            text, lines = marked(text, hits)
            # Only beside a mark can there be anything new, unless joined lines are looked at.
            hits = self.find(text, across_lines=across_lines) if across_lines or self.find(lines) else []
        return (b"[secret]", counts) if hits else (text, counts)


def _touches(start: int, end: int, apart: list[Hit]) -> bool:
    """Whether a span overlaps any of hits that are in order and do not overlap each other."""
    index = bisect.bisect_left(apart, end, key=lambda hit: hit.start)
    return index > 0 and apart[index - 1].end > start


def _apart(found: Iterable[Hit]) -> list[Hit]:
    """Overlapping hits become one, which is called what its gravest part is; a secret is graver than the rest."""
    apart: list[Hit] = []
    for hit in sorted(found, key=lambda hit: (hit.start, -hit.end)):
        if not apart or hit.start >= apart[-1].end:
            apart.append(hit)
            continue
        last = apart[-1]
        graver = hit if hit.family is FindingClass.SECRET and last.family is not FindingClass.SECRET else last
        apart[-1] = graver._replace(start=last.start, end=max(last.end, hit.end))
    return apart


def marked(text: bytes, hits: Iterable[Hit]) -> tuple[bytes, bytes]:
    """`text` with `[kind]` in place of each hit, and those of its lines that have one."""
    pieces, lines, last, told = [], [], 0, 0
    for hit in hits:
        before, mark = text[last : hit.start], b"[" + hit.kind.encode() + b"]"
        line = text.rfind(b"\n", last, hit.start) + 1
        if line:
            end = text.find(b"\n", last, hit.start)
            lines += [text[told:end] if told else b"", b"\n"]
        pieces += [before, mark]
        lines += [text[line or last : hit.start], mark]
        last = told = hit.end
    end = text.find(b"\n", last)
    lines.append(text[last : end if end >= 0 else len(text)])
    return b"".join([*pieces, text[last:]]), b"".join(lines)


@lru_cache(maxsize=DETECTORS_MAX)
def detector(settings: InspectionSettings, hosts: Hosts = Hosts.NONE) -> Detector:
    """Compiled once for each settings."""
    return Detector(settings, hosts)


def redact_text(text: Text, settings: InspectionSettings = DEFAULT) -> tuple[Text, dict[str, int]]:
    """Log text, spans and answers with `[kind]` for whatever is sensitive, and how many there were of each kind."""
    search = detector(settings, Hosts.ALL)
    if isinstance(text, bytes):
        data, counts = search.redacted(text)
        return data, dict(counts)
    data, counts = search.redacted(encoded(text))
    return decoded(data), dict(counts)
