"""Credentials of gateway.yaml against servers that answer as the platforms do: found, read, minted; and the faults."""

import base64
import json
import time

import pytest
from credential_platforms import NOW, GithubApi, KubernetesApi, Platform, Vault, rfc3339, send
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from test_connections import ROUTES, row

from bywire.adapters.credentials import NamedCredentials
from bywire.adapters.found_credentials import FoundCredentials
from bywire.adapters.http_executor import HttpExecutor
from bywire.adapters.pinned_http import PinnedHttp, parse_origin
from bywire.gateway.credential_forms import TAKEN_OUT, without
from bywire.model.connection import Connection
from bywire.model.errors import ConfigError, TargetError
from bywire.model.gateway_credentials import AppToken, Found, GatewayCredential, ServiceAccountToken, VaultSecret

ORIGIN = "https://api.example:443"
APP_KEY = rsa.generate_private_key(65537, 2048)
TOOL = "github.create_pull_request"


@pytest.fixture
def started():
    running = []

    def start(platform):
        running.append(platform)
        return platform

    yield start
    for platform in running:
        platform.close()


@pytest.fixture
def private_file(tmp_path):
    def write(name, text):
        place = tmp_path / name
        place.write_text(text)
        place.chmod(0o600)
        return str(place)

    return write


def named(source, *, environment=None, **changes):
    one = GatewayCredential(**{"name": "gh", "origin": "https://api.example", "source": source, **changes})
    return NamedCredentials(FoundCredentials({}), [one], environment if environment is not None else {})


def issue(credentials, tool=TOOL, now_ms=NOW, name="gh"):
    return credentials.issue(name, row(tool=tool), now_ms)


def refused(credentials, *secrets, now_ms=NOW):
    with pytest.raises(TargetError) as caught:
        issue(credentials, now_ms=now_ms)
    said = f"{caught.value.message} {caught.value.next_step} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert caught.value.code == "credential_unavailable"
    for secret in secrets:
        assert secret not in said
    return caught.value.message


# --- found ---


def test_a_found_credential_goes_to_its_origin(private_file):
    from_variable = issue(named(Found(token_env="GH"), environment={"GH": "tok-1"}))
    assert (from_variable.value, from_variable.origin, from_variable.minted) == ("tok-1", ORIGIN, False)
    assert "tok-1" not in repr(from_variable)
    assert issue(named(Found(token_file=private_file("t", "tok-2\n")))).value == "tok-2"
    refused(named(Found(token_env="GH")))


def test_it_is_chosen_by_environment_after_the_decision():
    ways = [
        GatewayCredential("gh", "https://staging.example", Found(token_env="S"), environments=("staging",)),
        GatewayCredential("gh", "https://api.example", Found(token_env="P"), environments=("production",)),
    ]
    credentials = NamedCredentials(FoundCredentials({}), ways, {"S": "tok-s", "P": "tok-p"})
    assert issue(credentials).value == "tok-p"
    read = credentials.for_read("gh", NOW, tool=TOOL, environment="staging")
    assert (read.value, read.origin) == ("tok-s", "https://staging.example:443")
    for environment in ("", "non-production"):
        with pytest.raises(TargetError):
            credentials.for_read("gh", NOW, tool=TOOL, environment=environment)


def test_connections_keep_theirs():
    connection = Connection(executor="ci", origin="https://ci.example", routes={}, token_env="CI")
    credentials = NamedCredentials(FoundCredentials({"ci": connection}, {"CI": "tok-ci"}), [], {})
    assert issue(credentials, name="ci").value == "tok-ci"
    assert credentials.for_read("ci", NOW).origin == "https://ci.example:443"
    with pytest.raises(TargetError):
        issue(credentials, name="unknown")


def test_rule_23_a_credential_for_another_origin_is_not_sent(started):
    platform = started(Platform())
    client = PinnedHttp(parse_origin(platform.origin, private=True))
    executor = HttpExecutor(client, ROUTES, "ci")
    credential = issue(named(Found(token_env="GH"), environment={"GH": "tok-1"}))
    with pytest.raises(TargetError) as caught:
        executor.execute_with(row(), {"run_id": "7", "job_id": "j"}, credential)
    assert caught.value.code == "credential_unavailable"
    assert platform.seen == []


