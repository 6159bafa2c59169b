"""What people and tools write into repositories: configuration, manifests, reports, lock files, artifacts."""

from collections.abc import Callable
from typing import Any

from registry import Parser, parser

from bywire.seal.digest import sha256_hex

# --- configuration ---


INTENT = {
    "version": 1,
    "service": "storefront",
    "owners": ["payments"],
    "dependencies": ["card-network"],
    "commands": {
        "build": {"run": ["python", "-m", "compileall"], "timeout_seconds": 60},
        "test": {"run": ["pytest"], "timeout_seconds": 120, "junit": "r/junit.xml", "coverage": "r/c.json"},
        "start": {"run": ["python", "-m", "s"], "ready": "/healthz", "ready_timeout_seconds": 20, "port_env": "PORT"},
        "warm": {"path": "/internal/warm", "timeout_seconds": 20},
    },
    "artifact": {"include": ["storefront/**"]},
    "manifests": "deploy/",
    "assets": ["assets/assistant.json"],
    "slis": [{"name": "latency", "kind": "slow", "threshold_ms": 300, "objective": 0.99}],
    "segments": {"header": "x-client-segment", "values": ["ios"]},
    "rollout": {"steps": [5, 25, 50, 100]},
}
OPERATOR = {
    "version": 1,
    "service": "storefront",
    "environment": "production",
    "base_branch": "main",
    "criticality": "payment",
    "tier_floor": "medium",
    "agents_owner": "person:dana",
    "people": [
        {"id": "person:dana", "emails": ["Dana@Example.com"], "roles": ["service-owner"]},
        {"id": "person:oncall", "roles": ["sre-oncall"]},
    ],
    "limits": {"coverage_changed_lines": 0.9},
    "judge": {"alpha": 0.01},
    "isolation": {"path": ["/usr/bin"], "processes": 64},
    "freeze_windows": [{"start": "2026-12-20T00:00:00Z", "end": "2027-01-02T00:00:00+01:00"}],
    "gates": {"high": {"kind": "multi-signer", "count": 2}, "low": {"kind": "single", "roles": ["sre-oncall"]}},
    "tool_rates": {"set_canary_weight": 60},
    "change_windows": [{"days": ["mon", "tue"], "from": "09:00", "to": "17:00", "utc_offset": "+01:00"}],
    "reminders": {"after_seconds": [600], "escalate_after_seconds": 900, "escalate_to": ["sre-oncall"]},
    "witnesses": [{"name": "w.example/1", "key": "a" * 64, "url": "https://w.example/log"}],
    "witness_quorum": 1,
}
MANIFEST = {
    "version": 1,
    "name": "assistant",
    "assets": [
        {"name": "prompt", "kind": "prompt", "path": "assets/prompt.txt"},
        {
            "name": "adapter",
            "kind": "adapter",
            "path": "assets/adapter.json",
            "produced_by": {"run": ["train"], "output": "assets/adapter.json", "timeout_seconds": 60},
            "materials": ["prompt"],
        },
    ],
}


@parser("config/service_intent.py:parse")
def _() -> Parser:
    from bywire.config import service_intent

    return Parser(lambda value: service_intent.parse(value, "bywire.yaml"), (INTENT,), "value")


@parser("config/service_intent.py:parse_branch")
def _() -> Parser:
    from bywire.config import service_intent

    return Parser(lambda value: service_intent.parse_branch(value, "bywire.yaml"), (INTENT,), "value")


@parser("config/service_intent.py:read_branch")
def _() -> Parser:
    from bywire.config import service_intent

    base = service_intent.parse(INTENT, "bywire.yaml")
    return Parser(lambda value: service_intent.read_branch(base, value, "bywire.yaml"), (INTENT,), "value")


@parser("config/operator_config.py:parse")
def _() -> Parser:
    from bywire.config import operator_config

    return Parser(lambda value: operator_config.parse(value, "operator.yaml"), (OPERATOR,), "value")


