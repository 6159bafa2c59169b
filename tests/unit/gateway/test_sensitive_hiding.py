"""Sensitive text that is written so that nobody finds it: every way round that we know, and what must never be lost."""

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.gateway.inspection import inspect, mask
from bywire.gateway.redaction import Redactor
from bywire.gateway.sensitive import redact_text
from bywire.model.gateway_inspection import InspectionSettings

KEY = b"w" * 32
REDACTOR = Redactor(KEY)
DEFAULT = InspectionSettings()
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2" * 9
CARD = "4111111111111111"
MAIL = "ana.ito@example.com"
SENSITIVE = [AWS, GITHUB, CARD, MAIL, "password=hunter2hunter2", "postgres://shop:hunter2@db/x"]


def wide(text):
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def b64(text):
    return base64.b64encode(text.encode()).decode()


def script(text):
    return "".join(
        chr(0x1D41A + ord(char) - 97) if char.islower() else chr(0x1D400 + ord(char) - 65) if char.isupper() else char
        for char in text
    )


HIDINGS = {
    "zero_width": lambda text: "\u200b".join(text),
    "soft_hyphens": lambda text: "\u00ad".join(text),
    "full_width": wide,
    "mathematical": script,
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "percent_in_part": lambda text: (
        text[:3] + quote(text[3:4], safe="").replace(text[3], f"%{ord(text[3]):02X}") + text[4:]
    ),
    "percent_twice": lambda text: "".join(f"%25{byte:02x}" for byte in text.encode()),
    "entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "hex_entities": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "unicode_escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "byte_escapes": lambda text: "".join(f"\\x{ord(char):02x}" for char in text),
    "base64": b64,
    "base64_unpadded": lambda text: b64(text).rstrip("="),
    "base64_url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64_twice": lambda text: b64(b64(text)),
    "base64_wide": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64_of_json": lambda text: b64(json.dumps({"note": text})),
    "hex": lambda text: text.encode().hex(),
    "json_in_string": lambda text: json.dumps({"note": text}),
    "json_twice": lambda text: json.dumps(json.dumps({"note": text})),
    "percent_of_base64": lambda text: quote(b64(text), safe=""),
    "base64_of_percent": lambda text: b64("".join(f"%{byte:02x}" for byte in text.encode())),
}


@pytest.mark.parametrize("secret", SENSITIVE)
@pytest.mark.parametrize("name", HIDINGS)
def test_rule_04_no_writing_hides_what_is_sensitive(name, secret):
    hidden = HIDINGS[name](secret)
    for text in (hidden, f"before {hidden} after", f"a,{hidden},b"):
        for shown in (REDACTOR.display(text), redact_text(text)[0], json.dumps(REDACTOR.canonical([text]))):
            assert hidden not in shown
            assert "[" in shown
        assert inspect({"p": text}, settings=DEFAULT)


@pytest.mark.parametrize("secret", [AWS, GITHUB])
@pytest.mark.parametrize(
    "between", ["\n", "\r\n", "\n    ", "\\n", "\\\\n", " \n\n\t", "\\\n", "\\\r\n  ", " \\\\\n\\\n"]
)
def test_rule_04_a_secret_broken_across_lines_is_one(secret, between):
    text = f"line {secret[:7]}{between}{secret[7:]} end"
    assert secret[7:] not in REDACTOR.display(text)
    assert secret[7:] not in json.dumps(REDACTOR.canonical({"deep": [text]}))
    assert REDACTOR.certain({"deep": [text]})


def test_rule_04_what_is_hidden_is_taken_out_where_it_stands_and_nothing_else():
    """Characters that are not drawn, before, inside, between and behind two secrets, and one in other letters."""
    blank, wide = "\u200b", "".join(chr(ord(char) + 0xFEE0) for char in AWS)
    hidden = f"{AWS[:5]}{blank}{AWS[5:9]}{blank}{blank}{AWS[9:]}"
    text = f"{blank}a{blank}é {hidden} c{blank}d {wide} ü{blank} {GITHUB} e{blank}"
    masked = f"{blank}a{blank}é [aws_key] c{blank}d [aws_key] ü{blank} [github_token] e{blank}"
    assert REDACTOR.display(text) == masked


def test_rule_04_a_secret_broken_over_many_lines_is_taken_out_where_it_stands():
    text = f"one\n  two {GITHUB[:9]}\n {GITHUB[9:20]}\n\t{GITHUB[20:]} three\nfour {AWS[:8]}\n{AWS[8:]}\nfive"
    assert REDACTOR.display(text) == "one\n  two [github_token] three\nfour [aws_key]\nfive"