# --- Vault ---


def vault_secret(vault, token_file, **changes):
    given = {"address": vault.origin, "token": Found(token_file=token_file), "path": "ci/github", "field": "token"}
    return VaultSecret(**{**given, "private": True, **changes})


@pytest.fixture
def vault(started):
    running = started(Vault())
    running.secrets["secret/data/ci/github"] = {"token": "ghp_from-vault", "other": "x", "count": 7}
    return running


@pytest.fixture
def vault_token(private_file):
    return private_file("vault-token", "hvs.operator\n")


def test_a_secret_of_vault_is_read_and_kept_for_seconds(vault, vault_token):
    credentials = named(vault_secret(vault, vault_token, cache_seconds=30))
    found = issue(credentials)
    assert (found.value, found.minted, found.origin) == ("ghp_from-vault", False, ORIGIN)
    method, path, headers, _ = vault.seen[0]
    assert (method, path, headers["x-vault-token"]) == ("GET", "/v1/secret/data/ci/github", "hvs.operator")
    vault.secrets["secret/data/ci/github"] = {"token": "ghp_rotated"}
    assert issue(credentials, now_ms=NOW + 29_999).value == "ghp_from-vault"
    assert issue(credentials, now_ms=NOW + 30_000).value == "ghp_rotated"
    assert len(vault.seen) == 2


def test_a_lease_is_honoured(vault, vault_token):
    vault.lease = 5
    credentials = named(vault_secret(vault, vault_token, cache_seconds=300))
    assert issue(credentials).expires_at_ms == NOW + 5_000
    issue(credentials, now_ms=NOW + 4_999)
    assert len(vault.seen) == 1
    issue(credentials, now_ms=NOW + 5_000)
    assert len(vault.seen) == 2


def test_nothing_is_kept_where_that_is_said(vault, vault_token):
    credentials = named(vault_secret(vault, vault_token, cache_seconds=0, mount="secret", namespace="team-a"))
    issue(credentials)
    issue(credentials)
    assert [headers["x-vault-namespace"] for _, _, headers, _ in vault.seen] == ["team-a", "team-a"]


@pytest.mark.parametrize("changes", [{"field": "missing"}, {"field": "count"}, {"path": "ci/none"}])
def test_a_secret_that_is_not_there_is_none(vault, vault_token, changes):
    refused(named(vault_secret(vault, vault_token, **changes)), "hvs.operator", "ghp_")


def test_a_deleted_secret_is_none(vault, vault_token):
    credentials = named(vault_secret(vault, vault_token))
    for metadata in ({"destroyed": True}, {"deletion_time": "2026-01-01T00:00:00Z"}):
        vault.says(200, vault.document({"token": "ghp_deleted"}, **metadata))
        assert "deleted" in refused(credentials, "ghp_deleted")
    vault.says(200, vault.document(None))
    refused(credentials)


def test_vault_says_no(vault, private_file):
    message = refused(named(vault_secret(vault, private_file("t", "hvs.wrong"))), "hvs.wrong")
    assert "answered 403" in message
    exposed = private_file("exposed", "hvs.operator")
    __import__("os").chmod(exposed, 0o644)
    refused(named(vault_secret(vault, exposed)), "hvs.operator")


# --- Kubernetes ---


@pytest.fixture
def kubernetes(started):
    return started(KubernetesApi())


def account(kubernetes, private_file, **changes):
    given = {
        "address": kubernetes.origin,
        "token": Found(token_file=private_file("sa", "sa-of-the-gateway")),
        "namespace": "agents",
        "service_account": "deploy",
        "private": True,
    }
    return ServiceAccountToken(**{**given, **changes})


def test_a_service_account_token_is_minted_for_each_action(kubernetes, private_file):
    credentials = named(account(kubernetes, private_file, audiences=("https://k8s.example",), seconds=600))
    first, second = issue(credentials), issue(credentials)
    assert (first.minted, first.value != second.value, kubernetes.minted) == (True, True, 2)
    assert first.expires_at_ms == NOW + 600_000
    method, path, _, body = kubernetes.seen[0]
    assert (method, path) == ("POST", "/api/v1/namespaces/agents/serviceaccounts/deploy/token")
    assert json.loads(body)["spec"] == {"audiences": ["https://k8s.example"], "expirationSeconds": 600}


