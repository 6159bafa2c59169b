"""Where a secret begins and ends, and what only stands where one could: digests, users and groups, references."""

import pytest

from bywire.gateway.sensitive import Hosts, detector, redact_text
from bywire.gateway.sensitive_secrets import is_secret_value
from bywire.model.gateway_inspection import InspectionSettings

DRAWN = "aB3dE6gH9jK2mN5pQ8sT"
AWS_ID = "AKIA" + "A1" * 8
HEX = "0123456789abcdefABCDEF9876543210" * 5
UUID = "01234567-89ab-cdef-ABCD-EF9876543210"


def certain(text):
    (hit,) = detector(InspectionSettings(), Hosts.NONE).find(text.encode())
    return hit.certain


@pytest.mark.parametrize("length", [32, 40, 64, 96, 128])
def test_a_digest_under_a_name_that_may_mean_a_secret_is_none(length):
    for text in (f"session_key: {HEX[:length]}", f"(session_key: {HEX[:length]})"):
        assert redact_text(text) == (text, {})
    for other in (HEX[: length + 1], HEX[: length - 1], "X" + HEX[1:length]):
        assert redact_text(f"session_key: {other}")[0] == "[assigned_key]"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"session_key: {UUID}", f"session_key: {UUID}"),
        (f"signing_key: {DRAWN}==", "[assigned_key]"),
        (f"{AWS_ID}/{DRAWN}{DRAWN}", "[aws_key]"),
        (f"{AWS_ID}:/{DRAWN}{DRAWN}", "[aws_key]"),
        (f"my_sk-{DRAWN}", "my_[model_key]"),
        (f"{'x' * 40} sk-a1b2c3", f"{'x' * 40} sk-a1b2c3"),
        ("bearer abcdefgh, and more", "bearer abcdefgh, and more"),
        ("bearer abcdefgh1, and more", "[authorization], and more"),
        ("run -u 1000:1000 x", "run -u 1000:1000 x"),
        ("run -u 1000:u1000 x", "run[basic_login] x"),
        ("run -u 1000:staff x", "run[basic_login] x"),
        ("run -u X1:1X x", "run[basic_login] x"),
        ("password=null", "password=null"),
        ("password=nullX", "[assigned_secret]"),
        ("password=)))))", "password=)))))"),
        (f"password={'x' * 128}", f"password={'x' * 128}"),
        (f"password={'x' * 129}", "[assigned_secret]"),
    ],
)
def test_what_is_marked_and_what_is_left(text, masked):
    assert redact_text(text)[0] == masked


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (f"signing_key: {DRAWN}", False),
        ("run -u bot:hunter2", False),
        ("eyJhbGciOiJI.eyJzdWIi", True),
        ("eyJhbGciOiJI. Then more", False),
        (f"sk-{DRAWN}", True),
    ],
)
def test_only_a_form_of_its_own_makes_a_secret_certain(text, known):
    assert certain(text) is known


def test_a_name_or_value_that_is_no_text_may_still_be_a_secret():
    assert is_secret_value("pass\ud800word", "hunter2\ud800")
    assert not is_secret_value("pass\ud800word", "null")