STRIPE, VAULT, MODEL = "sk_live_" + "a1B2" * 5, "hvs." + "a1B2" * 5, "sk-proj-" + "a1B2" * 5


@pytest.mark.parametrize("secret", [STRIPE, VAULT, MODEL])
@pytest.mark.parametrize("escape", ["\\n", "\\r\\n", "\\t", "\\f", "\\v", "\\b", "\\\\n"])
def test_rule_04_the_letter_of_an_escape_is_no_part_of_the_word_behind_it(secret, escape):
    """As a text stands in JSON, and in a log of it."""
    text = f'{{"log": "done.{escape}{secret}"}}'
    for masked in (redact_text(text)[0], REDACTOR.display(text)):
        assert secret not in masked
        assert masked.startswith(f'{{"log": "done.{escape}[')


def test_rule_04_a_word_that_is_no_secret_hides_none_behind_its_separator():
    for text in (f"token_{STRIPE}: null", f"token_sk-{'a1B2' * 6}: null", "pw -ubot:bot22bot"):
        masked, counts = redact_text(text)
        assert len(counts) == 1, masked


def test_rule_04_lines_that_belong_to_nobody_stay_apart():
    text = "first line eyJ\nsecond line of the log\nAKIA\nand more"
    assert REDACTOR.display(text) == text
    assert REDACTOR.display(f"{AWS}\nDEADBEEF") == "[aws_key]\nDEADBEEF"


def test_rule_04_a_token_at_the_end_of_a_line_does_not_take_the_next_one_along():
    assert REDACTOR.display(f"{GITHUB}\nabcdef") == "[github_token]\nabcdef"
    assert REDACTOR.display(f"{GITHUB[:20]}\n{GITHUB[20:]} x") == "[github_token] x"


def test_rule_04_a_mark_that_completes_something_beside_it():
    text = f"{AWS}sk-{'a' * 24}"
    assert REDACTOR.display(text) == redact_text(text)[0] == "[aws_key][model_key]"
    # What belongs to what cannot be told: nothing of the text is kept, and other texts stay other texts.
    assert REDACTOR.canonical(text)["text"] == "[aws_key]"
    assert REDACTOR.canonical(text) != REDACTOR.canonical(f"{AWS}sk-{'b' * 24}")
    assert REDACTOR.canonical(text) != REDACTOR.canonical(AWS)


def test_nothing_hides_behind_what_only_looked_like_something():
    assert redact_text(f"2026 {CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}")[0] == "2026 [payment_card]"
    assert redact_text(f"max_tokens:4096;{AWS}")[0] == "max_tokens:4096;[aws_key]"
    assert redact_text("logo@2x.png@example.com")[0] == "logo@[email]"


@pytest.mark.parametrize("name", ["password", "DB_PASSWORD", "clientSecret"])
def test_rule_04_a_key_beside_a_value_and_a_list_under_a_key(name):
    for value in (
        {"env": [{"name": name, "value": "plain words"}]},
        {name: ["plain words", "other"]},
        {name: "plain words"},
    ):
        assert "plain words" not in json.dumps(REDACTOR.canonical(value))
        assert "plain words" not in json.dumps(REDACTOR.shown(value))
        assert "plain words" not in json.dumps(mask(value, DEFAULT))


def test_rule_04_keys_carry_secrets_as_well():
    value = {f"x-{AWS}": 1, f"x-{AWS[:-1]}F": 2, MAIL: 3, "percent%41" + AWS: 4}
    for shown in (REDACTOR.canonical(value), REDACTOR.shown(value), mask(value, DEFAULT)):
        assert sorted(shown.values()) == [1, 2, 3, 4]
        assert AWS[:-1] not in json.dumps(shown)
        assert MAIL not in json.dumps(shown)


def test_rule_04_a_number_is_a_card_too():
    assert REDACTOR.canonical({"n": int(CARD), "m": int(CARD) + 1})["m"] == int(CARD) + 1
    assert CARD not in json.dumps(REDACTOR.canonical({"n": int(CARD)}))
    assert REDACTOR.shown([int(CARD)]) == ["[payment_card]"]


def test_rule_04_equal_ones_stay_comparable_for_pii_too():
    one, again, other = (REDACTOR.canonical(text) for text in (MAIL, MAIL, "li@example.com"))
    assert one == again
    assert one["text"] == other["text"] == "[email]"
    assert one != other


