"""Path templates of HTTP tools, both ways: which tool a request is, and which request a call is.

`{name}` is one segment, `{+name}` one or more of them (RFC 6570 calls it reserved expansion). A path is read once: what
a server could resolve, decode again or cut off in another way is none. Of the templates that match, the most specific
wins, and two of which neither is are refused when they are loaded.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec

from bywire.model.errors import ConfigError, EvidenceError, TargetError

PATH_BYTES_MAX = 2_048
SEGMENTS_MAX = 32
_PLACE = re.compile(r"\{(\+?)([A-Za-z_][A-Za-z0-9_.-]{0,63})\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@%-]+")
# RFC 3986 pchar without ';', which some servers cut a segment at.
_RAW = re.compile(rb"(?:/(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})*)+")
_HIDDEN = re.compile(r"[\x00-\x1f\x7f\\;]|%[0-9A-Fa-f]{2}")
# A server that decodes before it routes would take these for the end of the path, or for another one.
_UNFIT = re.compile(rf"{_HIDDEN.pattern}|[?#]")
_WHOLE = re.compile(r"\^[^|]*/[^|]*(?<!\\)\$")
_LITERAL_RANK, _ONE_RANK, _REST_RANK = 2, 1, 0


class Template(msgspec.Struct, frozen=True):
    """A path's segments: (rank, literal text or name of a parameter)."""

    text: str
    segments: tuple[tuple[int, str], ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that the path holds."""
        return tuple(text for rank, text in self.segments if rank != _LITERAL_RANK)

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """The parameters that these decoded segments give, or None."""
        found: dict[str, str] = {}
        at, extra = 0, len(segments) - len(self.segments)
        if extra < 0:
            return None
        for rank, text in self.segments:
            if rank == _REST_RANK:
                taken, at = segments[at : at + 1 + extra], at + 1 + extra
                found[text] = "/".join(taken)
                continue
            if rank == _LITERAL_RANK and segments[at] != text:
                return None
            if rank == _ONE_RANK:
                found[text] = segments[at]
            at += 1
        return found if at == len(segments) else None


def parse_template(text: str) -> Template:
    """Raises ConfigError `route_malformed`."""
    segments: list[tuple[int, str]] = []
    for part in text.split("/")[1:] if text != "/" else []:
        match = _PLACE.fullmatch(part)
        if match is not None:
            segments.append((_REST_RANK if match[1] else _ONE_RANK, match[2]))
        elif _LITERAL.fullmatch(part) is None or part in {".", ".."}:
            raise _malformed(text, f"{part!r} is neither one word nor one {{parameter}}")
        else:
            segments.append((_LITERAL_RANK, part))
    names = [name for rank, name in segments if rank != _LITERAL_RANK]
    if not text.startswith("/") or len(segments) > SEGMENTS_MAX:
        raise _malformed(text, f"a path starts with '/' and has at most {SEGMENTS_MAX} segments")
    if len(set(names)) != len(names) or sum(rank == _REST_RANK for rank, _ in segments) > 1:
        raise _malformed(text, "a parameter is there twice, or there are two of several segments")
    return Template(text, tuple(segments))


def ambiguous(one: Template, other: Template) -> bool:
    """Whether some path matches both, and not exactly one of them is the more specific one."""
    if not _overlap(one.segments, other.segments):
        return False
    return _within(one.segments, other.segments) == _within(other.segments, one.segments)


def most_specific(found: Iterable[tuple[Template, Any]]) -> Any:
    """What belongs to the most specific of templates that match one path, none of which are ambiguous."""
    return max(found, key=lambda item: (len(item[0].segments), tuple(rank for rank, _ in item[0].segments)))[1]


def parse_path(raw: bytes) -> tuple[str, ...]:
    """The decoded segments of a request's path. Raises EvidenceError `path_malformed` for what has two readings.

    A slash inside a segment (`%2F`) stays there; whoever takes the segment decides whether it may.
    """
    if len(raw) > PATH_BYTES_MAX or _RAW.fullmatch(raw) is None:
        raise _twofold("it holds what does not belong into a path")
    try:
        segments = tuple(unquote_to_bytes(part).decode() for part in raw.split(b"/")[1:])
    except UnicodeDecodeError:
        raise _twofold("it is not UTF-8") from None
    if segments == ("",):
        return ()
    for segment in segments:
        # A slash inside must not hide what is refused outside.
        if any(part in {"", ".", ".."} for part in segment.split("/")) or _HIDDEN.search(segment):
            raise _twofold("a segment is empty, a dot, or decodes to something else")
    if len(segments) > SEGMENTS_MAX:
        raise _twofold(f"it has more than {SEGMENTS_MAX} segments")
    return segments


def fits(text: str, *, slashes: bool) -> bool:
    """Whether a value is the same part of a path for a server that decodes before it routes.

    `slashes`: it may hold '/'.
    """
    if any(part in {"", ".", ".."} for part in text.split("/")) or _UNFIT.search(text) is not None:
        return False
    return slashes or "/" not in text


def slashed(schema: Any) -> bool:
    """Whether a parameter's schema says that its value holds slashes: a pattern over the whole value that names one.

    Anything less (none, one that is not anchored at both ends, alternatives) allows none.
    """
    pattern = schema.get("pattern") if isinstance(schema, dict) else None
    return isinstance(pattern, str) and _WHOLE.fullmatch(pattern) is not None


def filled(
    template: str, parameters: Mapping[str, Any], with_slashes: Collection[str] = ()
) -> tuple[str, dict[str, Any]]:
    """(path, parameters that the path does not hold). Raises TargetError `unsupported`.

    A value leaves no segment: what a server could resolve or decode into another path is refused, everything else is
    percent-encoded. A `/` in a `{name}` is refused too, unless `with_slashes` has the name: it is sent as `%2F` then.
    """
    rest = dict(parameters)

    def value(match: re.Match[str]) -> str:
        name = match[2]
        if name not in parameters or isinstance(parameters[name], dict | list) or parameters[name] is None:
            raise _unfit(name)
        rest.pop(name, None)
        text = str(parameters[name])
        if not fits(text, slashes=bool(match[1]) or name in with_slashes):
            raise _unfit(name)
        return "/".join(quote(part, safe="") for part in text.split("/")) if match[1] else quote(text, safe="")

    return _PLACE.sub(value, template), rest


def _overlap(one: Sequence[tuple[int, str]], other: Sequence[tuple[int, str]]) -> bool:
    """Whether some list of segments matches both."""
    if not one or not other:
        return not one and not other
    (rank, text), (other_rank, other_text) = one[0], other[0]
    if rank == _LITERAL_RANK == other_rank and text != other_text:
        return False
    if _overlap(one[1:], other[1:]):
        return True
    # A rest takes this segment and stays for the next one.
    return (rank == _REST_RANK and _overlap(one, other[1:])) or (other_rank == _REST_RANK and _overlap(one[1:], other))


def _within(general: Sequence[tuple[int, str]], special: Sequence[tuple[int, str]]) -> bool:
    """Whether `general` matches everything that `special` matches."""
    if not general or not special:
        return not general and not special
    (rank, text), (other_rank, other_text) = general[0], special[0]
    if rank == _LITERAL_RANK and (other_rank != _LITERAL_RANK or text != other_text):
        return False
    if rank == _ONE_RANK and other_rank == _REST_RANK:
        return False
    return _within(general[1:], special[1:]) or (rank == _REST_RANK and _within(general, special[1:]))


def _malformed(text: str, why: str) -> ConfigError:
    return ConfigError(
        f"the path {text[:120]!r} cannot be matched: {why}", code="route_malformed", next_step="correct `request.path`"
    )


def _twofold(why: str) -> EvidenceError:
    return EvidenceError(
        f"the path has more than one reading: {why}", code="path_malformed", next_step="send the path in its plain form"
    )


def _unfit(name: str) -> TargetError:
    return TargetError(f"{name} cannot be part of a path", code="unsupported", next_step="name another one")
