"""Bars of deciding, with the whole knowledge base, against the raw engine on the same input in the same run.

The raw engine is the least that any caller of regorus must do: `set_input_json` with the input as ready JSON text, and
`eval_rule_as_json`, on an engine that holds the same modules and data; its answer stays unparsed text. `decide` starts
from Python values and adds the canonical form, both digests, the size and shape checks and the Decision.
Run alone: python -m bench decision
"""

import json
import statistics
import time
from importlib import resources

import msgspec
import regorus

from bench.measured import at_most, tell
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine

ACTION = "data.bywire.action.decision"
GATE = "data.bywire.gate.decision"
RATIO_MAX = 1.5
ROUNDS = 15
CALLS = 40


def _files(place, prefix=""):
    for child in place.iterdir():
        if child.is_dir():
            yield from _files(child, f"{prefix}{child.name}/")
        elif child.name.endswith((".rego", ".json")):
            yield f"{prefix}{child.name}", child.read_bytes()


BUNDLE = parse_bundle(dict(_files(resources.files("bywire") / "pkb")))


def _raw_engine(*, tests=False):
    engine = regorus.Engine()
    for module in (*BUNDLE.modules, *(BUNDLE.tests if tests else ())):
        engine.add_policy(module.path, module.source)
    engine.add_data_json(BUNDLE.data_json())
    return engine


def questions():
    """name -> (entrypoint, input): a read as the door asks it, an approved rollout, a step of its plan, a release."""
    fixtures = _raw_engine(tests=True)

    def value(name):
        return json.loads(fixtures.eval_rule_as_json(f"data.bywire.fixtures.{name}"))

    start, plan = value("start"), value("plan_digest")
    read = start | {"change": {}, "facts": {}, "action": start["action"] | _tool("get_deployment_status", "read", {})}
    read["state"] = read["state"] | {"target": {}}
    step = {"artifact": value("artifact"), "weight": 25, "segments": ["desktop"], "lease_seconds": 30}
    step = _tool("set_canary_weight", "production_orchestration", step) | {"plan": plan, "digest": value("other")}
    approved = start | {"grant": value("grant")}
    return {
        "read": (ACTION, read),
        "start_rollout": (ACTION, approved),
        "set_canary_weight": (ACTION, approved | {"action": start["action"] | step}),
        "release_gate": (GATE, value("release")),
    }


def _tool(tool, category, parameters):
    return {"tool": tool, "category": category, "parameters": parameters}


def _microseconds(call):
    call()
    began = time.process_time_ns()
    for _ in range(CALLS):
        call()
    return (time.process_time_ns() - began) / CALLS / 1000


def decision_costs():
    """CPU of `decide` against the raw engine, turn about in one run; medians over ROUNDS."""
    engine, raw = PolicyEngine(BUNDLE), _raw_engine()
    for name, (entrypoint, question) in questions().items():
        text = msgspec.json.encode(question).decode()

        def evaluate(entrypoint=entrypoint, text=text):
            raw.set_input_json(text)
            return raw.eval_rule_as_json(entrypoint)

        def decide(entrypoint=entrypoint, question=question):
            return engine.decide(entrypoint, question)

        assert decide().effect == json.loads(evaluate())["effect"] == "allow", name
        pairs = [(_microseconds(decide), _microseconds(evaluate)) for _ in range(ROUNDS)]
        decided, raw_cost = (statistics.median(column) for column in zip(*pairs, strict=True))
        yield name, decided, raw_cost, statistics.median(a / b for a, b in pairs)


def bars():
    """One bar a question."""
    for name, decided, raw_cost, ratio in decision_costs():
        tell(f"{name}: decide {decided:.0f} us, raw engine {raw_cost:.0f} us")
        yield at_most(f"decision_over_raw_engine_{name}", ratio, "ratio", RATIO_MAX)
