"""What the parameters of a connected tool mean and cost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.gateway.connected import AMOUNT_MAX, MEANINGS, NUMBER_MAX, costs, host_of, meaning, number
from bywire.gateway.contract import ContractError
from bywire.model.connected import Cost, CostRule

WORDS = {word: (word[:1],) for word in ("image", "replicas", "amount", "currency", "host")} | {"command": ("m",)}


def meant(**parameters):
    found = meaning(WORDS, "staging", parameters, lambda text: text)
    assert found.pop("environment") == "staging"
    return found


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, {"images": [], "hosts": [], "command": []}),
        ({"i": "a@sha256:1"}, {"images": ["a@sha256:1"], "hosts": [], "command": []}),
        ({"i": ["a", "b"]}, {"images": ["a", "b"], "hosts": [], "command": []}),
        ({"r": 3, "a": "0.10", "c": "usd"}, {"replicas": 3, "amount": 0.1, "currency": "USD"}),
        ({"r": 3.0, "a": 10.0}, {"replicas": 3, "amount": 10}),
        ({"m": "kubectl get 'a b'"}, {"command": ["kubectl", "get", "a b"]}),
        ({"m": ["kubectl", "get"]}, {"command": ["kubectl", "get"]}),
        ({"c": "usd", "h": "a.example"}, {"currency": "USD", "hosts": ["a.example"]}),
        ({"i": ["a"] * 64}, {"images": ["a"] * 64}),
        ({"a": NUMBER_MAX}, {"amount": NUMBER_MAX}),
    ],
)
def test_what_parameters_mean(parameters, found):
    seen = meant(**parameters)
    assert {name: seen[name] for name in found} == found
    assert set(seen) <= {"images", "hosts", "endpoints", "command", *found}


@pytest.mark.parametrize(
    "parameters",
    [
        {"i": 3},
        {"i": {"image": "a"}},
        {"i": ["a", 3]},
        {"i": ["a"] * 65},
        {"r": 1.5},
        {"r": -1},
        {"r": True},
        {"r": "two"},
        {"a": "1,000"},
        {"a": NUMBER_MAX + 1},
        {"a": float("nan")},
        {"a": 10**400},
        {"a": "-5"},
        {"a": "\u0661"},
        {"a": [5]},
        {"c": 5},
        {"m": "echo 'open"},
        {"m": 5},
        {"h": ""},
        {"h": "a b"},
        {"h": "http://[::1"},
        {"h": "evil.example\\@good.example"},
        {"h": "evil.example/@good.example"},
        {"h": "evil.example?@good.example"},
        {"h": "evil.example#@good.example"},
        {"h": "evil.example @good.example"},
        {"h": "evil.example\t@good.example"},
        {"h": "evil.example:22@good.example"},
        {"h": "a@evil.example@good.example"},
        {"h": "evil.example/path"},
        {"h": "https:/evil.example"},
        {"h": "https:evil.example"},
        {"h": "https:///evil.example"},
        {"h": "//evil.example"},
        {"h": "fe80::1"},
        {"h": "evil.example/://good.example"},
        {"h": "https://evil.example/@good.example"},
        {"h": "https://evil.example?@good.example"},
        {"h": "https://evil.example#@good.example"},
        {"h": "https://good.example@evil.example/x"},
        {"h": "https://evil.example\\@good.example"},
        {"h": "https://good.example\n.evil.example/"},
        {"h": "https://good.example/a b"},
        {"h": "https://\u212aube.example/"},
    ],
)
def test_what_cannot_be_read_as_the_contract_says_is_refused(parameters):
    with pytest.raises(ContractError):
        meant(**parameters)


@pytest.mark.parametrize("word", ["script", "text", "replaced"])
def test_what_is_only_kept_or_run_as_it_stands_means_nothing_and_hides_nothing(word):
    named = {word: ("s",), "host": ("h",)}
    found = meaning(named, "staging", {"s": "x", "h": "a.example"}, lambda text: text)
    assert found == {"environment": "staging", "hosts": ["a.example"], "endpoints": []}


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("example.com:22", "example.com"),
        ("git@example.com", "example.com"),
        ("https://good.example/x?to=https://other.example#y", "good.example"),
        ("ssh://host.example:2222", "host.example"),
        ("[::1]:8080", "::1"),
        ("ssh://git@host.example:2222/x", "host.example"),
        ("git@host.example:acme/x", "host.example"),
        ("http://169.254.169.254/latest", "169.254.169.254"),
        ("http://[::1]:8080/", "::1"),
    ],
)
def test_where_a_host_leads(text, host):
    assert host_of(text, "h") == host


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("api.example.com", []),
        ("api.example.com:22", ["api.example.com:22"]),
        ("http://api.example.com:22/", ["api.example.com:22"]),
        ("HTTPS://API.example.com./x", ["api.example.com:443"]),
        ("http://api.example.com", ["api.example.com:80"]),
        ("http://api.example.com:/", ["api.example.com:80"]),
        ("ssh://git@api.example.com/x", ["api.example.com:22"]),
        ("git@api.example.com:acme/x", ["api.example.com:22"]),
        ("git@api.example.com:443/x", ["api.example.com:?"]),
        ("git@api.example.com:443", ["api.example.com:?"]),
        ("git@api.example.com:22/x", ["api.example.com:22"]),
        ("git@api.example.com", []),
        ("gopher://api.example.com/", ["api.example.com:?"]),
        ("http://api.example.com:x/", ["api.example.com:?"]),
        ("https://api.example.com:99999/", ["api.example.com:?"]),
        (["https://a.example", "b.example", "c.example:1"], ["a.example:443", "c.example:1"]),
    ],
)
def test_a_host_keeps_the_port_that_it_leads_to(text, endpoints):
    assert meant(h=text)["endpoints"] == endpoints


def test_costs_are_added_by_unit_and_rounded_up():
    rules = (CostRule("hours", 24_000, ("r",)), CostRule("tokens", 5), CostRule("hours", 1))
    assert costs(rules, {"r": "1.5"}, 2) == (Cost("hours", 36_001), Cost("tokens", 2_005))
    assert costs((CostRule("x", 1, ("r",)),), {"r": 0.0001}, 0) == (Cost("x", 1),)
    assert costs((), {}, 0) == ()


def test_a_cost_has_an_upper_end():
    assert costs((CostRule("x", 1, ("r",)),), {"r": AMOUNT_MAX}, 0) == (Cost("x", AMOUNT_MAX),)
    for rules in ((CostRule("x", 2, ("r",)),), (CostRule("x", 1, ("r",)), CostRule("x", 1))):
        with pytest.raises(ContractError, match="too large"):
            costs(rules, {"r": AMOUNT_MAX}, 0)


@pytest.mark.parametrize(
    ("rules", "named"),
    [((CostRule("hours", 2, ("r",)),), "r"), ((CostRule("hours", AMOUNT_MAX), CostRule("hours", 1)), "hours")],
)
def test_what_costs_too_much_is_named_as_the_caller_knows_it(rules, named):
    with pytest.raises(ContractError) as caught:
        costs(rules, {"r": AMOUNT_MAX}, 0)
    assert caught.value.message == f"{named} is too large"


@given(st.one_of(st.integers(), st.floats(), st.text(max_size=12), st.booleans(), st.none()))
def test_a_number_is_never_negative_or_beyond_measure(value):
    try:
        found = number(value, "p")
    except ContractError:
        return
    assert 0 <= found <= NUMBER_MAX
    assert found == Decimal(str(value))


@given(st.decimals(0, 10**6, places=3), st.integers(0, 10**6))
def test_a_cost_is_never_less_than_it_is(value, factor):
    (found,) = costs((CostRule("x", factor, ("r",)),), {"r": str(value)}, 0)
    assert value * factor <= found.amount < value * factor + 1


@pytest.mark.parametrize(
    ("scheme", "port"),
    [
        ("http", "80"),
        ("https", "443"),
        ("ws", "80"),
        ("wss", "443"),
        ("git", "9418"),
        ("ftp", "21"),
        ("ssh", "22"),
        ("git+ssh", "22"),
        ("ssh+git", "22"),
        ("sftp", "22"),
        ("WSS", "443"),
        ("gopher", "?"),
    ],
)
def test_an_address_without_a_port_leads_to_that_of_its_scheme(scheme, port):
    assert meant(h=f"{scheme}://a.example/x")["endpoints"] == [f"a.example:{port}"]
    assert meant(h=f"{scheme}://a.example:8443/x")["endpoints"] == ["a.example:8443"]


def test_what_a_parameter_may_mean_and_how_much_a_number_may_be():
    assert set(MEANINGS) == {*WORDS, "script", "text", "replaced"}
    assert (NUMBER_MAX, AMOUNT_MAX) == (1_000_000_000_000_000, 1_000_000_000_000)
