"""The shipped knowledge base as files, and the questions of its own fixtures: Rego and Python tests ask the same."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import regorus

from bywire.policy.bundle import Bundle, parse_bundle

ROOT = Path(__file__).parents[3] / "src" / "bywire" / "pkb"
ACTION = "data.bywire.action.decision"
GATE = "data.bywire.gate.decision"


@cache
def files() -> dict[str, bytes]:
    return {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in ROOT.rglob("*") if p.suffix in {".rego", ".json"}}


@cache
def bundle() -> Bundle:
    return parse_bundle(files())


@cache
def _engine() -> Any:
    engine = regorus.Engine()
    for module in (*bundle().modules, *bundle().tests):
        engine.add_policy(module.path, module.source)
    engine.add_data_json(bundle().data_json())
    return engine


def evaluate(rule: str, question: dict[str, Any]) -> Any:
    """What regorus says a rule is for a question."""
    _engine().set_input_json(json.dumps(question))
    return json.loads(_engine().eval_rule_as_json(rule))


@cache
def _fixture(name: str) -> str:
    return str(_engine().eval_rule_as_json(f"data.bywire.fixtures.{name}"))


def fixture(name: str) -> Any:
    """A value from fixtures_test.rego."""
    return json.loads(_fixture(name))


def merged(question: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """`question` with parts replaced, deep."""
    result = copy.deepcopy(question)
    for key, value in changed.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if nested else value
    return result


def asking(tool: str, category: str, parameters: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The door's question about a tool, asked by the release controller in production."""
    question = fixture("start")
    question["action"] |= {"tool": tool, "category": category, "parameters": parameters, "plan": fixture("plan_digest")}
    question["action"]["digest"] = fixture("other")
    return merged(question, changed)
