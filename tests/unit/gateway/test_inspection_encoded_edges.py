"""Encoded payloads at their limits: what is long enough to be one, what stands before it, and what it says."""

import base64
import gzip

import pytest

from bywire.gateway.inspection_encoded import NOISE_CHARS_MIN, payloads

BYTES_MAX = 1_000
COMMAND = b"rm -rf /home"
# Bytes of no text and no known kind of file.
NOISE = bytes((37 * index * index + 91 * index + 200) % 256 for index in range(64))
ODD_HEX = NOISE[:22].hex().encode()
NOTHING_SAID = (False, b"")


def b64(data):
    return base64.b64encode(data)


def read(text, bytes_max=BYTES_MAX):
    return [(kinds, certain, inside) for kinds, certain, inside in payloads(text, bytes_max)]


@pytest.mark.parametrize(
    "text",
    [
        b"100% sure",
        b"50 %, or less",
        b"C:\\dir\\file",
        b"\\alpha",
        b"a &# b",
        b"4e4a3cf025a7cfa20579594ed705d6e3497fe4b1",
        b"0f8fad5b-d9cb-469f-a165-70867728950e",
    ],
)
def test_signs_that_an_encoding_uses_are_none_by_themselves(text):
    assert read(text) == []


@pytest.mark.parametrize("text", [b"&#99;url", b"&#x63;url", b"\\u0063url", b"\\x63url", b"\\\\x63url"])
def test_an_escape_is_told_with_what_it_says(text):
    assert read(text) == [(("escape",), False, b"curl")]


def test_characters_that_are_not_drawn_are_told_even_beside_half_a_character():
    text = "x\u200by\ud800".encode("utf-8", "surrogatepass")
    assert read(text) == [(("unseen_characters",), True, b"xy\xed\xa0\x80")]


# --- where base64 stands, and how long it is ---


@pytest.mark.parametrize("before", [b"files/", b"name-", b"name_", b"a/b-c_", b"", b"sha256:", b"key="])
def test_base64_is_read_behind_a_path_a_name_and_a_label(before):
    assert read(before + b64(COMMAND)) == [(("base64",), True, COMMAND)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b64(COMMAND), [(("base64",), True, COMMAND)]),
        (b64(COMMAND[:11]), [(("base64",), False, COMMAND[:11])]),
        (b64(COMMAND[:6]), [(("base64",), False, COMMAND[:6])]),
        (b64(COMMAND[:5]), []),
        (b"ab/" + b64(COMMAND), [(("base64",), True, COMMAND)]),
        (b"abcd/" + b64(COMMAND[:9]), []),
        (b"abcd/" + b64(COMMAND[:6]), []),
    ],
)
def test_a_short_run_is_a_word_and_in_a_path_a_longer_one_too(text, found):
    assert read(text) == found


def test_what_is_said_is_cut_where_the_caller_wants_no_more():
    (payload,) = payloads(b64(COMMAND * 9), 20)
    assert payload.inside == (COMMAND * 9)[:20]
    (packed,) = payloads(b64(gzip.compress(COMMAND * 9)), 20)
    assert packed.inside == (COMMAND * 9)[:20]


# --- noise, and digests ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b64(NOISE[:30]), [(("base64",), *NOTHING_SAID)]),
        (b64(NOISE[:30])[: NOISE_CHARS_MIN - 1], []),
        (b"sha256:" + b64(NOISE[:30]), []),
        (ODD_HEX, [(("hex",), *NOTHING_SAID)]),
        (NOISE[:20].hex().encode(), []),
        (NOISE[:32].hex().encode(), []),
        (b"sha256:" + ODD_HEX, []),
        (b"x:sha1=" + ODD_HEX, []),
        (b"blake2b:" + ODD_HEX, []),
        (b"the BLAKE3:" + ODD_HEX, []),
        (b"sha256 " + ODD_HEX, [(("hex",), *NOTHING_SAID)]),
        (b"sha1:a " + ODD_HEX, [(("hex",), *NOTHING_SAID)]),
        (b"sha256:" + COMMAND.hex().encode(), [(("hex",), True, COMMAND)]),
    ],
)
def test_long_noise_may_be_a_payload_unless_it_is_a_digest(text, found):
    assert read(text) == found


# --- what it decodes to ---


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"MZ\x90\x00" + NOISE[:8], [(("base64", "pe"), True, b"")]),
        (b"MZ\x90\x00" + NOISE[:7], []),
        (b"\x7fELF\x02\x01\x01\x00", [(("base64", "elf"), True, b"")]),
        (gzip.compress(COMMAND, mtime=0), [(("base64", "gzip"), True, COMMAND)]),
        (b"\x1f\x8b\x08\x00 broken in the middle", [(("base64", "gzip"), True, b"")]),
    ],
)
def test_a_known_kind_of_file_is_told_and_only_gzip_is_opened(data, found):
    assert read(b64(data)) == found


@pytest.mark.parametrize(
    ("begins", "kind"),
    [
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
    ],
)
def test_every_kind_of_file_that_runs_or_packs_is_told_by_how_it_begins(begins, kind):
    assert [payload[0] for payload in read(b64(begins + NOISE[:10]))] == [("base64", kind)]
    assert read(b64(begins[:-1] + bytes([begins[-1] ^ 0x80]) + NOISE[:10])) == []


@pytest.mark.parametrize("digits", [32, 40, 48, 56, 64, 96, 128])
def test_as_many_hex_digits_as_a_digest_has_are_one(digits):
    noise = (ODD_HEX * 9)[:digits]
    assert read(noise) == []
    assert read((ODD_HEX * 9)[: digits + 10]) == [(("hex",), *NOTHING_SAID)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (COMMAND.decode().encode("utf-16-le"), COMMAND),
        (COMMAND.decode().encode("utf-16-be"), COMMAND),
        (COMMAND.decode().encode("utf-16-le")[:-1], COMMAND),
        (b"ab\x00" * 8, None),
        (b"a\x00b\x00c\x00d\x00e\x00fg", None),
        (bytes(12), None),
    ],
)
def test_text_in_two_bytes_a_letter_is_text_and_scattered_zeros_are_none(data, said):
    assert [inside for _, _, inside in payloads(b64(data), BYTES_MAX)] == ([] if said is None else [said])
