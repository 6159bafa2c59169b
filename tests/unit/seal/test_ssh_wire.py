"""OpenSSH public keys: read strictly, never believed."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.model.errors import EvidenceError
from bywire.seal.ssh_wire import (
    BLOB_BYTES_MAX,
    ED25519,
    SK_ED25519,
    parse_public_blob,
    parse_public_line,
    string,
    take_string,
)

POINT = bytes(range(32))
PLAIN = string(ED25519) + string(POINT)
TOKEN = string(SK_ED25519) + string(POINT) + string(b"ssh:")
# Made by ssh-keygen; the fingerprint is what `ssh-keygen -l` says of it.
REAL = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC1lwv5GQDPeCVnf1P9IXFen1xIj8FTu11aR41rs29CD someone"
REAL_FINGERPRINT = "SHA256:vWuyAhfD7weN42M2my4Hxl4I0jpVn2RUZGLmi91gSM8"


def line(kind, blob, comment=""):
    return f"{kind.decode()} {base64.b64encode(blob).decode()}{comment and ' ' + comment}"


def code_of(call):
    with pytest.raises(EvidenceError) as caught:
        call()
    assert caught.value.next_step
    return caught.value.code


def test_both_kinds_are_read():
    plain, token = parse_public_blob(PLAIN), parse_public_blob(TOKEN)
    assert (plain.public, plain.application) == (POINT.hex(), "")
    assert (token.public, token.application) == (POINT.hex(), "ssh:")
    assert plain.fingerprint != token.fingerprint
    for text in (line(ED25519, PLAIN), line(ED25519, PLAIN, "a b c"), line(ED25519, PLAIN) + "\n"):
        assert parse_public_line(text) == plain
    assert parse_public_line(line(SK_ED25519, TOKEN)) == token


def test_a_fingerprint_is_the_one_ssh_prints():
    assert parse_public_line(REAL).fingerprint == REAL_FINGERPRINT


@pytest.mark.parametrize("kind", [b"ssh-rsa", b"ecdsa-sha2-nistp256", b"ssh-ed25519-cert-v01@openssh.com", b""])
def test_another_kind_is_refused(kind):
    assert code_of(lambda: parse_public_blob(string(kind) + string(POINT))) == "ssh_key_unsupported"


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        PLAIN[:-1],
        PLAIN + b"\0",
        string(ED25519) + string(POINT[:-1]),
        string(ED25519) + string(POINT) + string(b"ssh:"),
        string(SK_ED25519) + string(POINT),
        string(SK_ED25519) + string(POINT) + string(b""),
        string(SK_ED25519) + string(POINT) + string("é".encode()),
        TOKEN + b"\0",
        (2**31).to_bytes(4, "big") + b"x",
        b"\xff\xff\xff\xff",
    ],
)
def test_a_blob_that_is_not_what_it_says_is_refused(blob):
    assert code_of(lambda: parse_public_blob(blob)) == "ssh_malformed"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAA",
        line(SK_ED25519, PLAIN),
        line(ED25519, TOKEN),
        line(ED25519, PLAIN) + "\n" + line(ED25519, PLAIN),
        'command="x" ' + line(ED25519, PLAIN),
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-ed25519 " + "A" * 5_000,
    ],
)
def test_a_line_that_is_no_public_key_is_refused(text):
    assert code_of(lambda: parse_public_line(text)) == "ssh_malformed"


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_a_string_is_read_back(data, rest):
    assert take_string(string(data) + rest) == (data, rest)


@given(st.binary(max_size=120))
def test_no_bytes_crash_the_reader(data):
    try:
        parse_public_blob(data)
    except EvidenceError as error:
        assert error.code in {"ssh_malformed", "ssh_key_unsupported"}


def test_a_string_is_bounded():
    assert code_of(lambda: take_string(string(b"x" * (BLOB_BYTES_MAX + 1)))) == "ssh_malformed"
    assert code_of(lambda: take_string(string(b"xy"), most=1)) == "ssh_malformed"
