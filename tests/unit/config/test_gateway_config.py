"""gateway.yaml: defaults, bounds, and what it refuses to be."""

import msgspec
import pytest

from bywire.config.gateway_config import KEYS, LIMIT_BOUNDS, parse
from bywire.config.reading import FieldError
from bywire.model.gateway import GatewayConfig, ServeLimits


def read(**document):
    return parse({"version": 1, **document}, "gateway.yaml")


def program(**fields):
    return {"name": "tools", "kind": "mcp", "command": ["a"], **fields}


def upstream(**fields):
    return {"name": "shop", "kind": "http", "url": "https://api.example", **fields}


def test_an_empty_file_is_the_defaults():
    assert read() == GatewayConfig()


def test_every_section_that_is_kept_can_be_written():
    assert set(GatewayConfig.__struct_fields__) | {"teams", "version"} == set(KEYS)


def test_every_limit_has_bounds_that_hold_its_default():
    defaults = msgspec.structs.asdict(ServeLimits())
    assert defaults.keys() == LIMIT_BOUNDS.keys()
    assert all(least <= defaults[name] <= most for name, (least, most) in LIMIT_BOUNDS.items())


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8750"),
        ({"listen": {"port": 1}}, "http://127.0.0.1:1"),
        ({"listen": {"host": "::1"}}, "http://[::1]:8750"),
        ({"public_url": "https://bywire.example/"}, "https://bywire.example"),
        ({"public_url": "https://bywire.example:8443/gate"}, "https://bywire.example:8443/gate"),
    ],
)
def test_where_it_is_reached(settings, url):
    assert read(**settings).url == url


def test_upstreams_are_found_by_name():
    found = read(upstreams=[upstream(private=True), {"name": "tools", "kind": "mcp", "command": ["a", "b"]}])
    assert found.upstream("shop").private is True
    assert found.upstream("tools").command == ("a", "b")
    assert found.upstream("none") is None


def test_a_program_has_variables_and_finds_its_credential_in_one():
    origin = {"gh": {"origin": "stdio:tools", "token_file": "/run/token"}}
    named = program(
        variables={"GRAFANA_URL": "https://g.example", "EMPTY": ""}, credential="gh", credential_variable="T"
    )
    found = read(upstreams=[named], credentials=origin).upstream("tools")
    assert found.variables == {"GRAFANA_URL": "https://g.example", "EMPTY": ""}
    assert found.credential_variable == "T"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"version": 2}, "version"),
        ({"upstream": []}, "did you mean 'upstreams'"),
        ({"listen": {"port": 70_000}}, "listen.port"),
        ({"listen": {"host": "a b"}}, "listen.host"),
        ({"public_url": "ftp://x"}, "public_url"),
        ({"public_url": "https://x:99999"}, "public_url"),
        ({"public_url": "https://"}, "public_url"),
        ({"hosts": ["a/b"]}, "hosts[0]"),
        ({"hosts": ["a", "a"]}, "hosts"),
        ({"limits": {"body_bytes": 10**9}}, "limits.body_bytes"),
        ({"limits": {"bodies": 1}}, "limits"),
        ({"upstreams": [upstream(), upstream()]}, "two upstreams shop"),
        ({"upstreams": [upstream(name="Shop")]}, "upstreams[0].name"),
        ({"upstreams": [upstream(name="a.b")]}, "upstreams[0].name"),
        ({"upstreams": [upstream(command=["x"])]}, "one way"),
        ({"upstreams": [{"name": "shop", "kind": "http"}]}, "one way"),
        ({"upstreams": [{"name": "shop", "kind": "http", "command": ["x"]}]}, "no command"),
        ({"upstreams": [upstream(url="https://user@api.example")]}, "upstreams[0].url"),
        ({"upstreams": [upstream(url="https://api.example?x=1")]}, "upstreams[0].url"),
        ({"upstreams": [upstream(environment="moon")]}, "upstreams[0].environment"),
        ({"upstreams": [upstream(timeout_seconds=0)]}, "upstreams[0].timeout_seconds"),
        ({"upstreams": [upstream(credential="none")]}, "which is not there"),
        ({"upstreams": [upstream(token="x")]}, "unknown key 'token'"),
        ({"upstreams": [upstream(variables={"A": "b"})]}, "only a command has variables"),
        ({"upstreams": [upstream(credential_variable="A_TOKEN")]}, "only a command has variables"),
        ({"upstreams": [program(credential_variable="A_TOKEN")]}, "no credential to put there"),
        ({"upstreams": [program(variables={"A-B": "x"})]}, "no name for one of the variables"),
        ({"upstreams": [program(variables={"A": 1})]}, "upstreams[0].variables.A"),
        ({"upstreams": [program(variables={"A": "x\0"})]}, "upstreams[0].variables.A"),
        ({"upstreams": [program(variables={f"V{n}": "x" for n in range(33)})]}, "at most 32 variables"),
        *(
            ({"upstreams": [program(variables={name: "s3cret-value"})]}, f"{name} is a secret")
            for name in (
                "GITHUB_PERSONAL_ACCESS_TOKEN",
                "grafana_api_key",
                "TOKEN",
                "DB_PASSWORD",
                "X_APIKEY",
                "SSH_PRIVATE_KEY",
            )
        ),
    ],
)
def test_what_it_refuses_names_the_field(document, said):
    with pytest.raises(FieldError) as refused:
        parse({"version": 1, **document}, "gateway.yaml")
    assert said in refused.value.message
    assert refused.value.next_step
    assert "s3cret-value" not in refused.value.message + refused.value.next_step
