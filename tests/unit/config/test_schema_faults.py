"""The published JSON Schemas and the readers judge alike, fault for fault.

What a reader accepts its schema accepts, always. What a reader refuses its schema refuses, too, unless the refusal is
one of `schema_differences.DIFFERENCES`.
"""

import re

import pytest
from config_documents import edited, schema
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_questions import value_at
from schema_differences import DIFFERENCES, FIRST, ISSUER, TOOL, disagreement, refusal, validator
from schema_documents import DOCUMENTS, READERS
from schema_places import places
from schema_variations import asked_at, variants

from bywire.config.gateway_issuers import REPOSITORIES, TENANTS, WHERE
from bywire.identity.registration import BUILT_IN
from bywire.model.windows import PERIOD_MS

NAMES = sorted(READERS)
GATEWAY = DOCUMENTS["gateway"][0]
KUBERNETES = GATEWAY["credentials"]["cluster"]["kubernetes"]
# (path of a section, its key that leads to another host, the section without `private`).
NOT_PRIVATE = [
    (path, key, {name: value for name, value in value_at(GATEWAY, path).items() if name != "private"})
    for path, key in (
        (("credentials", "shop"), "origin"),
        (("credentials", "argo", 1, "vault"), "address"),
        (("credentials", "cluster", "kubernetes"), "address"),
        (("credentials", "github", "github_app"), "address"),
        (("issuers", 0), "jwks_url"),
        (("telemetry", "otlp"), "url"),
        (("channels", "slack"), "address"),
        (("channels", "webhook"), "url"),
    )
]


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_and_its_reader_accept_and_refuse_the_same(name):
    wrong = []
    count = 0
    for question, document in variants(name):
        count += 1
        wrong += [(".".join(map(str, question.path)), question.kind, said) for said in disagreement(name, document)]
    assert wrong == []
    assert count > 300


@pytest.mark.parametrize(("name", "says", "path", "value"), DIFFERENCES)
def test_a_difference_is_one(name, says, path, value):
    document = edited(DOCUMENTS[name][0], path, value)
    refused = refusal(name, document)
    assert refused is not None
    assert re.search(says, refused.message)
    validator(name).validate(document)


