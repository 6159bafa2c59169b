"""What a reader refuses and its published schema does not, one by one, with an example of each; and who judges how."""

import re
from functools import cache

import jsonschema_rs
from config_documents import schema
from schema_documents import READERS

from bywire.config.reading import FieldError

# (schema, what the reader alone says, an example): what JSON Schema cannot say, or only so that nobody could read it.
TOOL, ISSUER = ("tools", 0), ("issuers", 0)
FIRST = ("actions", 0)
EXPANDING = {
    "type": "object",
    "$defs": {
        "a0": {"type": "string"},
        **{f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n - 1}"}] * 3} for n in range(1, 12)},
    },
    "properties": {name: {"$ref": "#/$defs/a11"} for name in ("env", "replicas", "cmd")},
}
LARGE = [{"kind": f"kind_{number}", "pattern": f"{number}[a-z]{{1000}}"} for number in range(60)]
DIFFERENCES = [
    # One thing against another of the same document.
    ("agent-policy", r"is listed twice", ("actions", 1, "name"), "deploy"),
    ("agent-policy", r"min is above max", (*FIRST, "parameters", "c"), {"min": 2, "max": 1}),
    ("agent-policy", r"bounded as a whole and in its part", (*FIRST, "parameters", "a"), {"equals": 1}),
    ("agents", r"is listed twice", ("agents", 1, "id"), "agent:deploy-bot"),
    ("agents", r"unknown key '.*' in agents\[\d+\]\.budgets\.per_tool", ("agents", 0, "budgets", "per_tool"), {"x": 5}),
    ("bywire", r"a second indicator is named", ("slis", 1, "name"), "availability"),
    ("bywire", r"expected more than the step before", ("rollout", "steps"), [50, 25, 100]),
    ("contract", r"is listed twice", ("tools", 1, "name"), "scale"),
    ("contract", r"(parameter|meaning\.\w+): expected one of", (*TOOL, "meaning", "image"), "picture"),
    ("contract", r"is no closed object", (*TOOL, "meaning", "image"), "more.image"),
    ("contract", r"can be read in two ways", (*TOOL, "schema", "properties", "spec.image"), {}),
    ("contract", r"a name on the way of .* holds a dot", (*TOOL, "meaning", "image"), "spec.to.image"),
    ("contract", r"is named as a whole and in its part", (*TOOL, "meaning", "text"), "spec"),
    ("contract", r"may take other parameters", (*TOOL, "schema", "$ref"), "#/properties/spec"),
    ("contract", r"verify\.tool: expected one of", (*TOOL, "verify", "tool"), "scale"),
    ("contract", r"has no such parameter", (*TOOL, "verify", "parameters", "other"), {"value": 1}),
    ("contract", r"cluster\.state requires name", (*TOOL, "verify", "parameters"), {}),
    ("contract", r"request\.[a-z0-9.\[\]-]+: expected one of", (*TOOL, "request", "query"), ["nosuch"]),
    ("contract", r"window\.(from|to): expected one of", (*TOOL, "window", "from"), "nosuch"),
    ("contract", r"a stretch of time has two ends", (*TOOL, "window", "to"), "env"),
    ("contract", r"is not required by the schema", (*TOOL, "idempotency_key_from"), "{cmd}"),
    ("contract", r"which the schema does not require", (*TOOL, "request", "path"), "/scale/{cmd}"),
    ("contract", r"travels in two places", (*TOOL, "request", "query"), ["cmd"]),
    ("contract", r"has no body for", (*TOOL, "request"), {"method": "GET", "path": "/x/{env}", "query": ["replicas"]}),
    ("contract", r"a parameter is there twice, or there are two", (*TOOL, "request", "path"), "/{env}/{env}"),
    ("gateway", r"which is not there", ("upstreams", 0, "credential"), "none"),
    ("gateway", r"there are two upstreams", ("upstreams", 1, "name"), "shop"),
    ("gateway", r"two ways are for one environment", ("credentials", "argo", 1, "environments"), ["staging"]),
    ("gateway", r"is there twice", ("issuers", 1, "issuer"), "https://token.actions.example/"),
    ("gateway", r"is defined twice", ("inspection", "patterns"), [{"kind": "cc", "pattern": "x"}] * 2),
    ("gateway", r"has two budgets of", ("budgets",), [{"scope": "team:a", "per_day": most} for most in (1, 2)]),
    ("gateway", r"has two rates a", ("calls",), [{"scope": "agent:*", "per_minute": most} for most in (1, 2)]),
    ("gateway", r"is in \w+ already", ("teams", "other"), ["agent:deploy"]),
    ("gateway", r"signed with one secret", ("channels", "webhook", "verdict_secret_env"), "OUT"),
    ("operator", r"is listed twice", ("people", 1, "id"), "person:dana"),
    ("operator", r"already belongs to", ("people", 1, "emails"), ["dana@example.com"]),
    ("operator", r"is not one of the people", ("agents_owner",), "person:nobody"),
    ("operator", r"rollout_first_step \d+ is above rollout_ceiling", ("limits", "rollout_first_step"), 2),
    ("operator", r"intervals_min is above intervals_hold_max", ("judge", "intervals_min"), 2),
    ("operator", r"is connected twice", ("connections", 1, "executor"), "ci"),
    ("operator", r"a time after the start", ("change_windows", 0, "to"), "09:00"),
    ("operator", r"only \d+ of the people", ("gates", "high", "count"), 3),
    ("operator", r"gates\.\w+\.count: expected a whole number of persons from", ("gates", "low", "count"), 2),
    ("operator", r"a multi-signer gate says how many sign", ("gates", "high"), {"kind": "multi-signer"}),
    ("operator", r"witness_quorum: expected a whole number", ("witness_quorum",), 3),
    # What lies elsewhere: another file, a name that the file has, what bywire brings itself.
    ("agents", r"is not one of the people", ("agents", 0, "owner"), "person:mallory"),
    ("agents", r"is built in", ("agents", 0, "id"), "agent:planner"),
    ("agents", r"tools\[\d+\]: expected one of", ("agents", 0, "tools"), ["deploy_releas"]),
    ("contract", r"this file speaks for", ("upstream",), "payments"),
    ("gateway", r"is a kind of bywire's own", ("inspection", "patterns", 0, "kind"), "aws_key"),
    ("gateway", r"this host carries other connections", ("egress", 0, "host"), "x.ngrok.io"),
    ("gateway", r"is for SSH, tunnels or remote shells", ("egress", 0, "ports"), [22]),
    ("gateway", r"is a secret, and this file holds none", ("upstreams", 1, "variables"), {"API_TOKEN": "x"}),
    # A language of its own inside a text.
    ("agent-policy", r"this is no condition", (*FIRST, "approval_needed"), "env = 1"),
    ("agent-policy", r"this can never be true", (*FIRST, "approval_needed"), "replicas > 9 and replicas < 5"),
    ("agent-policy", r"this is no pattern", (*FIRST, "parameters", "d", "pattern"), "a)|(.*"),
    ("contract", r"this is no JSON Schema", (*TOOL, "schema"), {"type": "object", "properties": {"env": 7}}),
    ("contract", r"is not supported: a schema stands", (*TOOL, "schema", "$id"), "https://x.example"),
    ("contract", r"'\$ref' leads outside", (*TOOL, "schema", "properties", "env"), {"$ref": "https://x.example"}),
    (
        "contract",
        r"expands to more than",
        (
            *TOOL,
            "schema",
        ),
        EXPANDING,
    ),
    ("gateway", r"no usable RE2 pattern", ("inspection", "patterns", 0, "pattern"), "("),
    ("gateway", r"too large together", ("inspection", "patterns"), LARGE),
    ("gateway", r"public_url: expected a URL", ("public_url",), "https://x:99999"),
    ("gateway", r"this would fit too much", (*ISSUER, "mappings", 0, "claims", "ref"), "refs/heads/*"),
    ("agents", r"expected a time with its zone", ("agents", 0, "expires"), "2026-13-20T00:00:00Z"),
    ("operator", r"expected a time with its zone", ("freeze_windows", 0, "start"), "2026-13-20T00:00:00Z"),
    ("operator", r"witnesses\[\d+\]\.url: expected https", ("witnesses", 1, "url"), "http://far.example/log"),
    # A number is a number: 1.0 is 1.
    (
        "gateway",
        r"claims\.\w+: expected what the claim must be, found the number",
        (*ISSUER, "mappings", 0, "claims", "level"),
        3.0,
    ),
    ("agent-policy", r"kept to thousandths", ("budgets",), {"per_day": {"tokens": 0.0001}}),
]


@cache
def validator(name):
    return jsonschema_rs.validator_for(schema(f"{name}.schema.json"))


def refusal(name, document):
    """The reader's refusal, or None."""
    try:
        READERS[name](document)
    except FieldError as error:
        return error
    return None


def disagreement(name, document):
    """What only one of the two refuses, as it says it; empty when both judge alike, or a difference is named."""
    refused = refusal(name, document)
    if refused is None:
        return [error.message for error in validator(name).iter_errors(document)]
    if not validator(name).is_valid(document) or any(
        named == name and re.search(says, refused.message) for named, says, *_ in DIFFERENCES
    ):
        return []
    return ["the reader alone refuses: " + refused.message]
