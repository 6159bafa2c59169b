"""For each published schema: its reader, and documents that together make the reader ask everything it can ask."""

from typing import Any

from config_documents import FULL, OPERATOR, edited

from bywire.config import (
    agent_policy,
    agents_config,
    contract_files,
    gateway_config,
    gateway_egress,
    operator_config,
    service_intent,
)
from bywire.gateway.contracts import CONTRACTS

PEOPLE = {"person:dana", "person:oncall"}
TOOLS = {contract.name for contract in CONTRACTS}
DIGEST = "sha256:" + "0123456789abcdef" * 4

READERS = {
    "agent-policy": lambda value: agent_policy.parse(value, "policy.yaml"),
    "agents": lambda value: agents_config.parse(value, "agents.yaml", people=PEOPLE, tools=TOOLS),
    "bywire": lambda value: service_intent.parse(value, "bywire.yaml"),
    "contract": lambda value: contract_files.parse(value, "cluster.yaml", upstream="cluster"),
    "gateway": lambda value: gateway_config.parse(value, "gateway.yaml"),
    "operator": lambda value: operator_config.parse(value, "operator.yaml"),
}

PERIODS = {"per_second": 5, "per_minute": {"tokens": 1000}, "per_hour": 20, "per_day": 100}
POLICY: dict[str, Any] = {
    "version": 1,
    "agent": "deploy-manager",
    "actions": [
        {
            "name": "deploy",
            "allowed_environments": ["staging"],
            "approval_needed": 'env == "production"',
            "allowed_images": [{"digest": DIGEST, "repository": "registry.example:5000/team/app"}],
            "max_replicas": 50,
            "max_amount": 99.5,
            "currency": "EUR",
            "otherwise": "approval",
            "parameters": {
                "a.b": {"one_of": [1, "x", True], "optional": True},
                "c": {"min": 1, "max": 2.5},
                "d": {"pattern": "v[0-9]+"},
                "e": {"equals": "x"},
                "f": {"forbidden": True},
            },
            "allowed_commands": ["kubectl get", "helm"],
            "egress": ["api.example.com", "*.example.org:8443"],
            "budgets": {**PERIODS, "per_day": {"replica_hours": 1.5, "tokens": 200_000}},
            "rate": "10/hour",
        },
        {"name": "jobs.list_jobs", "approval_needed": True},
    ],
    "budgets": {
        **PERIODS,
        "environments": dict.fromkeys(("non-production", "staging", "production"), PERIODS),
    },
    "egress": ["api.example.com:443"],
}

AGENTS: dict[str, Any] = {
    "version": 1,
    "agents": [
        {
            "id": "agent:deploy-bot",
            "owner": "person:dana",
            "pattern": "constrained-executor",
            "tools": ["deploy_release", "github.create_pull_request"],
            "environments": ["staging", "production"],
            "budgets": {"actions_per_hour": 60, "per_tool": {"deploy_release": 5}},
            "expires": "2027-01-01T00:00:00Z",
        },
        {
            "id": "agent:reader",
            "owner": "person:oncall",
            "pattern": "advisor",
            "tools": [],
            "environments": ["staging"],
        },
    ],
}

