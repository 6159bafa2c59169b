"""Each kind of secret under its own name, at its shortest; what is almost one; and forms that must stay apart."""

import hashlib
import hmac
import json
from collections import Counter

import pytest

from bywire.gateway.inspection import mask
from bywire.gateway.redaction import REDACTOR_VERSION, Redactor
from bywire.gateway.sensitive import DEFAULT

KEY = b"w" * 32
REDACTOR = Redactor(KEY)
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2" * 9
BEGIN, END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"


def mac(secret):
    return hmac.new(KEY, b"secret\x00" + secret.encode(), hashlib.sha256).hexdigest()


# (kind, the shortest of its kind, what is one short of it)
KINDS = [
    ("aws_key", "AKIA" + "A" * 16, "AKIA" + "A" * 15),
    ("aws_key", "ASIA" + "0" * 16, "ASIB" + "0" * 16),
    ("github_token", "gho_" + "a" * 36, "gho_" + "a" * 35),
    ("github_token", "github_pat_" + "a" * 22, "github_pat_" + "a" * 21),
    ("gitlab_token", "glpat-" + "a" * 20, "glpat-" + "a" * 19),
    ("slack_token", "xoxb-" + "1" * 10, "xoxb-" + "1" * 9),
    ("jwt", "eyJ" + "a" * 8 + ".b", "eyJ" + "a" * 7 + ".b"),
    ("model_key", "sk-" + "a" * 20, "sk-" + "a" * 19),
    ("url_credential", "://u:p@", "://u:p"),
    ("authorization", "authorization: x", "authorization x"),
    ("authorization", "bearer " + "a1" * 4, "bearer " + "a1" * 3),
    ("assigned_secret", "token=abcd", "token=abc"),
    ("private_key", f"{BEGIN}x{END}", "-----BEGIN PUBLIC KEY-----x"),
]
GUESSED = {"assigned_secret", "authorization"}


@pytest.mark.parametrize(("kind", "secret", "short"), KINDS)
def test_rule_04_the_shortest_of_each_kind(kind, secret, short):
    assert REDACTOR.display(secret) == f"[{kind}]"
    assert REDACTOR.display(f"a, {secret}, b") == f"a, [{kind}], b"
    assert REDACTOR.canonical(secret) == {"text": f"[{kind}]", "secrets": [{"type": kind, "hmac": mac(secret)}]}
    assert REDACTOR.canonical({secret: 1}) == {f"[{kind}:{mac(secret)}]": 1}
    assert REDACTOR.display(short) == short
    assert REDACTOR.canonical(short) == short


@pytest.mark.parametrize(("kind", "secret", "short"), KINDS)
def test_a_kind_is_certain_when_its_form_tells_it(kind, secret, short):
    known = () if kind in GUESSED else (kind,)
    for value in (secret, [secret], (1, secret), {"field": {"deep": [secret]}}, {secret: None}):
        assert REDACTOR.certain(value) == known
    for value in (short, [short], None, 5, {}, {"a": True}):
        assert REDACTOR.certain(value) == ()


def test_the_kinds_are_named_once_and_in_order():
    assert REDACTOR.certain([GITHUB, AWS, {"token=abcd": AWS}]) == ("aws_key", "github_token")


def test_what_only_begins_like_a_web_token_is_taken_out_and_refuses_no_evidence():
    alone = "eyJ" + "a" * 8
    assert REDACTOR.display(alone) == "[jwt]"
    assert REDACTOR.certain(alone) == ()
    assert REDACTOR.certain(alone + ".b") == ("jwt",)


def test_a_model_key_is_no_part_of_a_word():
    assert REDACTOR.display("task-" + "a" * 20) == "task-" + "a" * 20
    assert REDACTOR.display("a sk-" + "a" * 20) == "a [model_key]"


@pytest.mark.parametrize(
    ("key", "value", "hidden"),
    [
        ("password", "abcd", True),
        ("password", "abc", False),
        ("password", "", False),
        ("password", 1234, False),
        ("password_hint", "abcd", True),
        ("password" + "x" * 32, "abcd", True),
        ("password" + "x" * 33, "abcd", False),
        ("title", "abcd", False),
    ],
)
def test_a_value_whose_key_calls_it_a_secret(key, value, hidden):
    secret = {"text": "[named_secret]", "secrets": [{"type": "named_secret", "hmac": mac(str(value))}]}
    assert REDACTOR.canonical({key: value}) == {key: secret if hidden else value}


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ({"text": "a", "secrets": []}, {"literal": {"text": "a", "secrets": []}}),
        ({"literal": 1}, {"literal": {"literal": 1}}),
        ({"text": "a"}, {"text": "a"}),
        ({"text": "a", "secrets": [], "more": 1}, {"text": "a", "secrets": [], "more": 1}),
        ({"literal": 1, "more": 2}, {"literal": 1, "more": 2}),
        ((1, [2, "a"]), [1, [2, "a"]]),
        ({1: "a"}, {"1": "a"}),
        (None, None),
        (True, True),
        (1.5, 1.5),
    ],
)
def test_what_only_looks_redacted_is_marked_and_the_rest_is_kept(value, canonical):
    assert REDACTOR.canonical(value) == canonical