def test_a_token_for_others_or_for_days_is_not_used(kubernetes, private_file):
    credentials = named(account(kubernetes, private_file, audiences=("https://k8s.example",)))
    spec = {"audiences": ["https://k8s.example"], "expirationSeconds": 600}
    for document in (
        kubernetes.document({**spec, "audiences": ["https://elsewhere.example"]}),
        kubernetes.document({**spec, "audiences": [*spec["audiences"], "https://elsewhere.example"]}),
        kubernetes.document(spec, expirationTimestamp=rfc3339(NOW + 90_000_000)),
        kubernetes.document(spec, expirationTimestamp=rfc3339(NOW - 1_000)),
        kubernetes.document(spec, expirationTimestamp="soon"),
        kubernetes.document(spec, expirationTimestamp="2026-09-21T10:00:00"),
        kubernetes.document(spec, token=""),
        kubernetes.document(spec, token="two words"),
        kubernetes.document(spec, token="line\nbreak"),
        {**kubernetes.document(spec), "kind": "Status"},
    ):
        kubernetes.says(201, document)
        refused(credentials, "minted-0", "two words", "line\nbreak")


# --- GitHub ---


def pem(private=APP_KEY):
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


@pytest.fixture
def github(started):
    return started(
        GithubApi(
            APP_KEY.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    )


def app(github, private_file, **changes):
    given = {
        "app_id": "123456",
        "installation_id": 42,
        "private_key_file": private_file("app.pem", pem()),
        "repositories": ("storefront",),
        "permissions": {"contents": "read"},
        "tools": {TOOL: {"contents": "write", "pull_requests": "write"}},
        "address": github.origin,
        "private": True,
    }
    return AppToken(**{**given, **changes})


def test_an_installation_token_has_the_rights_of_one_tool(github, private_file):
    credentials = named(app(github, private_file))
    write = issue(credentials)
    read = credentials.for_read("gh", NOW, tool="github.get_issue", environment="production")
    assert (write.minted, write.value.startswith("ghs_"), write.value != read.value) == (True, True, True)
    assert write.expires_at_ms == NOW + 3_600_000
    bodies = [json.loads(body) for *_, body in github.seen]
    assert bodies[0] == {"repositories": ["storefront"], "permissions": {"contents": "write", "pull_requests": "write"}}
    assert bodies[1]["permissions"] == {"contents": "read"}
    assert [path for _, path, *_ in github.seen] == ["/app/installations/42/access_tokens"] * 2
    assert github.seen[0][2]["x-github-api-version"] == "2022-11-28"


def test_the_apps_jwt_is_short_and_says_little(github, private_file):
    issue(named(app(github, private_file)))
    parts = github.seen[0][2]["authorization"].removeprefix("Bearer ").split(".")
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    assert claims == {"iss": "123456", "iat": NOW // 1000 - 60, "exp": NOW // 1000 + 540}


def test_a_token_that_may_more_than_was_asked_is_not_used(github, private_file):
    credentials = named(app(github, private_file))
    asked = {"repositories": ["storefront"], "permissions": {"contents": "write", "pull_requests": "write"}}
    token = github.document(asked)["token"]
    for changes in (
        {"permissions": {"contents": "write", "administration": "write"}},
        {"permissions": {"contents": "admin"}},
        {"permissions": {"metadata": "write"}},
        {"repository_selection": "all"},
        {"repository_selection": ""},
        {"repositories": [{"id": 1, "name": "storefront"}, {"id": 2, "name": "payroll"}]},
        {"expires_at": rfc3339(NOW + 90_000_000)},
        {"expires_at": rfc3339(NOW - 1_000)},
    ):
        github.says(201, github.document(asked, **changes))
        refused(credentials, token)
    github.says(201, github.document(asked))
    assert issue(credentials).value == token


def test_a_key_that_is_not_the_apps_mints_nothing(github, private_file):
    wrong = private_file("wrong.pem", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")
    refused(named(app(github, private_file, private_key_file=wrong)), "AAAA")
    exposed = private_file("exposed.pem", pem())
    __import__("os").chmod(exposed, 0o640)
    refused(named(app(github, private_file, private_key_file=exposed)))
    refused(named(app(github, private_file, private_key_file="/nonexistent.pem")))
    assert github.seen == []


# --- whatever the platform does, nothing was done and nothing is told ---


def sources(platform, private_file):
    platform.token = "sa-of-the-gateway"
    return {
        "vault": vault_secret(platform, private_file("v", "hvs.operator"), cache_seconds=0),
        "kubernetes": account(platform, private_file),
        "github": app(platform, private_file),
    }


def _drip(handler, body):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.02)


MISBEHAVIOURS = {
    "500": lambda handler, body: send(handler, 500, b'{"token": "LEAKED-TOKEN"}'),
    "403 that quotes": lambda handler, body: send(handler, 403, repr(handler.headers).encode() + b"LEAKED-TOKEN"),
    "204": lambda handler, body: send(handler, 204, b""),
    "no JSON": lambda handler, body: send(handler, 200, b"<html>LEAKED-TOKEN</html>"),
    "another shape": lambda handler, body: send(handler, 200, b'{"data": ["LEAKED-TOKEN"], "token": 7, "status": 1}'),
    "deep JSON": lambda handler, body: send(handler, 200, b'{"data":' * 5_000 + b"1" + b"}" * 5_000),
    "large": lambda handler, body: send(handler, 200, b'{"token": "' + b"L" * 400_000 + b'"}'),
    "hangs up": lambda handler, body: handler.connection.close(),
    "cut short": lambda handler, body: handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nLEAKED-TOKEN"
    ),
    "no HTTP": lambda handler, body: handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n"),
}


@pytest.mark.parametrize("kind", ["vault", "kubernetes", "github"])
@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
def test_a_platform_that_misbehaves_gives_no_credential(started, private_file, kind, misbehaviour):
    platform = started(Platform())
    platform.answers(MISBEHAVIOURS[misbehaviour])
    credentials = named(sources(platform, private_file)[kind])
    refused(credentials, "LEAKED-TOKEN", "hvs.operator", "sa-of-the-gateway")


@pytest.mark.parametrize("kind", ["vault", "kubernetes", "github"])
def test_no_platform_is_followed_elsewhere(started, private_file, kind):
    platform, elsewhere = started(Platform()), started(Platform())
    platform.says(307, b"", Location=f"{elsewhere.origin}/steal")
    refused(named(sources(platform, private_file)[kind]))
    assert elsewhere.seen == []


@pytest.mark.parametrize("kind", ["vault", "kubernetes", "github"])
def test_a_platform_that_is_slow_is_given_up(started, private_file, kind, monkeypatch):
    monkeypatch.setattr("bywire.adapters.credential_platform.TIMEOUT_SECONDS", 0.3)
    monkeypatch.setitem(
        __import__("bywire.adapters.credential_platform", fromlist=["x"]).CredentialPlatform.__init__.__kwdefaults__,
        "timeout_seconds",
        0.3,
    )
    platform = started(Platform())
    platform.answers(_drip)
    began = time.monotonic()
    assert "in time" in refused(named(sources(platform, private_file)[kind]))
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("kind", ["vault", "kubernetes", "github"])
def test_a_platform_that_is_down_gives_no_credential(private_file, kind):
    platform = Platform()
    credentials = named(sources(platform, private_file)[kind])
    platform.close()
    refused(credentials)


def test_an_address_that_is_not_declared_private_is_refused(vault, vault_token):
    with pytest.raises(ConfigError):
        named(vault_secret(vault, vault_token, private=False))
    with pytest.raises(ConfigError):
        named(Found(token_env="GH"), origin="http://10.0.0.1")


def test_what_was_minted_comes_back_in_no_form(github, private_file):
    credential = issue(named(app(github, private_file)))
    basic = base64.b64encode(f"x-access-token:{credential.value}".encode()).decode()
    answer = {"body": f"Authorization: Basic {basic}", "url": f"https://x:{credential.value}@github.com/"}
    left = json.dumps(without(answer, credential))
    assert credential.value not in left
    assert left.count(TAKEN_OUT) == 2