SPEC: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"image": {"type": "string"}},
}
CONTRACT: dict[str, Any] = {
    "version": 1,
    "upstream": "cluster",
    "service": "desk",
    "environment": "non-production",
    "tools": [
        {
            "name": "scale",
            "category": "environment_write",
            "risk": "low",
            "reviewed": True,
            "definition": DIGEST,
            "description": "Scales.",
            "schema": {
                "type": "object",
                "required": ["env", "replicas"],
                "additionalProperties": False,
                "properties": {
                    "env": {"type": "string"},
                    "replicas": {"type": "integer"},
                    "cmd": {"type": "string"},
                    "spec": SPEC,
                    "spec.to": SPEC,
                    "more": {"type": "object"},
                },
            },
            "idempotency": "native",
            "idempotency_key_from": "{env}:{replicas}",
            "undo": "compensatable",
            "environment_from": {"parameter": "env", "values": {"prod": "production", "dev": "non-production"}},
            "meaning": {
                **dict.fromkeys(("amount", "currency", "command", "host", "script", "text", "replaced"), "cmd"),
                "image": "spec.image",
                "replicas": "replicas",
            },
            "cost": [{"unit": "replica_hours", "parameter": "replicas", "factor": 0.0015}],
            "commands": ["kubectl"],
            "request": {
                "method": "POST",
                "path": "/scale/{env}",
                "query": ["replicas"],
                "headers": {"accept": "cmd"},
                "body": "form",
            },
            "rate_per_hour": 5,
            "deadline_seconds": 9,
            "trusted_output": True,
            "evidence": "required",
            "verify": {
                "tool": "state",
                "parameters": {"name": {"parameter": "env"}, "whole": {"value": True}},
                "expect": {
                    "json.replicas": {"equals": {"parameter": "replicas"}},
                    "json.restarts": {"at_most": {"value": 3}},
                    "json.ready": {"present": True},
                    "json.name": {"equals": {"value": "app"}},
                    "json.used": {"at_most": {"parameter": "replicas"}},
                },
            },
            "window": {"from": "env", "to": "cmd", "seconds": 3_600},
        },
        {"name": "look", "category": "read", "risk": "low", "schema": {"type": "object"}},
        {
            "name": "state",
            "category": "read",
            "risk": "low",
            "schema": {"type": "object", "required": ["name"], "properties": {"name": {}, "whole": {}}},
        },
    ],
}
_NAMED = ("accept", "accept-language", "if-match", "if-unmodified-since", "prefer", "x-github-api-version")
HEADERS: dict[str, Any] = {
    "version": 1,
    "upstream": "cluster",
    "tools": [
        {
            "name": "read",
            "category": "read",
            "risk": "low",
            "schema": {"type": "object", "properties": {name: {"type": "string"} for name in _NAMED}},
            "request": {"method": "GET", "path": "/", "headers": {name: name for name in _NAMED}},
        }
    ],
}