# Both refuse, where a difference that is named stands near.
@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("gateway", ("public_url",), "ftp://bywire.example"),
        ("gateway", ("public_url",), "https://by wire.example"),
        ("gateway", (*ISSUER, "mappings", 0, "claims", "level"), 1.5),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"ref": "refs/heads/main"}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"client_id": "app"}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"repository": "acme/shop"}),
        *(("gateway", (*ISSUER, "mappings", 0, "claims"), {name: "acme"}) for name in REPOSITORIES),
        *(("gateway", (*ISSUER, "mappings", 0, "claims"), {name: "acme*", "ref": "main"}) for name in TENANTS),
        *(("gateway", (*ISSUER, "mappings", 0, "agent"), name) for name in BUILT_IN),
        *(("gateway", path, {**told, address: "http://a.example"}) for path, address, told in NOT_PRIVATE),
        *(
            ("gateway", path, {**told, address: "http://a.example", "private": False})
            for path, address, told in NOT_PRIVATE
        ),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"sub": "*"}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"sub": ["s", "s*"]}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"sub": "s", "no name": "x"}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {f"claim{n}": "x" for n in range(16)} | {"sub": "s"}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"email": "a@b.example"}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"email": "a@b.example", "email_verified": [True, False]}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"sub": "s", "ref_protected": []}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"sub": "s", "ref_protected": [True, "false"]}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"sub": "s", "ref_protected": ["true", "true"]}),
        ("gateway", ("issuers", 1, "ca_file"), "/etc/ca.pem"),
        ("gateway", ("issuers", 1, "jwks_token_file"), "/run/token"),
        ("gateway", ("issuers", 0, "jwks_file"), "/etc/jwks.json"),
        ("gateway", ("channels", "webhook", "verdict_secret_file"), "/run/in"),
        ("gateway", ("bundles",), {}),
        ("gateway", ("bundles", "token_file"), "opa-reader"),
        ("gateway", ("bundles", "open"), True),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"repository": "acme/shop", "ref_protected": False}),
        ("gateway", ("credentials", "shop"), {"origin": "http://api.example", "token_env": "A"}),
        ("gateway", ("credentials", "tools"), {"origin": "stdio:tools", "kubernetes": KUBERNETES}),
        ("gateway", ("credentials", "forge"), {"origin": "https://api.example", "token_env": "A"}),
        ("gateway", ("upstreams", 0, "command"), ["x"]),
        ("gateway", ("upstreams", 1), {"name": "x", "kind": "http", "command": ["x"]}),
        ("gateway", ("upstreams", 0, "variables"), {"A": "b"}),
        ("gateway", ("egress", 0, "host"), "10.0.0.1"),
        ("gateway", ("egress", 0, "host"), "a." * 126 + "bc"),
        ("gateway", ("hosts",), [f"a{n}.example" for n in range(33)]),
        ("gateway", ("budgets", 1, "per_minute"), 1.5),
        ("gateway", ("budgets", 2, "per_minute"), 1.5),
        ("gateway", ("budgets", 1), {"scope": "agent:deploy"}),
        ("gateway", ("calls", 0, "scope"), "team:a"),
        ("gateway", ("calls", 0), {"scope": "agent:*"}),
        ("gateway", ("refusals",), "unlimited"),
        ("gateway", ("refusals", 0, "per_minute"), 0),
        ("gateway", ("telemetry", "otlp"), {"url": "https://otel.example", "spans": False}),
        ("gateway", ("telemetry", "syslog"), {"host": "siem.example", "transport": "udp"}),
        ("gateway", ("telemetry", "syslog"), {"host": "a", "transport": "udp", "private": True, "ca_file": "/x"}),
        ("gateway", ("telemetry", "metrics"), {"open": True, "token_file": "/x"}),
        ("gateway", ("telemetry", "metrics"), {}),
        ("contract", (*TOOL, "category"), "read"),
        ("contract", (*TOOL, "meaning"), {"image": "cmd"}),
        ("contract", (*TOOL, "schema"), {"properties": {}}),
        ("contract", (*TOOL, "schema"), {"type": "array"}),
        ("contract", (*TOOL, "schema"), []),
        ("contract", ("tools", 1, "schema"), {"type": "object", "required": "x"}),
        ("contract", ("tools", 1, "schema"), {"type": "object", "required": [1]}),
        ("contract", ("tools", 1, "schema"), {"type": "object", "required": ["x", "x"]}),
        ("contract", ("tools", 1, "schema"), {"type": "object", "properties": []}),
        ("contract", ("tools", 1, "schema"), {"type": "object", "additionalProperties": 7}),
        ("contract", (*TOOL, "request", "path"), "/scale/{env}/" + "a" * 500),
        ("contract", (*TOOL, "request", "path"), "/scale/{env}" + "/a" * 31),
        ("contract", (*TOOL, "environment_from", "values"), []),
        ("contract", (*TOOL, "environment_from", "values"), {"a" * 1_025: "production"}),
        ("contract", (*TOOL, "environment_from", "values"), {"a\0": "production"}),
        ("contract", (*TOOL, "schema", "additionalProperties"), True),
        ("contract", (*TOOL, "schema", "patternProperties"), {"^e": {}}),
        ("contract", (*TOOL, "request", "path"), "/a/../b"),
        ("contract", (*TOOL, "request", "path"), "/x/{env}.json"),
        ("contract", (*TOOL, "cost", 0, "unit"), "actions"),
        ("contract", (*TOOL, "environment_from", "values"), {"": "production"}),
        ("contract", (*TOOL, "environment_from", "values"), {f"v{n}": "production" for n in range(65)}),
        ("agent-policy", ("actions", 1, "name"), "open_connection"),
        ("agent-policy", (*FIRST, "egress"), ["api.example.com:65536"]),
        ("agent-policy", (*FIRST, "egress"), ["0x7f000001"]),
        ("agent-policy", (*FIRST, "budgets"), {"per_day": {}}),
        ("agent-policy", ("budgets",), {"environments": {}}),
        ("agent-policy", ("budgets",), {"environments": {"staging": {}}, "per_day": 1}),
        ("agent-policy", ("agent",), "release_test"),
        ("agent-policy", (*FIRST, "parameters", "e"), {"equals": 1, "pattern": "x"}),
        ("agent-policy", (*FIRST, "parameters", "e"), {"forbidden": True, "optional": True}),
        ("operator", ("tool_rates",), {"*": 1}),
        ("operator", ("connections", 0, "token_env"), "TOKEN"),
    ],
)
def test_what_a_schema_can_say_it_says(name, path, value):
    document = edited(DOCUMENTS[name][0], path, value)
    assert refusal(name, document) is not None
    assert not validator(name).is_valid(document)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("gateway", ("telemetry", "otlp"), {"url": "https://otel.example", "logs": False}),
        ("gateway", ("telemetry", "syslog"), {"host": "a", "transport": "udp", "private": True}),
        ("gateway", ("telemetry", "syslog"), {"host": "a", "ca_file": "/x"}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"repository": "acme", "sub": "repo:acme"}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"client_id": "app", "sub": ["s", "t"]}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"sub": "s", "ref_protected": [True, "true"]}),
        ("gateway", (*ISSUER, "mappings", 0, "claims"), {"email": "a@b.example", "email_verified": [True]}),
        *(("gateway", (*ISSUER, "mappings", 0, "claims"), {"project_id": "7", name: "x"}) for name in WHERE[2:]),
        *(
            ("gateway", path, {**told, address: "http://a.example", "private": True})
            for path, address, told in NOT_PRIVATE
        ),
        ("contract", (*TOOL, "environment_from", "values"), {f"v{n}": "production" for n in range(64)}),
        ("contract", (*TOOL, "request", "path"), "/scale/{env}/" + "a" * 499),
        ("contract", (*TOOL, "request", "path"), "/scale/{env}" + "/a" * 30),
        ("contract", (*TOOL, "environment_from", "values"), {"a" * 1_024: "production"}),
        ("contract", ("tools", 1, "schema"), {"type": "object", "additionalProperties": True, "required": []}),
        ("contract", ("tools", 1, "schema"), {"type": "object", "patternProperties": {"^x": {}}}),
        ("contract", (*TOOL, "schema", "$schema"), "http://json-schema.org/draft-07/schema#"),
        ("agent-policy", (*FIRST, "egress"), ["api.example.com:65535", "0.example"]),
        ("agent-policy", ("budgets",), {"per_day": 1}),
        *(("agent-policy", (*FIRST, "rate"), f"10 per {period}") for period in PERIOD_MS),
        ("gateway", ("egress", 0, "host"), "a." * 126 + "b"),
        ("agent-policy", (*FIRST, "budgets"), {"per_day": {}, "per_hour": 1}),
    ],
)
def test_what_a_reader_takes_its_schema_takes(name, path, value):
    document = edited(DOCUMENTS[name][0], path, value)
    assert refusal(name, document) is None
    validator(name).validate(document)