@parser("config/agents_config.py:parse")
def _() -> Parser:
    from bywire.config import agents_config

    agent = {
        "id": "agent:deputy",
        "owner": "person:dana",
        "pattern": "constrained-executor",
        "tools": ["set_canary_weight"],
        "environments": ["production"],
    }
    people, tools = ("person:dana",), ("set_canary_weight",)
    return Parser(
        lambda value: agents_config.parse(value, "agents.yaml", people=people, tools=tools),
        ({"version": 1, "agents": [agent]},),
        "value",
    )


@parser("config/agents_config.py:parse_agent")
def _() -> Parser:
    from bywire.config import agents_config

    agent = {
        "id": "agent:deputy",
        "owner": "person:dana",
        "pattern": "constrained-executor",
        "tools": ["set_canary_weight"],
        "environments": ["production"],
        "budgets": {"actions_per_hour": 5},
    }
    return Parser(
        lambda value: agents_config.parse_agent(value, "a", people=("person:dana",), tools=("set_canary_weight",)),
        (agent,),
        "value",
    )


@parser("config/asset_manifest.py:parse")
def _() -> Parser:
    from bywire.config import asset_manifest

    return Parser(lambda value: asset_manifest.parse(value, "a.json"), (MANIFEST,), "value")


@parser("config/json_document.py:load")
def _() -> Parser:
    from bywire.config import json_document

    return Parser(lambda raw: json_document.load(raw, "a.json"), (MANIFEST,), "json")


YAML = b"""version: 1
names: [a, "b", 'c']
nested:
  - key: value  # said
    number: 0x10
  - |
    text
when: 2026-01-05T10:00:00Z
"""


@parser("adapters/yaml_file.py:load")
def _() -> Parser:
    from bywire.adapters import yaml_file

    return Parser(lambda raw: yaml_file.load(raw, "a.yaml"), (YAML,))


@parser("adapters/yaml_file.py:load_documents")
def _() -> Parser:
    from bywire.adapters import yaml_file

    return Parser(lambda raw: yaml_file.load_documents(raw, "a.yaml"), (YAML + b"---\nkind: Pod\n---\n",))


@parser("adapters/yaml_file.py:parse")
def _() -> Parser:
    from bywire.adapters import yaml_file
    from bywire.config import service_intent

    return Parser(lambda raw: yaml_file.parse(raw, "bywire.yaml", service_intent.parse), (INTENT,), "json")


@parser("adapters/documents.py:ServiceDocuments.manifests")
def _() -> Parser:
    from bywire.adapters.documents import ServiceDocuments

    pod = b"kind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{image: a}]}}}\n"
    return Parser(lambda raw: ServiceDocuments().manifests(raw, "a.yaml"), (pod, YAML))


@parser("adapters/documents.py:ServiceDocuments.assets")
def _() -> Parser:
    from bywire.adapters.documents import ServiceDocuments

    return Parser(lambda raw: ServiceDocuments().assets(raw, "a.json"), (MANIFEST,), "json")


# --- evidence ---


JUNIT = b"""<?xml version="1.0"?><testsuites tests="9"><testsuite name="s" failures="0">
<testcase classname="tests.test_quotes" name="test_property_rounding[1]"/>
<testcase classname="t" name="slow"><failure message="x">boom</failure></testcase>
<testcase name="b"><skipped/></testcase>
</testsuite></testsuites>"""
LCOV = b"TN:\nSF:/work/tree/app/quotes.py\nDA:1,1\nDA:2,3\nDA:5,1,hash\nDA:6,0\nend_of_record\n"
COBERTURA = b"""<?xml version="1.0"?><coverage><sources><source>/work/tree/app</source></sources><packages>
<package><classes>
<class filename="quotes.py"><lines><line number="1" hits="1"/><line number="6" hits="0"/></lines></class></classes>
</package></packages></coverage>"""


@parser("evidence/junit.py:parse")
def _() -> Parser:
    from bywire.evidence import junit

    return Parser(junit.parse, (JUNIT,))


