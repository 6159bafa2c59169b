"""What an exchange request may say, how often, and what is kept of anybody's secret."""

import hmac
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.identity import exchange
from bywire.identity.exchange import (
    API_KEY,
    FORM_TYPE,
    GRANT_TYPE,
    Rates,
    RequestError,
    api_key,
    api_key_of,
    mac,
    parse_request,
    same,
)
from bywire.model.errors import EvidenceError

AUDIENCE = "log.example/workspace/door"
FORM = f"grant_type={GRANT_TYPE}&subject_token=abc&subject_token_type={API_KEY}".encode()
KEY = api_key("0123456789ab", "s" * 43)


def refused(body, kind=FORM_TYPE):
    with pytest.raises(RequestError) as caught:
        parse_request(body, kind, AUDIENCE)
    return caught.value.error


def test_a_request_is_read():
    found = parse_request(FORM + b"&scope=agent:fixer&audience=" + AUDIENCE.encode(), FORM_TYPE, AUDIENCE)
    assert (found.subject_token, found.subject_token_type, found.agent) == ("abc", API_KEY, "agent:fixer")
    assert "abc" not in repr(found)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"grant_type", b"&", FORM + b"&scope=agent:a&scope=agent:b", FORM + b"&x=%zz%ff", FORM + b"\xff",
        FORM + b"&a=1" * 20, FORM + b"&b=" + b"x" * exchange.REQUEST_BYTES_MAX, FORM.replace(b"abc", b"%C3%A9"),
        FORM.replace(b"abc", b""),
    ],
)  # fmt: skip
def test_a_request_with_two_readings_or_none_is_refused(body):
    assert refused(body) == "invalid_request"


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "text/plain", FORM_TYPE + "x"])
def test_only_a_form_is_read(kind):
    assert refused(FORM, kind) == "invalid_request"


@given(st.binary(max_size=200))
def test_anything_at_all_is_refused(body):
    with pytest.raises(RequestError):
        parse_request(body, FORM_TYPE, AUDIENCE)


# --- API keys ---


def test_an_api_key_has_one_form():
    assert api_key_of(KEY) == "0123456789ab"
    for text in (
        "",
        "bwk_",
        KEY + "a",
        KEY[:-1],
        KEY.upper(),
        " " + KEY,
        KEY + "\n",
        KEY.replace("_", "-"),
        "x" * 10_000,
    ):
        with pytest.raises(EvidenceError):
            api_key_of(text)
    with pytest.raises(ValueError, match="not the parts"):
        api_key("0123456789AB", "s" * 43)


def test_a_digest_is_keyed_and_says_what_it_is_of():
    seen = {mac(key, kind, text) for key in (b"a", b"b") for kind in ("x", "y") for text in ("1", "2")}
    assert len(seen) == 8
    assert all(len(one) == 32 for one in seen)


def test_comparing_takes_one_path_whatever_differs(monkeypatch):
    """The same comparison of the same length runs for a wrong key, an unknown one and a right one."""
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(exchange.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b))
    kept = mac(b"k", "api-key", KEY)
    assert same(kept, kept)
    assert not same(mac(b"k", "api-key", KEY[:-1] + "x"), kept)
    assert not same(kept, None)
    assert not same(bytes(32), None)  # nothing kept is not a digest of zeros
    assert compared == [(32, 32)] * 4


# --- how often ---


def test_a_name_has_so_many_a_minute():
    rates = Rates(3, 10)
    assert [rates.count("a", 1_000) for _ in range(5)] == [True, True, True, False, False]
    assert rates.count("b", 1_000)
    assert rates.count("a", 61_000)


def test_many_names_cost_no_memory():
    rates = Rates(1, 100)
    for number in range(10_000):
        rates.count(str(number), 0)
    assert len(rates._seen) == 100


def test_threads_share_one_count():
    rates, got = Rates(50, 10), []
    threads = [threading.Thread(target=lambda: got.extend(rates.count("a", 0) for _ in range(25))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 50