KEYS = sorted(
    {key for name in NAMES for place in places(schema(f"{name}.schema.json")).values() for key in place["known"]}
)
SCALARS = st.none() | st.booleans() | st.integers(-5, 70_000) | st.floats(-2, 1e7) | st.sampled_from(
    ["", "a", "x.y", "/x", "agent:a", "person:dana", "https://a.example", "http://a.example", "production", "read", "A"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_written_anywhere_is_judged_alike(data):
    name = data.draw(st.sampled_from(NAMES))
    document, question = data.draw(st.sampled_from(asked_at(name)))
    assert disagreement(name, edited(document, question.path, data.draw(ANYTHING))) == []


# Engines differ on which other characters are blanks: U+001C to U+001F, U+0085 and U+FEFF.
LATIN = st.characters(max_codepoint=0x24F, exclude_characters="\x1c\x1d\x1e\x1f\x85")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_texts_that_a_reader_takes_and_texts_next_to_them_are_judged_alike(data):
    name = data.draw(st.sampled_from(NAMES))
    texts = [(document, one) for document, one in asked_at(name) if one.kind == "text" and one.bounds["pattern"]]
    document, question = data.draw(st.sampled_from(texts))
    text = data.draw(st.from_regex(re.compile(question.bounds["pattern"]), fullmatch=True, alphabet=LATIN))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(LATIN) + text[at + data.draw(st.integers(0, 2)) :]
    assert disagreement(name, edited(document, question.path, text)) == []
