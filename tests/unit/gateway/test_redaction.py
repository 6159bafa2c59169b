"""Redaction: nothing secret passes the door, equal secrets stay comparable, and no text can make the search slow."""

import hashlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.gateway.redaction import Redactor

KEY = b"w" * 32
REDACTOR = Redactor(KEY)
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2" * 9
PEM_BODY = "MC4CAQAwBQYDK2VwBCIEIGtra2tra2tr" * 4
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def pem(kind="", body=PEM_BODY):
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


# (text, what must not remain of it)
SECRETS = [
    (AWS, AWS),
    (f"export AWS_ACCESS_KEY_ID={AWS}_prod", AWS),
    (f"x{AWS}", AWS),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    (GITHUB, GITHUB),
    (f"my_{GITHUB}_backup", GITHUB),
    ("gh" + "o_" + "x" * 300, "x" * 20),
    ("github_pat_" + "A" * 22 + "_" + "b" * 59, "b" * 20),
    ("glpat-" + "x" * 20, "x" * 20),
    ("xoxb-" + "123456789012-abcdefABCDEF", "abcdefABCDEF"),
    (JWT, "dozjgNryP4J3"),
    (f"session-{JWT}", "dozjgNryP4J3"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJ" + "c" * 9000 + ".sIgNaTuReSiGnAtUrE", "sIgNaTuRe"),
    ("sk-" + "proj" + "-abcdefghijklmnopqrstuvwx", "abcdefghijkl"),
    ("postgres://shop:hunter2hunter2@db:5432/shop", "hunter2"),
    ("redis://:hunter2hunter2@cache:6379/0", "hunter2"),
    ("HTTPS://bot:hunter2hunter2@host/path", "hunter2"),
    ("password=hunter2hunter2", "hunter2"),
    ("PASSWORD: hunter2hunter2", "hunter2"),
    ("db_password=hunter2hunter2", "hunter2"),
    ("DB_PASSWORD='hunter2 hunter2, and more'", "and more"),
    ('{"client_secret": "hunter2,hunter2"}', "hunter2"),
    ('{\\"access_token\\":\\"hunter2hunter2\\"}', "hunter2"),
    ("api-key = hunter2hunter2", "hunter2"),
    ("apikey:hunter2hunter2", "hunter2"),
    ("token=" + "x" * 1000, "x" * 20),
    ("?access_token=hunter2hunter2&page=1", "hunter2"),
    ("Authorization: Bearer hunter2.hunter2-hunter2", "hunter2"),
    ("authorization: basic YWxhZGRpbjpvcGVuc2VzYW1l", "YWxhZGRpbjpv"),
    (pem(), PEM_BODY[:20]),
    (pem("RSA "), PEM_BODY[:20]),
    (pem("ENCRYPTED "), PEM_BODY[:20]),
    (pem("EC ", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00AA\n\n" + PEM_BODY), PEM_BODY[:20]),
    (pem(body=PEM_BODY * 400), PEM_BODY[:20]),
    (pem().partition("-----END")[0], PEM_BODY[:20]),
    (f"log line\n{pem('OPENSSH ')}\nmore", PEM_BODY[:20]),
]
HARMLESS = [
    "",
    "set the canary weight to 5 percent",
    "https://example.com/path?page=2",
    "git@github.com:owner/name.git",
    "a" * 64,
    "dl-0123456789:1:step/0",
    "task-force-for-the-token-economy",
    "x-client-segment: mobile-web",
    "eyJ",
    "AKIA",
    "bywire/fix/abc-1",
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_rule_04_no_secret_remains(text, secret):
    assert secret in text
    for value in (
        text,
        [text],
        {"field": text},
        {"deep": [{"list": [text, 1]}]},
        {text: "value"},
        f"before {text} after",
    ):
        assert secret not in json.dumps(REDACTOR.canonical(value))
    assert secret not in REDACTOR.display(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_text_without_secrets_is_left_alone(text):
    assert REDACTOR.canonical(text) == text
    assert REDACTOR.display(text) == text


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_rule_04_never_a_plain_hash(text, secret):
    shown = json.dumps(REDACTOR.canonical(text))
    for guess in (text, secret, text.partition("=")[2]):
        for algorithm in (hashlib.sha256, hashlib.sha1, hashlib.md5):
            assert algorithm(guess.encode()).hexdigest() not in shown


def test_rule_04_equal_secrets_have_equal_macs_and_others_do_not():
    one, again, other = (REDACTOR.canonical(text) for text in (AWS, AWS, AWS[:-1] + "F"))
    assert one == again
    assert one["text"] == other["text"] == "[aws_key]"
    assert one["secrets"][0]["hmac"] != other["secrets"][0]["hmac"]


def test_rule_04_another_workspace_has_other_macs():
    stranger = Redactor(b"x" * 32)
    for text, _ in SECRETS:
        assert REDACTOR.canonical(text) != stranger.canonical(text)


def test_rule_04_each_secret_of_a_text_is_kept_apart():
    other = AWS[:-1] + "F"
    both = REDACTOR.canonical(f"{AWS} and {GITHUB}")
    assert both["text"] == "[aws_key] and [github_token]"
    assert [secret["type"] for secret in both["secrets"]] == ["aws_key", "github_token"]
    assert REDACTOR.canonical(f"{AWS} {other}") != REDACTOR.canonical(f"{other} {AWS}")


def test_rule_04_two_secret_object_keys_do_not_become_one():
    other = AWS[:-1] + "F"
    both = REDACTOR.canonical({AWS: 1, other: 2})
    assert sorted(both.values()) == [1, 2]
    assert REDACTOR.canonical({AWS: 1}) != REDACTOR.canonical({other: 1})
    assert AWS not in json.dumps(both)


@pytest.mark.parametrize("name", ["password", "DB_PASSWORD", "clientSecret", "x-api-key", "access_token", "token"])
def test_rule_04_a_value_whose_key_calls_it_secret_is_one(name):
    shown = REDACTOR.canonical({name: "plain words"})
    assert "plain words" not in json.dumps(shown)
    assert shown != REDACTOR.canonical({name: "other words"})
    assert REDACTOR.canonical({name: 4096, "title": "plain words"}) == {name: 4096, "title": "plain words"}


def test_rule_04_what_only_looks_redacted_is_told_from_what_was():
    redacted = REDACTOR.canonical({"field": AWS})
    assert REDACTOR.canonical(redacted) != redacted
    assert REDACTOR.canonical(REDACTOR.canonical(redacted)) != REDACTOR.canonical(redacted)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=30), st.sampled_from([t for t, _ in SECRETS])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


@given(VALUES)
def test_rule_04_redaction_is_deterministic_and_leaves_no_known_secret(value):
    shown = REDACTOR.canonical(value)
    assert Redactor(KEY).canonical(value) == shown
    text = json.dumps(shown)
    for _, secret in SECRETS:
        if json.dumps(secret)[1:-1] in json.dumps(value):
            assert secret not in text


@given(st.text(max_size=60), st.sampled_from(SECRETS), st.text(max_size=60))
def test_rule_04_no_neighbour_protects_a_secret(before, secret, after):
    text, hidden = secret
    glued = f"{before} {text} {after}"
    assert hidden not in json.dumps(REDACTOR.canonical(glued))


SIZE = 65_536
ADVERSARIES = {
    "pem_begins": "-----BEGIN PRIVATE KEY-----",
    "pem_rsa_begins": "-----BEGIN RSA PRIVATE KEY-----a",
    "dashes": "-",
    "pem_words": "-----BEGIN A A A A A ",
    "jwt_heads": "-eyJ",
    "jwt_dots": "eyJaaaaaaaa.",
    "jwt_pairs": "eyJaaaaaaaa.eyJbbbbbbbb-",
    "url": "a.a-a+a://b:",
    "url_users": "a://b:c",
    "schemes": "aaaa://",
    "assigned": "password=",
    "assigned_spaces": "token    =    ",
    "assigned_words": "secret_secret_secret-",
    "quotes": 'password="',
    "escaped": '\\"token\\":\\"',
    "bearer": "bearer ",
    "github": "ghp_",
    "pat": "github_pat_aaaa-",
    "aws": "AKIAAKIAAKIA",
    "model": "sk-sk-",
    "letters": "a",
    "base64": "QUtJQQ==",
    "newlines": "\n",
    "unicode": "\u00e9_",
    "spaces": " ",
    "tabs": " \t",
    "backslashes": "\\",
    "continued": " \\\n",
}
# What makes a text be looked at once more: joined over its lines, or with its escapes undone.
BEFORE = ("", "line\nnext", "\\u0041")


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("name", ADVERSARIES)
def test_rule_04_no_text_makes_the_search_slow(name, before):
    unit = ADVERSARIES[name]
    text = before + (unit * (SIZE // len(unit) + 1))[:SIZE]
    started = time.process_time()
    REDACTOR.canonical(text)
    REDACTOR.canonical(text[1:] + "!")
    # A quadratic search of this much text takes minutes; the bound only tells the two apart on a busy machine.
    assert time.process_time() - started < 2.0