def test_rule_04_a_text_that_imitates_a_mark_is_another_text():
    honest, imitating = REDACTOR.canonical(f"[aws_key] {AWS}"), REDACTOR.canonical(f"{AWS} [aws_key]")
    assert honest["text"] == imitating["text"] == "[aws_key] [aws_key]"
    assert honest != imitating
    assert [secret["at"] for secret in (honest["secrets"][0], imitating["secrets"][0])] == [10, 0]
    assert "at" not in REDACTOR.canonical(f"[other] {AWS}")["secrets"][0]


def test_rule_04_each_secret_of_a_text_has_its_own_mac():
    assert REDACTOR.canonical(f"{AWS} and {GITHUB}") == {
        "text": "[aws_key] and [github_token]",
        "secrets": [{"type": "aws_key", "hmac": mac(AWS)}, {"type": "github_token", "hmac": mac(GITHUB)}],
    }


def test_rule_04_a_lone_surrogate_in_a_secret_breaks_nothing():
    assert REDACTOR.display("password='\ud800abcd'") == "[assigned_secret]'"
    assert REDACTOR.canonical({"password": "\ud800abcd"})["password"]["text"] == "[named_secret]"


def test_the_redactors_version_is_part_of_every_action():
    assert REDACTOR_VERSION == "redactor/3"


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ("nothing", {}),
        (f"{AWS} and {AWS}", {"aws_key": 2}),
        ({"note": f"{AWS} of ana@example.com", "list": [GITHUB]}, {"aws_key": 1, "email": 1, "github_token": 1}),
        ({"password": "hunter2-correct"}, {"named_secret": 1}),
        ({"passwords": ["hunter2-correct", "hunter3-correct"]}, {"named_secret": 2}),
        ({GITHUB: 1}, {"github_token": 1}),
        ({"card": 4_111_111_111_111_111}, {"payment_card": 1}),
        # What looks redacted already was written by somebody else, and says nothing.
        ("[email] [aws_key]", {}),
        ({"text": "[evil]", "secrets": [{"type": "evil", "hmac": "00"}]}, {}),
        ({"literal": {"text": "x", "secrets": [{"type": "evil"}]}}, {}),
    ],
)
def test_what_was_replaced_is_counted_by_kind_alike_in_both_forms(value, counts):
    canonical, found = REDACTOR.counted(value)
    assert canonical == REDACTOR.canonical(value)
    assert dict(found) == counts
    masked: Counter[str] = Counter()
    once = mask(value, DEFAULT, masked)
    assert dict(masked) == counts
    again: Counter[str] = Counter()
    assert mask(once, DEFAULT, again) == once
    assert not again, "what was taken out is not taken out twice"


@pytest.mark.parametrize(
    "name", [f"ghp_{'a1B2' * 9}", "eyJpZCI6NDJ9", "030 1234567", "4111111111111111", "me@shop.example"]
)
def test_rule_04_nobody_can_write_the_name_that_another_is_replaced_by(name):
    (mark,) = REDACTOR.canonical({name: 1})
    assert mark != name
    (of_mark,) = REDACTOR.canonical({mark: 1})
    said = [
        {mark: "viewer"},
        {name: "viewer"},
        {name: "owner", mark: "viewer"},
        {name: "viewer", mark: "owner"},
        {of_mark: "viewer"},
        {name: "viewer", mark: "viewer", of_mark: "viewer"},
        {f"x{mark}": "viewer"},
        {f"{name} {mark}": "viewer"},
        {f"{mark} {name}": "viewer"},
    ]
    forms = [REDACTOR.canonical({"inputs": one})["inputs"] for one in said]
    assert [len(form) for form in forms] == [len(one) for one in said]
    assert len({json.dumps(form, sort_keys=True) for form in forms}) == len(said)
    assert all(name not in json.dumps(form) for form in forms)


def test_rule_04_a_card_number_as_a_number_is_not_the_same_as_a_text():
    assert REDACTOR.canonical({"card": 4111111111111111}) != REDACTOR.canonical({"card": "4111111111111111"})
    assert REDACTOR.canonical([4111111111111111]) != REDACTOR.canonical(["number 4111111111111111"])
