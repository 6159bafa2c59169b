"""`egress` of gateway.yaml and `request` of contracts: what may be listed, and that the rest is refused by name."""

import pytest

from bywire.config.contract_request import read_request
from bywire.config.gateway_egress import LIMIT_BOUNDS, read_egress, read_egress_limits
from bywire.config.reading import Node
from bywire.model.errors import ConfigError
from bywire.model.gateway_egress import EgressLimits, EgressRule

RULE = {"agents": ["agent:deploy"], "host": "api.example.com", "ports": [443]}


def read(**changes):
    return read_egress(Node([{**RULE, **changes}], "gateway.yaml"))


def test_a_rule_is_read():
    assert read(host="*.example.com", private=True) == (
        EgressRule(("agent:deploy",), "*.example.com", (443,), private=True),
    )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "::1",
        "[::1]",
        "10.1",
        "0x7f000001",
        "*.0.0.1",
        "API.example.com",
        "api.example.com.",
        "*",
        "*.com",
        "*.",
        "a.*.example.com",
        "**.example.com",
        "a*.example.com",
        "http://api.example.com",
        "api.example.com:443",
        "api.example.com/x",
        "x.ngrok.io",
        "*.ngrok.io",
        "ssh.github.com",
        "a_b.example",
        "",
        "\u0430pi.example",
    ],
)
def test_what_must_not_be_listed_is_refused(host):
    with pytest.raises(ConfigError, match=r"gateway\.yaml: \[0\]\.host"):
        read(host=host)


@pytest.mark.parametrize("ports", [[], [0], [65536], [22], [2222], [1080], [53], ["443"], [443, 443], "443", [True]])
def test_ports_are_written_out_and_none_is_for_tunnels(ports):
    with pytest.raises(ConfigError, match="ports"):
        read(ports=ports)


@pytest.mark.parametrize("agents", [[], ["*"], ["agent:*"], ["person:dana"], ["agent:x", "agent:x"], "agent:x"])
def test_agents_are_named(agents):
    with pytest.raises(ConfigError, match="agents"):
        read(agents=agents)


def test_limits_have_bounds_and_defaults_within_them():
    for name, (least, most) in LIMIT_BOUNDS.items():
        assert least <= getattr(EgressLimits(), name) <= most
        with pytest.raises(ConfigError, match=name):
            read_egress_limits(Node({name: most + 1}, "gateway.yaml"))
    assert set(LIMIT_BOUNDS) == set(EgressLimits.__struct_fields__)
    assert read_egress_limits(Node({"idle_seconds": 7}, "gateway.yaml")).idle_seconds == 7


SCHEMA = {"properties": {"a": {}, "b": {}, "c": {}}, "required": ["a"]}


def request(**changes):
    said = {"method": "POST", "path": "/x/{a}", "query": ["b"], "headers": {"accept": "c"}, **changes}
    return read_request(Node(said, "contracts/shop.yaml"), SCHEMA)


@pytest.mark.parametrize(
    ("schema", "allowed"),
    [
        ({}, False),
        ({"type": "string"}, False),
        (True, False),
        ({"pattern": "^[0-9]+$"}, False),
        ({"pattern": "[0-9]+"}, False),
        ({"pattern": "[^/]+"}, False),
        ({"pattern": "^[0-9]+|x/y$"}, False),
        ({"pattern": "^[a-z/]+"}, False),
        ({"pattern": "^[a-z/]+\\$"}, False),
        ({"pattern": "^[A-Za-z0-9._/-]+$"}, True),
    ],
)
def test_a_parameter_of_one_segment_holds_slashes_only_by_a_pattern_over_its_whole_value(schema, allowed):
    known = {"properties": {"a": schema}, "required": ["a"]}
    read = read_request(Node({"method": "GET", "path": "/x/{a}"}, "contracts/shop.yaml"), known)
    assert read.with_slashes == (("a",) if allowed else ())


def test_a_request_is_read():
    assert request().headers == {"accept": "c"}
    assert request(body="form").body == "form"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"path": "/x/{b}", "query": []}, "does not require"),
        ({"path": "/x/{z}"}, "does not require"),
        ({"path": "x"}, "cannot be matched"),
        ({"path": "/x/{a}.json"}, "cannot be matched"),
        ({"query": ["a"]}, "two places"),
        ({"query": ["c"]}, "two places"),
        ({"query": ["z"]}, "one of"),
        ({"headers": {"authorization": "c"}}, "unknown key"),
        ({"headers": {"host": "c"}}, "unknown key"),
        ({"headers": {"x-http-method-override": "c"}}, "unknown key"),
        ({"headers": {"cookie": "c"}}, "unknown key"),
        ({"method": "GET", "query": []}, "has no body"),
        ({"method": "TRACE"}, "one of"),
        ({"body": "multipart"}, "one of"),
    ],
)
def test_a_request_that_cannot_be_made_is_refused(changes, what):
    with pytest.raises(ConfigError, match=what):
        request(**changes)
