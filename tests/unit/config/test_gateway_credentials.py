"""`credentials`: one place that each comes from, one origin that it goes to."""

import pytest

from bywire.config.gateway_credentials import read_credentials
from bywire.config.reading import FieldError, Node
from bywire.model.gateway_credentials import AppToken, Found, GatewayCredential, ServiceAccountToken, VaultSecret

VAULT = {"address": "https://vault.example:8200", "token_file": "/run/vault", "path": "ci/github", "field": "token"}
ACCOUNT = {
    "address": "https://k8s.example:6443",
    "token_file": "/run/sa",
    "namespace": "agents",
    "service_account": "deploy",
}
APP = {
    "app_id": "123456", "installation_id": 7, "private_key_file": "/etc/app.pem", "repositories": ["storefront"],
    "permissions": {"contents": "read"},
}  # fmt: skip


def one(**changes):
    return {"origin": "https://api.example", **changes}


def read(**named):
    return read_credentials(Node(named, "gateway.yaml"))


def refused(value):
    with pytest.raises(FieldError) as caught:
        read(gh=value)
    assert caught.value.next_step
    return caught.value.message


def source(**changes):
    return read(gh=one(**changes))[0].source


def test_each_kind():
    assert source(token_env="GH_TOKEN") == Found(token_env="GH_TOKEN")
    assert source(token_file="/run/token") == Found(token_file="/run/token")
    vault = VaultSecret(VAULT["address"], Found(token_file="/run/vault"), "ci/github", "token")
    assert source(vault=VAULT) == vault
    account = ServiceAccountToken(ACCOUNT["address"], Found(token_file="/run/sa"), "agents", "deploy")
    assert source(kubernetes=ACCOUNT) == account
    app = AppToken("123456", 7, "/etc/app.pem", ("storefront",), {"contents": "read"})
    assert source(github_app=APP) == app
    tools = {"github.create_pull_request": {"contents": "write", "pull_requests": "write"}}
    narrowed = source(github_app={**APP, "tools": tools})
    assert narrowed.permissions_for("github.create_pull_request") == tools["github.create_pull_request"]
    assert narrowed.permissions_for("github.get_issue") == {"contents": "read"}


def test_a_credential_for_a_program_is_for_the_program_of_one_upstream():
    assert read(gh=one(origin="stdio:grafana", token_file="/run/token"))[0].origin == "stdio:grafana"
    assert read(gh=one(origin="stdio:grafana", vault=VAULT))[0].origin == "stdio:grafana"
    for origin in ("stdio:", "stdio:Grafana", "stdio:a b", "stdio:grafana/x", "stdio://grafana", "STDIO:grafana"):
        assert "origin" in refused(one(origin=origin, token_file="/run/token"))
    for minted in ({"kubernetes": ACCOUNT}, {"github_app": APP}):
        assert "made for each action" in refused(one(origin="stdio:grafana", **minted))
    assert "address" in refused(one(vault={**VAULT, "address": "stdio:grafana"}))


def test_one_way_for_each_environment():
    ways = [
        one(token_env="STAGING", environments=["staging", "non-production"]),
        one(token_env="PRODUCTION", environments=["production"]),
    ]
    assert [way.environments for way in read(argo=ways)] == [("staging", "non-production"), ("production",)]
    assert read(a=one(token_env="A"))[0] == GatewayCredential("a", "https://api.example", Found(token_env="A"))
    for more in ([*ways, one(token_env="X", environments=["staging"])], [one(token_env="X"), ways[0]]):
        assert "one environment" in refused(more)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (one(), "one place"),
        (one(token_env="A", token_file="/b"), "one place"),
        (one(token_env="lower"), "environment variable"),
        (one(token_file="relative"), "absolute"),
        ({"token_env": "A"}, "origin"),
        (one(token_env="A", origin="https://api.example/path"), "origin"),
        (one(token_env="A", origin="https://user:pw@api.example"), "origin"),
        (one(token_env="A", origin="http://api.example"), "http is for private"),
        (one(token_env="A", environments=["moon"]), "one of"),
        (one(token_env="A", unknown=1), "unknown"),
        (one(vault={**VAULT, "token_env": "A"}), "one token"),
        (one(vault={**VAULT, "path": "../sys/policies"}), "path"),
        (one(vault={**VAULT, "path": "a//b"}), "path"),
        (one(vault={**VAULT, "path": "a?version=1"}), "path"),
        (one(vault={**VAULT, "mount": "../x"}), "mount"),
        (one(vault={**VAULT, "address": "http://vault.example"}), "http is for private"),
        (one(vault={**VAULT, "cache_seconds": 3_600}), "cache_seconds"),
        (one(kubernetes={**ACCOUNT, "seconds": 60}), "600"),
        (one(kubernetes={**ACCOUNT, "seconds": 86_400}), "seconds"),
        (one(kubernetes={**ACCOUNT, "namespace": "../kube-system"}), "namespace"),
        (one(kubernetes={**ACCOUNT, "service_account": "a/token"}), "service account"),
        (one(kubernetes={**ACCOUNT, "audiences": []}), "audiences"),
        (one(github_app={**APP, "permissions": {}}), "all of the app's"),
        (one(github_app={**APP, "permissions": {"contents": "admin"}}), "read, write"),
        (one(github_app={**APP, "repositories": []}), "repositories"),
        (one(github_app={**APP, "repositories": ["acme/storefront"]}), "without its owner"),
        (one(github_app={**APP, "tools": {"github.x": {}}}), "all of the app's"),
        (one(github_app={**APP, "installation_id": 0}), "installation_id"),
        (one(github_app={**APP, "address": "http://ghe.example"}), "http is for private"),
    ],
)
def test_what_is_refused(value, said):
    assert said in refused(value)


def test_a_name_belongs_to_one_file():
    with pytest.raises(FieldError, match=r"operator\.yaml"):
        read(forge=one(token_env="A"))
    with pytest.raises(FieldError):
        read(**{"Upper Case": one(token_env="A")})
