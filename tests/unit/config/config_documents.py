"""Documents that several tests of the config room start from."""

import copy
import json
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).parents[3] / "src" / "bywire" / "schema"

FULL: dict[str, Any] = {
    "version": 1,
    "service": "storefront",
    "owners": ["payments"],
    "dependencies": ["card-network"],
    "commands": {
        "build": {"run": ["python", "-m", "compileall", "-q", "storefront"], "timeout_seconds": 60},
        "lint": {"run": ["python", "-m", "compileall", "-q", "storefront"], "timeout_seconds": 60},
        "test": {
            "run": ["python", "-m", "pytest", "--junitxml=reports/junit.xml"],
            "timeout_seconds": 120,
            "junit": "reports/junit.xml",
            "coverage": "reports/coverage.json",
        },
        "evaluate": {"run": ["python", "-m", "storefront.evaluate"], "timeout_seconds": 60},
        "start": {
            "run": ["python", "-m", "storefront"],
            "ready": "/healthz",
            "ready_timeout_seconds": 20,
            "port_env": "PORT",
        },
        "warm": {"path": "/internal/warm", "timeout_seconds": 20},
    },
    "artifact": {"include": ["storefront/**", "assets/**"]},
    "manifests": "deploy/",
    "assets": ["assets/assistant.json"],
    "slis": [
        {"name": "availability", "kind": "errors", "objective": 0.999},
        {"name": "latency", "kind": "slow", "threshold_ms": 300, "objective": 0.99},
    ],
    "segments": {"header": "x-client-segment", "values": ["desktop", "ios", "android", "mobile-web"]},
    "rollout": {"steps": [5, 25, 50, 100]},
}

OPERATOR: dict[str, Any] = {
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
    "limits": {"coverage_changed_lines": 0.9, "rollout_first_step": 1},
    "judge": {"alpha": 0.01},
    "isolation": {"path": ["/usr/bin"], "processes": 64},
    "freeze_windows": [{"start": "2026-12-20T00:00:00Z", "end": "2027-01-02T00:00:00+01:00"}],
}

MANIFEST: dict[str, Any] = {
    "version": 1,
    "name": "assistant",
    "assets": [
        {"name": "assistant-prompt", "kind": "prompt", "path": "assets/prompt.txt"},
        {"name": "assistant-dataset", "kind": "dataset", "path": "assets/intents.jsonl"},
        {
            "name": "assistant-adapter",
            "kind": "adapter",
            "path": "assets/adapter.json",
            "produced_by": {"run": ["python", "-m", "train"], "output": "assets/adapter.json", "timeout_seconds": 60},
            "materials": ["assistant-prompt", "assistant-dataset"],
        },
    ],
}

MISSING = object()


def edited(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """A copy of `document` with the value at `path` replaced, added, or (MISSING) removed."""
    copied = copy.deepcopy(document)
    place: Any = copied
    for part in path[:-1]:
        place = place[part]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copied


def schema(name: str) -> dict[str, Any]:
    """A published JSON Schema of the package."""
    return json.loads((SCHEMAS / name).read_text())
