"""From a CI job's own identity to an upstream's: exchange, decide, mint, act, redact, record; all over real HTTP."""

import json
import time
from urllib.parse import urlencode

import msgspec
import pytest
from credential_platforms import GithubApi, Platform, send
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from oidc_world import GITHUB, GRANT, JWT, IssuerServer, github_claims, now_s, rsa_key, signed
from serving import prepared, served

APP_KEY = rsa.generate_private_key(65537, 2048)
JOB_KEY = rsa_key("gh-1")
FORM = {"content-type": "application/x-www-form-urlencoded"}


class World:
    def __init__(self, root):
        public = APP_KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.issuer, self.github = IssuerServer(JOB_KEY), GithubApi(public, int(time.time() * 1000))
        self.shop = Platform()
        self.shop.answers(self.echo)
        root.mkdir()
        key = root / "app.pem"
        key.write_bytes(
            APP_KEY.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )
        key.chmod(0o600)
        self.scene = prepared(
            root / "scene",
            upstream_url=self.shop.origin,
            credentials={"shop": {"origin": self.shop.origin, "private": True, "github_app": self.app(key)}},
            issuers=[
                {
                    "issuer": GITHUB, "jwks_url": self.issuer.jwks_url, "private": True,
                    "mappings": [
                        {
                            "agent": "agent:fixer",
                            "claims": {"repository_id": "740001", "ref": "refs/heads/main"},
                        }
                    ],
                }
            ],
        )  # fmt: skip
        place = self.scene.operator / "gateway.yaml"
        place.write_text(place.read_text().replace("kind: http", "kind: http\n  credential: shop"))

    def app(self, key):
        return {
            "app_id": "123456", "installation_id": 42, "private_key_file": str(key), "repositories": ["storefront"],
            "permissions": {"contents": "read"}, "tools": {"shop.restart": {"actions": "write"}},
            "address": self.github.origin, "private": True,
        }  # fmt: skip

    @staticmethod
    def echo(handler, body):
        said = {"authorization": handler.headers["Authorization"], "path": handler.path}
        send(handler, 200, json.dumps(said).encode(), **{"Content-Type": "application/json"})

    def close(self):
        for one in (self.issuer, self.github, self.shop, self.scene):
            one.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    here = World(tmp_path_factory.mktemp("federated") / "root")
    yield here
    here.close()


@pytest.fixture(scope="module")
def gateway(world):
    with served(world.scene) as running:
        yield running


def exchanged(gateway, **changes):
    audience = f"{gateway.gateway.workspace.trust.origin}/door"
    token = signed(github_claims(audience, now_s(), **changes), JOB_KEY)
    form = urlencode({"grant_type": GRANT, "subject_token": token, "subject_token_type": JWT}).encode()
    answer = gateway.send("POST", "/v1/token", form, headers=FORM, token="")
    assert answer.status == 200, answer
    return answer.json


def logged(gateway, kind):
    rows = gateway.gateway.workspace.ledger.rows(0)
    return [json.loads(content) for _, leaf, content in rows if msgspec.json.decode(leaf)["kind"] == kind]


def test_rule_23_a_job_acts_with_a_credential_that_was_minted_for_this_one_action(world, gateway):
    token = exchanged(gateway)["access_token"]
    done = gateway.post("/v1/call", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": "k-1"}, token=token)
    assert done.status == 200, done
    ((method, path, headers, _),) = world.shop.seen
    minted = headers["authorization"].removeprefix("Bearer ")
    assert (method, path, minted.startswith("ghs_")) == ("POST", "/jobs/a/restart", True)
    assert json.loads(world.github.seen[0][3]) == {"repositories": ["storefront"], "permissions": {"actions": "write"}}
    assert minted not in done.body.decode()
    assert token not in str(world.shop.seen)
    (issued,) = logged(gateway, "credential")
    assert (issued["credential"], issued["minted"], issued["origin"]) == ("shop", True, world.shop.origin)
    assert issued["intent"].startswith("agent:fixer|shop.restart|")
    database = b"".join(place.read_bytes() for place in world.scene.operator.glob("bywire.db*"))
    assert minted.encode() not in database


def test_the_same_key_mints_and_does_nothing_again(world, gateway):
    token = exchanged(gateway, jti="again")["access_token"]
    before = (len(world.shop.seen), world.github.minted)
    done = gateway.post("/v1/call", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": "k-1"}, token=token)
    assert (done.status, done.json["replayed"]) == (200, True)
    assert (len(world.shop.seen), world.github.minted) == before


def test_a_read_is_minted_with_the_rights_of_a_read(world, gateway):
    token = exchanged(gateway, jti="read")["access_token"]
    done = gateway.post("/v1/call", {"tool": "shop.list_orders", "parameters": {}}, token=token)
    assert done.status == 200, done
    assert json.loads(world.github.seen[-1][3])["permissions"] == {"contents": "read"}
    assert "ghs_" not in done.body.decode()


def test_what_is_denied_mints_nothing(world, gateway):
    token = exchanged(gateway, jti="denied")["access_token"]
    minted = world.github.minted
    denied = gateway.post("/v1/call", {"tool": "shop.deploy", "parameters": {"version": "1"}, "key": "d"}, token=token)
    assert denied.status in {202, 403}
    assert world.github.minted == minted


def test_a_platform_that_gives_no_credential_is_a_failure_and_nothing_was_done(world, gateway):
    token = exchanged(gateway, jti="down")["access_token"]
    world.github.says(500, b"down")
    before = len(world.shop.seen)
    failed = gateway.post("/v1/call", {"tool": "shop.restart", "parameters": {"job": "b"}, "key": "k-2"}, token=token)
    assert (failed.status, failed.code) == (502, "upstream_failed")
    assert len(world.shop.seen) == before
    world.github.answers(world.github.answer)


@pytest.mark.parametrize("path", ["/v1/call", "/v1/advise", "/v1/permit"])
def test_neither_an_api_key_nor_the_platforms_token_opens_the_door(gateway, path):
    audience = f"{gateway.gateway.workspace.trust.origin}/door"
    for token in (f"bwk_{'0' * 12}_{'A' * 43}", signed(github_claims(audience, now_s()), JOB_KEY)):
        answer = gateway.post(path, {"tool": "shop.list_orders", "parameters": {}, "key": "x"}, token=token)
        assert (answer.status, answer.code) == (401, "unauthenticated")
