"""An issuer's key set over HTTP: fetched from one place, bounded, rotated, believed for a while, and then not."""

import json
import threading
import time

import pytest
from oidc_world import GITHUB, IssuerServer, public, reply, rsa_key

from bywire.adapters.jwks import KeySet
from bywire.identity.oidc_keys import JWKS_BYTES_MAX
from bywire.model.errors import ConfigError, TargetError
from bywire.model.gateway_issuers import ClaimRule, Issuer, Mapping

NOW = 1_790_000_000_000
SECOND = 1_000
ONE, TWO = rsa_key("k-1"), rsa_key("k-2")


@pytest.fixture
def server():
    issuer = IssuerServer(ONE)
    yield issuer
    issuer.close()


def key_set(server, *, timeout_seconds=2.0, **changes):
    given = {
        "issuer": GITHUB,
        "mappings": (Mapping("agent:x", (ClaimRule("sub", ("s",)),)),),
        "jwks_url": server.jwks_url if server else "",
        "private": True,
        "jwks_fresh_seconds": 600,
        "jwks_retry_seconds": 30,
        "jwks_stale_seconds": 3_600,
    }
    return KeySet(Issuer(**{**given, **changes}), timeout_seconds=timeout_seconds)


def unavailable(keys, now_ms=NOW, key_id="k-1"):
    with pytest.raises(TargetError) as caught:
        keys.keys(key_id, now_ms)
    assert caught.value.code == "jwks_unavailable"
    return caught.value.message


def test_the_keys_are_asked_for_once_while_they_are_fresh(server):
    keys = key_set(server)
    for second in range(0, 600, 50):
        assert keys.keys("k-1", NOW + second * SECOND).find("k-1") is not None
    assert server.asked == 1
    path, headers = server.server.seen[0]
    assert path == "/.well-known/jwks"
    assert "Authorization" not in headers
    keys.keys("k-1", NOW + 601 * SECOND)
    assert server.asked == 2


def test_a_new_key_is_found_and_an_old_one_is_gone(server):
    keys = key_set(server)
    assert keys.keys("k-1", NOW).find("k-1") is not None
    server.keys = [TWO]
    found = keys.keys("k-2", NOW + 31 * SECOND)
    assert (found.find("k-1"), found.find("k-2") is not None) == (None, True)


def test_unknown_key_ids_do_not_make_it_ask(server):
    keys = key_set(server)
    keys.keys("k-1", NOW)
    for number in range(1_000):
        assert keys.keys(f"made-up-{number}", NOW + number).find(f"made-up-{number}") is None
    assert server.asked == 1
    keys.keys("made-up", NOW + 30 * SECOND)
    assert server.asked == 2


def test_what_it_said_last_is_believed_for_a_while_and_then_nothing_is(server):
    keys = key_set(server)
    keys.keys("k-1", NOW)
    server.answers(lambda handler: reply(handler, 500, b"down"))
    assert keys.keys("k-1", NOW + 3_600 * SECOND).find("k-1") is not None
    assert "500" in unavailable(keys, NOW + 3_601 * SECOND)
    assert server.asked == 2  # and it is not asked at each call while it is down
    server.recovers()
    assert keys.keys("k-1", NOW + 3_640 * SECOND).find("k-1") is not None


def test_nothing_is_believed_before_it_was_said(server):
    server.answers(lambda handler: reply(handler, 503, b""))
    keys = key_set(server)
    unavailable(keys)
    unavailable(keys, NOW + 29 * SECOND)
    assert server.asked == 1
    server.recovers()
    assert keys.keys("k-1", NOW + 30 * SECOND).find("k-1") is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"keys": []}',
        json.dumps({"keys": [{**public(ONE)["keys"][0], "kid": str(n)} for n in range(100_000)]}).encode(),
        b" " * (10 * 2**20),
    ],
    ids=["empty", "html", "no keys", "1e5 keys", "10 MB"],
)
def test_a_key_set_that_is_none_is_not_believed(server, body):
    server.answers(lambda handler: reply(handler, 200, body))
    began = time.process_time()
    unavailable(key_set(server))
    assert time.process_time() - began < 1.0


def test_an_endless_key_set_is_given_up(server):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)

    server.answers(drip)
    began = time.monotonic()
    unavailable(key_set(server, timeout_seconds=0.3))
    assert time.monotonic() - began < 2


def test_no_redirect_is_followed(server):
    elsewhere = IssuerServer(TWO)
    server.answers(lambda handler: reply(handler, 302, b"", Location=elsewhere.jwks_url))
    assert "redirects" in unavailable(key_set(server))
    assert elsewhere.asked == 0
    elsewhere.close()


def test_an_address_that_is_not_public_is_refused_unless_declared(server):
    with pytest.raises(ConfigError):
        key_set(server, private=False)
    keys = KeySet(
        Issuer(issuer=GITHUB, mappings=(), jwks_url="https://issuer.example/jwks"),
        resolve=lambda host, port: ["169.254.169.254"],
    )
    assert "no credential may be sent" in unavailable(keys)


def test_one_thread_waits_for_a_slow_issuer_and_the_others_do_not(server):
    release, waiting, refused = threading.Event(), threading.Event(), []

    def slow(handler):
        waiting.set()
        release.wait(5)
        reply(handler, 200, json.dumps(public(ONE)).encode())

    server.answers(slow)
    keys, found = key_set(server, timeout_seconds=5), []
    first = threading.Thread(target=lambda: found.append(keys.keys("k-1", NOW)))
    first.start()
    assert waiting.wait(5)
    for _ in range(20):
        refused.append(unavailable(keys))
    release.set()
    first.join()
    assert len(refused) == 20
    assert found[0].find("k-1") is not None
    assert server.asked == 1


def test_a_file_holds_keys_when_nobody_else_may_write_it(tmp_path):
    place = tmp_path / "jwks.json"
    place.write_text(json.dumps(public(ONE)))
    place.chmod(0o644)
    keys = key_set(None, jwks_url="", jwks_file=str(place))
    assert keys.keys("k-1", NOW).find("k-1") is not None
    place.chmod(0o666)
    assert "too wide" in unavailable(keys, NOW + 4_000 * SECOND)
    place.chmod(0o600)
    place.write_text(json.dumps(public(TWO)))
    assert keys.keys("k-2", NOW + 4_100 * SECOND).find("k-2") is not None
    place.write_bytes(b" " * (JWKS_BYTES_MAX + 1))
    place.unlink()
    unavailable(keys, NOW + 9_000 * SECOND)


def test_a_key_set_behind_a_token_is_asked_for_with_it(server, tmp_path):
    token = tmp_path / "token"
    token.write_text("sa-token\n")
    token.chmod(0o600)
    keys = key_set(server, jwks_token_file=str(token))
    assert keys.keys("k-1", NOW).find("k-1") is not None
    assert server.server.seen[0][1]["Authorization"] == "Bearer sa-token"
    token.chmod(0o644)
    exposed = key_set(server, jwks_token_file=str(token))
    assert "sa-token" not in unavailable(exposed)
    assert server.asked == 1


def test_an_authority_that_cannot_be_read_is_said_at_the_start(server, tmp_path):
    with pytest.raises(ConfigError) as caught:
        key_set(server, ca_file=str(tmp_path / "none.pem"))
    assert caught.value.code == "ca_unreadable"