TENANT = "0a0a0a0a-1111-2222-3333-444444444444"
PLACE = {"ca_file": "/etc/ca.pem", "private": True}
GATEWAY: dict[str, Any] = {
    "version": 1,
    "listen": {"host": "127.0.0.1", "port": 8750, "egress_port": 8751},
    "public_url": "https://bywire.example/gate",
    "hosts": ["bywire.example:8443"],
    "limits": {name: least for name, (least, _) in gateway_config.LIMIT_BOUNDS.items()},
    "upstreams": [
        {
            "name": "shop",
            "kind": "http",
            "url": "https://api.example",
            "private": True,
            "service": "storefront",
            "environment": "staging",
            "credential": "shop",
            "timeout_seconds": 30,
        },
        {
            "name": "tools",
            "kind": "mcp",
            "command": ["server", "--stdio"],
            "credential": "tools",
            "variables": {"LOG_LEVEL": "debug"},
            "credential_variable": "TOOLS_TOKEN",
        },
    ],
    "credentials": {
        "shop": {"origin": "https://api.example", "private": True, "token_file": "/run/token"},
        "tools": {"origin": "stdio:tools", "token_env": "TOOLS"},
        "argo": [
            {"origin": "https://argo.example", "token_env": "ARGO", "environments": ["staging", "production"]},
            {
                "origin": "https://argo.example",
                "environments": ["non-production"],
                "vault": {
                    **PLACE,
                    "address": "https://vault.example:8200",
                    "token_file": "/run/vault",
                    "namespace": "team",
                    "mount": "kv",
                    "path": "ci/argo",
                    "field": "token",
                    "cache_seconds": 30,
                },
            },
        ],
        "cluster": {
            "origin": "https://k8s.example:6443",
            "kubernetes": {
                **PLACE,
                "address": "https://k8s.example:6443",
                "token_env": "SA",
                "namespace": "agents",
                "service_account": "deploy",
                "audiences": ["api"],
                "seconds": 600,
            },
        },
        "github": {
            "origin": "https://api.github.com",
            "github_app": {
                **PLACE,
                "address": "https://ghe.example",
                "app_id": "123456",
                "installation_id": 7,
                "private_key_file": "/etc/app.pem",
                "repositories": ["storefront"],
                "permissions": {"contents": "read"},
                "tools": {"github.create_pull_request": {"pull_requests": "write"}},
            },
        },
    },
    "issuers": [
        {
            "issuer": "https://token.actions.example",
            "audience": "https://bywire.example",
            "algorithms": ["ES256", "EdDSA"],
            "types": ["at+jwt", "none"],
            "jwks_url": "https://token.actions.example/jwks",
            "jwks_token_file": "/run/token",
            "ca_file": "/etc/ca.pem",
            "private": True,
            "once": True,
            "max_age_seconds": 600,
            "leeway_seconds": 0,
            "jwks_fresh_seconds": 60,
            "jwks_retry_seconds": 5,
            "jwks_stale_seconds": 0,
            "mappings": [
                {
                    "agent": "agent:fixer",
                    "claims": {
                        "repository": "acme/shop",
                        "ref": ["refs/heads/main", "refs/heads/release-*"],
                        "level": 3,
                        "email_verified": True,
                    },
                    "run": ["run_id", "/kubernetes.io/pod/uid"],
                }
            ],
        },
        {
            "issuer": "https://issuer.example",
            "jwks_file": "/etc/jwks.json",
            "mappings": [{"agent": "agent:fixer", "claims": {"sub": "s"}}],
        },
    ],
    "api_keys": {"allowed": True, "days_max": 90},
    "egress": [{"agents": ["agent:deploy"], "host": "*.example.com", "ports": [443], "private": True}],
    "egress_limits": {name: most for name, (_, most) in gateway_egress.LIMIT_BOUNDS.items()},
    "inspection": {
        "patterns": [{"kind": "customer_id", "pattern": "CUST-[0-9]{6}", "class": "pii"}],
        "internal_hosts": ["*.shop.example"],
        "kept": ["email"],
        "depth_max": 8,
        "bytes_max": 4096,
    },
    "budgets": [
        {"scope": "team:platform", "unit": "replica_hours", "per_day": 2000.5, "per_minute": 0.5, "per_second": 0.1},
        {"scope": "agent:deploy", "per_day": 0.5, "per_minute": 20, "per_second": 1},
        {"scope": "environment:production", "unit": "actions", "per_minute": 2},
    ],
    "calls": [{"scope": "agent:*", "per_second": 5, "per_minute": 60}, {"scope": "tool:jobs.restart", "per_minute": 1}],
    "refusals": [{"scope": "agent:deploy", "per_second": 50, "per_minute": 1_000}],
    "teams": {"platform": ["agent:deploy"]},
    "telemetry": {
        "otlp": {
            "url": "https://otel.example:4318",
            "private": True,
            "headers_file": "/etc/headers",
            "spans": True,
            "logs": True,
        },
        "syslog": {
            "host": "siem.example",
            "port": 6514,
            "transport": "tls",
            "private": True,
            "ca_file": "/etc/ca.pem",
            "facility": "local0",
        },
        "json_log": {"file": "/var/log/calls", "bytes_max": 65_536, "files_max": 4},
        "metrics": {"token_file": "/etc/metrics", "open": False},
        "arguments": True,
        "queue": 16,
    },
    "bundles": {"token_file": "/etc/opa-reader"},
    "channels": {
        "web": {"verdicts": True, "session_seconds": 60},
        "slack": {
            "channel": "C0OPS",
            "team": "T0BYWIRE",
            "token_env": "SLACK_TOKEN",
            "signing_secret_file": "/run/slack",
            "people": {"U0ONCALL": "person:oncall"},
            "address": "https://slack.example",
            "private": True,
        },
        "teams": {
            "url_file": "/run/teams-url",
            "secret_env": "TEAMS",
            "tenant": TENANT,
            "people": {TENANT: "person:oncall"},
            "private": True,
        },
        "webhook": {
            "url": "https://hooks.example/bywire",
            "secret_env": "OUT",
            "verdict_secret_env": "IN",
            "people": {"ines@example": "person:ines"},
            "private": True,
        },
    },
}
WAYS = ("token", "signing_secret", "url", "secret", "verdict_secret")


