"""What nobody should send: fixed documents that broke parsers before, and endless variations of good ones.

Everything follows from a `random.Random`, so that a failing number can be tried again.
"""

import copy
import json
from random import Random
from typing import Any

NEST = 10_000
LONG = 60_000
# Longer ones may take memory in proportion; what small ones take is amplified.
SMALL_BYTES = 4_096
VALUE_CHARS_MAX = 200_000
BYTES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"\xed\xa0\x80",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"NaN",
    b"-",
    b"[" * NEST,
    b'{"a":' * NEST,
    b"[" * NEST + b"]" * NEST,
    b"9" * LONG,
    b"-1e" + b"9" * 5_000,
    b'{"version": ' + b"9" * 5_000 + b"}",
    b'"' + b"a" * LONG + b'"',
    b'{"a": "\\ud800"}',
    b'{"\\ud800": 1}',
    b'{"a": 1, "a": 2}',
    b"\r\n" * 30_000,
    b"\n" * LONG,
    b": " * 20_000,
    b"- " * NEST,
    b"&a [*a, *a]",
    b"a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b]\nd: [*c, *c]",
    b"!!python/object/apply:os.system ['true']",
    b"? " * 5_000,
    b"<" * LONG,
    b"<a>" * NEST,
    b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>',
    b'<?xml version="1.0" encoding="utf-7"?><testsuite/>',
    b"@@ -1,99999999 +1,99999999 @@\n+x\n",
    b"@@ -1 +1,999999999999999999999 @@\n",
    b"SF:a\nDA:999999999999999999,1\nend_of_record\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 3_000 + b"\r\n",
)
LEAVES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53 - 1,
    2**53,
    2**63,
    2**64,
    -(2**63),
    0.5,
    1e308,
    -0.0,
    1e21,
    "",
    " ",
    "\0",
    "\ud800",
    "a" * 10_000,
    "../../etc/passwd",
    "/",
    "*",
    "\U00010000",
    "\N{ARABIC-INDIC DIGIT THREE}",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "\x1b[2J",
    "[secret:1]",
    "9" * 400,
    "1e400",
    "0x10",
    "2026-02-30T25:61:61Z",
    "person:",
    "agent:*",
    [],
    {},
    [None],
    {"": None},
    {"a": {"a": {"a": {}}}},
)
PIECES = (b"\0", b"\xff", b"\n", b"\r", b"\r\n", b" ", b'"', b"{", b"}", b"[", b"]", b":", b",", b"-", b"0", b"9" * 30)


def varied_bytes(seed: bytes, rng: Random) -> bytes:
    """One to four edits of a good document: flip, cut, repeat, insert, overwrite."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        span = rng.choice((1, 1, 2, 8, 64))
        match rng.randint(0, 5):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << rng.randint(0, 7)
            case 1:
                del data[at : at + span]
            case 2:
                data[at:at] = data[at : at + span] * rng.choice((1, 2, 20))
            case 3:
                data[at:at] = rng.choice(PIECES)
            case 4:
                data[at : at + span] = rng.choice(PIECES)
            case _:
                del data[at:]
                data += seed[rng.randint(0, len(seed)) :]
    return bytes(data)


def varied_text(seed: str, rng: Random) -> str:
    """The same for text, with characters that bytes of a seed would not hold."""
    text = varied_bytes(seed.encode("utf-8", "surrogatepass"), rng).decode("utf-8", "replace")
    if rng.random() < 0.3:
        at = rng.randint(0, len(text))
        strange = ("\ud800", "\N{EM DASH}", "\u2028", "\N{ARABIC-INDIC DIGIT THREE}", "\x85", "é", "\U0001f600")
        text = text[:at] + rng.choice(strange) + text[at:]
    return text


def varied_lines(seed: list[str], rng: Random) -> list[str]:
    """The same for a document that somebody split into lines before."""
    return varied_text("\n".join(seed), rng).split("\n")


def varied_value(seed: Any, rng: Random) -> Any:
    """One to three changes of a JSON value: another leaf, a lost, doubled or unknown field, a deeper nesting."""
    value = copy.deepcopy(seed)
    for _ in range(rng.randint(1, 3)):
        value = _changed(value, rng)
    return value


def as_json(value: Any) -> bytes:
    """A value as JSON that is canonical as long as it is plain."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def varied_json(seed: Any, rng: Random) -> bytes:
    """A changed value as JSON, sometimes with changed bytes on top."""
    value = varied_value(seed, rng) if rng.random() < 0.7 else seed
    encoded = as_json(value)
    return varied_bytes(encoded, rng) if rng.random() < 0.4 else encoded


def _changed(value: Any, rng: Random) -> Any:
    children = [*value] if isinstance(value, dict) else [*range(len(value))] if isinstance(value, list) else []
    if not children or rng.random() < 0.15:
        return _replaced(value, rng)
    at = rng.choice(children)
    match rng.randint(0, 7):
        case 0:
            del value[at]
        case 1 if isinstance(value, dict):
            value[rng.choice(("x", "", "__class__", "\u00e9", at + "s" if isinstance(at, str) else "y"))] = value[at]
        case 1:
            count = rng.choice((1, 3, 300))
            # What a parser is given has passed a bound by then; beyond it, time is only what so much text takes.
            value += [value[at]] * (count if _fits(value[at], count) else 1)
        case 2:
            value[at] = _replaced(value[at], rng)
        case _:
            value[at] = _changed(value[at], rng)
    return value


def _fits(value: Any, count: int) -> bool:
    try:
        return count * len(repr(value)) <= VALUE_CHARS_MAX
    except RecursionError:
        return False


def _replaced(value: Any, rng: Random) -> Any:
    match rng.randint(0, 4):
        case 0:
            return [value]
        case 1:
            return {"a": value}
        case 2 if isinstance(value, str):
            return varied_text(value, rng)
        case 2 if isinstance(value, int):
            return rng.choice((value + 1, value - 1, -value, float(value), str(value), value * 10**20))
    return copy.deepcopy(rng.choice(LEAVES))
