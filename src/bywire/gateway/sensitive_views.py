"""What a text says to whoever undoes its writing: other forms of the same letters, escapes, percent signs, base64.

Each view keeps where its parts came from, so that what is found in a view can be taken out of the text itself.
"""

import base64
import binascii
import bisect
import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

from bywire.gateway.sensitive_pattern import Pattern, decoded, either, encoded

# Letters that are drawn like ASCII ones, and characters that are not drawn at all (RE2 over UTF-8 bytes).
STRANGE = either(
    (
        r"\xef(?:\xbc[\x81-\xbf]|\xbd[\x80-\x9e]|\xbb\xbf|\xb8[\x80-\x8f])",
        r"\xe2(?:\x80[\x8b-\x8f\xaa-\xae]|\x81[\xa0-\xaf]|\x92[\xb6-\xbf]|\x93[\x80-\xaa])",
        r"\xc2\xad|\xcd\x8f|\xe1\xa0\x8e|\xe3\x85\xa4",
        r"\xf0\x9d[\x90-\x9f]|\xf3\xa0[\x80-\x87]",
        # Digits in circles, raised and lowered ones that are more than an exponent, and dots between what is no prose.
        r"\xe2\x91[\xa0-\xa8]|(?:\xc2[\xb2\xb3\xb9]|\xe2\x81[\xb0\xb4-\xb9]|\xe2\x82[\x80-\x89]){2}",
        r"[0-9A-Za-z](?:\xe3\x80\x82|\xef\xbd\xa1)[0-9A-Za-z]",
    )
)
_STRANGE = Pattern(STRANGE)
_UNSEEN = re.compile(
    "[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)
_DRAWN_ALIKE = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **{0x24B6 + index: ord("A") + index for index in range(26)},
    **{0x24D0 + index: ord("a") + index for index in range(26)},
    **{0x2460 + index: ord("1") + index for index in range(9)},
    **{0x2080 + index: ord("0") + index for index in range(10)},
    **{code: ord("0") + digit for digit, code in enumerate((0x2070, 0xB9, 0xB2, 0xB3, *range(0x2074, 0x207A)))},
    0x24EA: ord("0"),
    # What a resolver takes for a dot (RFC 3490, 3.1; fullwidth is above).
    **dict.fromkeys((0x3002, 0xFF61), ord(".")),
    # Mathematical letters: thirteen alphabets of capitals and small letters, then five rows of digits.
    **{0x1D400 + index: ord("A" if index % 52 < 26 else "a") + index % 26 for index in range(13 * 52)},
    **{0x1D7CE + index: ord("0") + index % 10 for index in range(50)},
}
# Base64 of ASCII text shows: of each four characters three can only be certain ones.
_QUAD = "[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
BASE64_TEXT = rf"(?:{_QUAD}){{5,}}"
HEX_TEXT = r"(?:[2-7][0-9A-Fa-f]){12,}"
_PART = r"[^\s\"'<>&?;,]*"
PERCENT = rf"{_PART}%[0-9A-Fa-f]{{2}}{_PART}"
ENTITY = r"[^\s\"'<>]*&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,12});[^\s\"'<>]*"
ESCAPE = r"[^\s\"'<>]*\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})[^\s\"'<>]*"
WRITTEN_OTHERWISE = either((PERCENT, ENTITY, ESCAPE, BASE64_TEXT, HEX_TEXT))
_FOUND = Pattern(WRITTEN_OTHERWISE)
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/_-]*={0,2}")
_BASE64_CHARS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
_ESCAPED = re.compile(rb"(?<!\\)\\++(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
# A line that goes on in the next one may say so with a backslash: shell, YAML, make, Python. Begun nowhere inside a run
# of spaces: each of them would be followed to its end.
_NEWLINE = re.compile(rb"(?<![ \t])[ \t]*+(?:\\{0,4}(?:\r?\n|\r)|\\{1,4}[rn])(?:[ \t]|\\{0,4}[\r\n]|\\{1,4}[rn])*")
# White space as a text writes it that is quoted in another one: JSON, logs.
_WHITE = re.compile(rb"\\[nrtbfv]")
_BEHIND_WHITE = re.compile(rb"\\[nrtbfv][^\n]*")
RUN_BYTES_MAX = 65_536


Spans = list[tuple[int, int]]
# A view of a text, and what turns spans of the view (in order) into spans of the text.
View = tuple[bytes, Callable[[Spans], Spans]]
_CONTINUATION = bytes(range(0x80, 0xC0))


def folded(text: bytes) -> View | None:
    """`text` as it is drawn; None when it is written plainly."""
    if text.isascii() or not _STRANGE.found(text):
        return None
    raw = decoded(text)
    if encoded(raw) != text:
        return None
    removed = [match.start() for match in _UNSEEN.finditer(raw)]
    drawn = encoded(_UNSEEN.sub("", raw).translate(_DRAWN_ALIKE))
    # How many drawn characters stand before each removed one.
    thresholds = [position - index for index, position in enumerate(removed)]

    def places(spans: Spans) -> Spans:
        found, seen, count, last, size = [], 0, 0, 0, 0
        for offset in (offset for span in spans for offset in span):
            count += len(drawn[seen:offset].translate(None, _CONTINUATION))
            position = count + bisect.bisect_right(thresholds, count)
            size += len(encoded(raw[last:position]))
            seen, last = offset, position
            found.append(size)
        return list(zip(found[::2], found[1::2], strict=True))

    return drawn, places


def unbroken(text: bytes) -> View | None:
    """`text` without its line ends and the indents behind them; None when it is one line."""
    breaks = [match.span() for match in _NEWLINE.finditer(text)]
    if not breaks:
        return None
    pieces, joints, cut, last = [], [], [0], 0
    for start, end in breaks:
        pieces.append(text[last:start])
        joints.append(start - cut[-1])
        cut.append(cut[-1] + end - start)
        last = end
    pieces.append(text[last:])

    def places(spans: Spans) -> Spans:
        return [
            (start + cut[bisect.bisect_right(joints, start)], end + cut[bisect.bisect_left(joints, end)])
            for start, end in spans
        ]

    return b"".join(pieces), places


def spaced(text: bytes) -> bytes:
    """`text` with blanks where white space is written as an escape, each place where it was; itself without any."""
    return _WHITE.sub(b"  ", text)


def behind_escapes(text: bytes) -> bytes:
    """The rests of lines that begin with white space as an escape, spaced: mostly little of a text."""
    return spaced(b"\n".join(_BEHIND_WHITE.findall(text)))


def runs(text: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Every part of `text` that is written otherwise: where, and what it says."""
    last = 0
    for start, end in _FOUND.spans(text):
        if start < last:
            continue
        piece = text[start:end]
        if b"%" in piece or b"&" in piece or b"\\" in piece:
            yield start, end, plain(piece)
            continue
        earliest = max(last, start - RUN_BYTES_MAX)
        begin = earliest + len(text[earliest:start].rstrip(_BASE64_CHARS))
        whole = _BASE64_RUN.match(text, begin)
        last = whole.end() if whole is not None else end
        says = unpacked(text[begin:last]) or unpacked(piece)
        if says is not None:
            yield begin, last, says


def plain(piece: bytes) -> bytes:
    """One layer of percent signs, entities and backslash escapes undone."""
    if b"%" in piece:
        piece = unquote_to_bytes(piece)
    if b"&" in piece and b";" in piece:
        piece = encoded(html.unescape(decoded(piece)))
    return _ESCAPED.sub(lambda match: encoded(chr(int(match[1] or match[2], 16))), piece)


def unpacked(run: bytes) -> bytes | None:
    """What a run of base64 (either alphabet, padded or not) or hex says, without zero bytes; None: no ASCII text."""
    if len(run) % 2 == 0 and (data := _from_hex(run)) is not None and data.isascii():
        return data
    data = from_base64(run)
    return data.replace(b"\x00", b"") if data is not None and data.isascii() else None


def from_base64(run: bytes) -> bytes | None:
    """The bytes, or None when no decoder would take it."""
    body = run.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return base64.b64decode(body[: len(body) - (len(body) % 4 == 1)] + b"=" * (-len(body) % 4 % 3), validate=True)
    except (binascii.Error, ValueError):
        return None


def _from_hex(run: bytes) -> bytes | None:
    try:
        return bytes.fromhex(run.decode("ascii"))
    except ValueError:
        return None
