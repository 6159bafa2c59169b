"""Encoded payloads: what a parameter carries that is written so that nobody reads it on the way.

A digest, a commit, a UUID, an image reference and a word are encodings of nothing. What decodes to readable text, to a
known kind of file, or to another layer, is a payload; a long run that decodes to noise may be one.
"""

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from bywire.gateway import sensitive_views as views
from bywire.gateway.sensitive_checks import is_random

BASE64_CHARS_MIN = 8
NOISE_CHARS_MIN = 40
_DIGEST_CHARS = {32, 40, 48, 56, 64, 96, 128}
_QUAD = "[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
_MAGIC = (
    (b"\x7fELF", "elf"),
    (b"MZ", "pe"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x89PNG\r\n", "png"),
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xca\xfe\xba\xbe", "class_file"),
    (b"\xcf\xfa\xed\xfe", "mach_o"),
    (b"%PDF-", "pdf"),
    (b"\x00asm", "wasm"),
)
# Enough to call for a closer look; with it a call without payloads costs one search.
CALLS_FOR_A_LOOK = (
    rf"(?:{_QUAD}){{2,}}[A-Za-f][A-HQ-Xg-nw-z0-3]",
    r"f0VMR|TV[opqr][A-Za-z0-9+/]{6}|H4sI|iVBOR|UEsDB|QlpoO|/Td6WF|KLUv|yv66v|AGFzb",
    r"(?i:7f454c46|4d5a90|1f8b08|504b0304|89504e47)",
    # Noise has capitals in its middle, or is longer than any digest.
    r"[A-Za-z0-9+/_-]{16,}[A-Z][A-Za-z0-9+/_-]{16,}",
    r"[0-9a-f]{129,}",
    r"(?:[2-7][0-9A-Fa-f]){8,}",
    r"%[0-9A-Fa-f]{2}|\\u00[2-7][0-9A-Fa-f]|\\x[0-9A-Fa-f]{2}|&#[0-9xX]",
    views.STRANGE,
)
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(rb"(?:0x)?((?:[0-9A-Fa-f]{2}){8,})\Z")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
# A digest says so; what stands behind the label and is readable is none.
_DIGEST_LABEL = re.compile(rb"(?i)(?:sha(?:1|224|256|384|512)|md5|blake[23]b?|h1)[:=-]")
# RFC 3986, 2.3: what an encoder has no reason to touch.
_NEEDLESS = re.compile(rb"%(?:2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])")
_TWICE = re.compile(rb"%25[0-9A-Fa-f]{2}")
# A line end that only the next program writes, and behind it what would be a header of its own (CWE-93).
_BROKEN_LINE = re.compile(
    rb"(?i)%0[ad](?:[ \t]|%20)*(?:bcc|cc|to|from|subject|host|cookie|location|authorization"
    rb"|[a-z]{1,24}(?:-[a-z]{1,24}){1,4})(?:%20)?(?::|%3a)"
)
_WRITTEN = re.compile(rb"\\(?:u00[2-7][0-9A-Fa-f]|x[0-9A-Fa-f]{2})|&#(?:[xX][0-9A-Fa-f]{1,6}|[0-9]{1,7});")
_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")
# Characters that are not drawn, between ASCII ones (beside others they shape a script or an emoji), or that turn text.
_UNSEEN = re.compile(
    "[\x21-\x7e][\u00ad\u200b-\u200d\u2060-\u2064\ufeff\ufe00-\ufe0f]+[\x21-\x7e]|[\u202a-\u202e\u2066-\u2069]|[\U000e0000-\U000e007f]"
)
_READABLE = re.compile(rb"[\t\n\r\x20-\x7e]*\Z")
_TEXT_BYTES_MIN = 12


class Payload(NamedTuple):
    """`kinds` are what it is (an encoding, perhaps a kind of file); `inside` is what it says, if that can be read."""

    kinds: tuple[str, ...]
    certain: bool
    inside: bytes


def payloads(text: bytes, bytes_max: int) -> Iterator[Payload]:
    """Every payload in `text`; what is `inside` is at most `bytes_max` bytes."""
    drawn = views.folded(text)
    if drawn is not None:
        raw = text.decode("utf-8", "replace")
        kinds = ("unseen_characters",) if _UNSEEN.search(raw) else ()
        yield Payload(kinds, certain=True, inside=drawn[0])
    if b"%" in text and _PERCENT.search(text):
        yield _percent(text)
    if (b"\\" in text or b"&#" in text) and _WRITTEN.search(text):
        yield Payload(("escape",), certain=False, inside=views.plain(text))
    for match in _RUN.finditer(text):
        payload = _run(match.group(), text[max(0, match.start() - 8) : match.start()], bytes_max)
        if payload is not None:
            yield payload


def _percent(text: bytes) -> Payload:
    forms = (("percent", _NEEDLESS), ("double_percent", _TWICE), ("line_break", _BROKEN_LINE))
    kinds = [name for name, form in forms if form.search(text)]
    return Payload(tuple(kinds), certain=True, inside=views.plain(text))


def _run(run: bytes, before: bytes, bytes_max: int) -> Payload | None:
    """One run of letters and digits, or None when it encodes nothing."""
    if _UUID.match(run):
        return None
    label = _DIGEST_LABEL.match(run)
    run = run[label.end() :] if label else run
    is_digest = label is not None or any(match.end() == len(before) for match in _DIGEST_LABEL.finditer(before))
    digits = _HEX.match(run)
    if digits is not None:
        digest = is_digest or len(digits.group(1)) in _DIGEST_CHARS
        return _judged("hex", bytes.fromhex(digits.group(1).decode()), run, bytes_max, noise=not digest)
    # A path or a name may stand before the run: each part may be one of its own.
    for part in (run, *(re.split(rb"[/_-]", run) if b"/" in run or b"-" in run or b"_" in run else ())):
        data = (
            views.from_base64(part)
            if len(part) >= (BASE64_CHARS_MIN if part is run else 2 * BASE64_CHARS_MIN)
            else None
        )
        noise = part is run and not is_digest and is_random(run.decode()) and not run.islower() and not run.isupper()
        found = None if data is None else _judged("base64", data, part, bytes_max, noise=noise)
        if found is not None:
            return found
    return None


def _judged(encoding: str, data: bytes, run: bytes, bytes_max: int, *, noise: bool) -> Payload | None:
    kind = next((name for magic, name in _MAGIC if data.startswith(magic)), "")
    if kind and (len(data) >= _TEXT_BYTES_MIN or len(kind) > 2):
        return Payload((encoding, kind), certain=True, inside=_inflated(kind, data, bytes_max))
    text = data.replace(b"\x00", b"") if data.count(b"\x00") * 2 >= len(data) - 1 else data
    if text and _READABLE.match(text):
        # A short word may decode to readable noise; the caller looks whether what it says is worth a finding.
        return Payload((encoding,), certain=len(text) >= _TEXT_BYTES_MIN, inside=text[:bytes_max])
    return Payload((encoding,), certain=False, inside=b"") if noise and len(run) >= NOISE_CHARS_MIN else None


def _inflated(kind: str, data: bytes, bytes_max: int) -> bytes:
    """What a gzip holds, as far as `bytes_max` goes."""
    if kind != "gzip":
        return b""
    try:
        return zlib.decompressobj(wbits=31).decompress(data, bytes_max)
    except zlib.error:
        return b""