def otherwise(value):
    """The same with each secret found in the other way: a file for a variable, and a variable for a file."""
    if isinstance(value, list):
        return [otherwise(item) for item in value]
    if not isinstance(value, dict):
        return value
    swapped = {f"{way}_env": (f"{way}_file", f"/run/{way}") for way in WAYS}
    swapped |= {f"{way}_file": (f"{way}_env", way.upper()) for way in WAYS}
    return dict(swapped.get(key, (key, otherwise(item))) for key, item in value.items())


def listed(credentials):
    """The same with each single way to a credential in a list, and of each list its last one alone."""
    return {name: ways[-1] if isinstance(ways, list) else [ways] for name, ways in credentials.items()}


OPERATORS: dict[str, Any] = {
    **OPERATOR,
    "people": [
        {"id": "person:dana", "emails": ["Dana@Example.com"], "roles": ["service-owner"]},
        {"id": "person:oncall", "roles": ["sre-oncall", "incident-commander"]},
    ],
    "limits": {name: least for name, (least, _) in operator_config.LIMIT_BOUNDS.items()},
    "judge": {name: least for name, (least, _) in operator_config.JUDGE_BOUNDS.items()},
    "isolation": {
        "path": ["/usr/bin", "/bin"], **{name: least for name, (least, _) in operator_config.ISOLATION_BOUNDS.items()}
    },
    "gates": {
        "trivial": {"kind": "automatic", "count": 0, "roles": ["service-owner"]},
        "low": {"kind": "single", "count": 1, "roles": ["service-owner"]},
        "medium": {"kind": "scheduled", "count": 1, "roles": ["sre-oncall"]},
        "high": {"kind": "multi-signer", "count": 2, "roles": ["sre-oncall", "service-owner"]},
    },
    "tool_rates": {"set_canary_weight": 12, "jobs.restart": 3},
    "change_windows": [{"days": ["fri", "mon"], "from": "09:00", "to": "16:00", "utc_offset": "+01:00"}],
    "reminders": {
        "after_seconds": [1800, 600], "escalate_after_seconds": 2700, "escalate_to": ["incident-commander"]
    },
    "connections": [
        {
            "executor": "ci", "origin": "https://ci.example", "private": True, "token_file": "/run/ci",
            "routes": {"rerun_job": {"method": "POST", "path": "/runs/{run_id}/rerun"}},
        },
        {
            "executor": "forge", "origin": "https://forge.example", "token_env": "FORGE",
            "routes": {"get_job_logs": {"method": "GET", "path": "/jobs"}},
        },
    ],
    "witnesses": [
        {"name": "witness.example/w1", "key": "a" * 64, "directory": "/var/lib/witness"},
        {"name": "witness.example/w2", "key": "b" * 64, "url": "https://witness.example/log"},
    ],
    "witness_quorum": 2,
    "witness_lag_entries": 10,
}  # fmt: skip

DOCUMENTS: dict[str, tuple[dict[str, Any], ...]] = {
    "agent-policy": (
        POLICY,
        {"agent": "agent:a", "actions": [{"name": "open_connection", "budgets": {"per_day": 1, "per_hour": {"x": 1}}}]},
    ),
    "agents": (AGENTS,),
    "bywire": (FULL,),
    "contract": (CONTRACT, HEADERS),
    "gateway": (
        GATEWAY,
        GATEWAY | {section: otherwise(GATEWAY[section]) for section in ("credentials", "channels")},
        GATEWAY | {"credentials": listed(GATEWAY["credentials"])},
        GATEWAY | {"credentials": listed(otherwise(GATEWAY["credentials"]))},
        edited(edited(GATEWAY, ("telemetry", "json_log"), "stderr"), ("telemetry", "metrics"), {"open": True}),
    ),
    "operator": (OPERATORS,),
}