@parser("evidence/coverage.py:parse")
def _() -> Parser:
    from bywire.evidence import coverage

    return Parser(lambda raw: coverage.parse(raw, "c.lcov", "/work/tree"), (LCOV,))


@parser("evidence/coverage.py:parse (xml)")
def _() -> Parser:
    from bywire.evidence import coverage

    return Parser(lambda raw: coverage.parse(raw, "c.xml", "/work/tree"), (COBERTURA,))


@parser("evidence/coverage.py:parse (json)")
def _() -> Parser:
    from bywire.evidence import coverage

    report = {"meta": {}, "files": {"app/q.py": {"executed_lines": [1, 2], "missing_lines": [6], "summary": {}}}}
    return Parser(lambda raw: coverage.parse(raw, "c.json", "/work/tree"), (report,), "json")


LOCKS = {
    "requirements.txt": b"flask==3.0.0 --hash=sha256:" + b"a" * 64 + b"\n# said\nclick>=8 ; python_version>'3'\n-e .\n",
    "poetry.lock": b'[[package]]\nname = "a"\nversion = "1"\nfiles = [{file="a.whl", hash="sha256:00"}]\n',
    "package-lock.json": b'{"lockfileVersion":3,"packages":{"":{},"node_modules/@s/a":{"version":"1","integrity":'
    b'"sha512-AAAA","license":"MIT"}}}',
    "go.sum": b"example.com/a v1.0.0 h1:AAAA=\nexample.com/a v1.0.0/go.mod h1:AAAA=\n",
    "Cargo.lock": b'[[package]]\nname = "a"\nversion = "1.0.0"\nchecksum = "00"\n',
}


def _lock(path: str) -> Callable[[], Parser]:
    def build() -> Parser:
        from bywire.evidence.lock_files import dependencies

        return Parser(lambda raw: dependencies({path: raw}), (LOCKS[path],))

    return build


for _path in LOCKS:
    parser(f"evidence/lock_files.py:dependencies ({_path})")(_lock(_path))


DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "n"},
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"image": "x:1", "securityContext": {"runAsNonRoot": True}}]},
        }
    },
}
NETWORK_POLICY = {
    "kind": "NetworkPolicy",
    "metadata": {"name": "p"},
    "spec": {
        "podSelector": {
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
        },
        "policyTypes": ["Egress"],
        "egress": [],
    },
}


@parser("evidence/manifests.py:facts_of")
def _() -> Parser:
    from bywire.evidence.manifests import ManifestDocument, facts_of

    def call(value: Any) -> Any:
        return facts_of([ManifestDocument("deploy/a.yaml", value)])

    return Parser(
        call,
        (DEPLOYMENT, NETWORK_POLICY, {"kind": "List", "items": [DEPLOYMENT, NETWORK_POLICY]}),
        "value",
    )


@parser("evidence/sbom_completeness.py:facts_of")
def _() -> Parser:
    from bywire.evidence.sbom_completeness import facts_of

    component = {
        "type": "library",
        "bom-ref": "b",
        "name": "n",
        "version": "1",
        "purl": "pkg:pypi/n@1",
        "hashes": [{"alg": "SHA-256", "content": "a" * 64}],
        "licenses": [{"license": {"id": "MIT"}}],
        "supplier": {"name": "s"},
    }
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {"component": {**component, "bom-ref": "r"}, "timestamp": "2026-01-01T00:00:00Z"},
        "components": [component],
        "dependencies": [{"ref": "r", "dependsOn": ["b"]}],
    }
    return Parser(
        lambda value: facts_of(value if isinstance(value, dict) else {"x": value}, "a" * 64),
        (bom,),
        "value",
    )


@parser("evidence/artifact.py:unpack")
def _() -> Parser:
    from bywire.evidence.artifact import ArtifactFile, pack, unpack

    data = pack("web", [ArtifactFile("a/b.py", False, b"x = 1\n"), ArtifactFile("run", True, b"#!/bin/sh\n")])
    return Parser(lambda raw: unpack(raw, sha256_hex(raw)), (data,))