def test_pii_and_phi_never_refuse_evidence_and_are_no_secrets():
    for text in (MAIL, CARD, "MRN: 00123456", "DE89370400440532013000"):
        assert REDACTOR.certain([text]) == ()
        assert not REDACTOR.holds_secret(text)
        assert REDACTOR.display(text) != text
    assert REDACTOR.holds_secret(AWS)
    assert REDACTOR.holds_secret("password=hunter2")


def test_an_approver_sees_where_an_action_goes_and_a_log_does_not():
    text = "restart db1.prod.internal"
    assert REDACTOR.display(text) == REDACTOR.canonical(text) == text
    assert REDACTOR.shown([text]) == ["restart [internal_host]"]


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(max_size=30),
        st.sampled_from([hide(text) for text in SENSITIVE for hide in HIDINGS.values()] + SENSITIVE),
        st.sampled_from(["[aws_key]", "[named_secret]", "password", "token:", "Bearer ", "sk-", "//u:p@"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=8), st.sampled_from(["password", "name", "value", "token"])), inner, max_size=3
        ),
    ),
    max_leaves=8,
)
PIECES = st.lists(
    st.one_of(
        st.sampled_from([*SENSITIVE, "password=", "sk-", " ", "\n", "'", '"', "@", ":", "//"]), st.text(max_size=6)
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_masking_twice_is_masking_once(value):
    once = mask(value, DEFAULT)
    assert mask(once, DEFAULT) == once
    assert REDACTOR.shown(REDACTOR.shown(value)) == REDACTOR.shown(value)
    assert mask(value, DEFAULT) == once


@settings(max_examples=150, deadline=None)
@given(PIECES)
def test_redacting_twice_is_redacting_once(pieces):
    text = "".join(pieces)
    once = redact_text(text)[0]
    assert redact_text(once) == (once, {})
    assert REDACTOR.display(REDACTOR.display(text)) == REDACTOR.display(text)
    assert not any(secret in once for secret in (AWS, GITHUB))


@settings(max_examples=100, deadline=None)
@given(PIECES, PIECES)
def test_rule_04_different_texts_have_different_canonical_forms(one, other):
    first, second = "".join(one), "".join(other)
    assert (REDACTOR.canonical(first) == REDACTOR.canonical(second)) == (first == second)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_log(data):
    shown, _ = redact_text(data + AWS.encode() + data)
    assert AWS.encode() not in shown


ADVERSARIES = {
    "letters": "a",
    "digits": "4",
    "spaced_digits": "4111 ",
    "dots": "a.",
    "dotted_mail": "a.a.a.a.a.a@b.png ",
    "at_signs": "a@",
    "iban": "DE89 ",
    "phones": "+1 ",
    "percent": "%41",
    "percent_signs": "%",
    "entities": "&#65;",
    "escapes": "\\u0041",
    "base64": "QUtJQQ",
    "nested_base64": "UVV0SlFR",
    "hex": "414b",
    "zero_width": "a\u200b",
    "full_width": "\uff21",
    "newlines": "a\n",
    "hosts": "a.internal.",
    "paths": "/a.internal",
    "keys": "key=aaaaaaaaaaaaaaaaaaaaaaaa",
    "sk": "sk-a-",
    "jdbc": "jdbc:oracle:x:",
    "databases": "redis://:a",
    "dsn": "a:b@tcp",
    "cookies": "cookie: a=",
    "quotes": 'token: "',
    "marks": "[aws_key]",
    "pem": "-----BEGIN PRIVATE KEY-----\n",
    "many_secrets": AWS + " ",
    "many_mails": "a@b.de ",
}


# What comes after the last unit and makes all of it one piece.
TAILS = {"dots": "@b.png", "hosts": "x", "letters": "@b.png", "paths": ".x"}


@pytest.mark.parametrize("name", ADVERSARIES)
def test_time_grows_with_the_text_alone(name):
    unit = ADVERSARIES[name]

    def seconds(size):
        text = (unit * (size // len(unit) + 1))[:size] + TAILS.get(name, "")
        began = time.process_time()
        REDACTOR.display(text)
        redact_text(text)
        return time.process_time() - began

    seconds(1_000)
    small, large = seconds(10_000), min(seconds(80_000) for _ in range(3))
    # Eight times the text; a square would take sixty-four times as long. The floor is what a busy machine blurs.
    assert large < 25 * max(small, 0.02)


def test_a_million_letters_take_no_time_to_speak_of():
    began = time.process_time()
    for text in ("a" * 1_000_000, "4" * 1_000_000, "a@" * 500_000):
        redact_text(text)
        inspect({"p": text}, settings=DEFAULT)
        mask(text, DEFAULT)
    assert time.process_time() - began < 6
