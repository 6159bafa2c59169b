"""What operators write about their agents: policies in YAML, conditions and patterns, down to the Rego made of them."""

from typing import Any

from registry import Parser, parser

SEED = b"""agent: deploy-manager
actions:
  - name: deploy
    allowed_environments: ["staging"]
    approval_needed: env == "production" and not (replicas > 10 or "kubectl" in command)
    allowed_images:
      - digest: "sha256:...approved..."
      - {digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, repository: "a.example/app"}
    max_replicas: 50
    max_amount: 99.5
    currency: EUR
    parameters:
      mode: {pattern: "v[0-9]{1,2}(?:-rc)?"}
      spec.size: {min: 1, max: 5, optional: true}
      kind: {one_of: [a, 1, true]}
      force: {forbidden: true}
    allowed_commands: [kubectl get, helm]
    egress: [api.example.com, "*.example.org:8443"]
    budgets: {per_minute: 5, per_hour: 20, per_day: {replica_hours: 1.5}}
    rate: 10/hour
budgets: {per_second: 2, per_day: {tokens: 100}, environments: {production: {per_minute: 1}}}
egress: [pypi.example:443]
"""


def compiled(bounds: Any) -> Any:
    """Whatever was understood can be compiled, and what was compiled is Rego."""
    from bywire.policy.agent_bounds import UnresolvedError, resolved
    from bywire.policy.bounds_proofs import proofs_of
    from bywire.policy.bundle import Module
    from bywire.policy.compile_bounds import compiled
    from bywire.policy.rego_syntax import parse_module

    try:
        found = resolved(bounds, ())
    except UnresolvedError:
        return None
    return parse_module(Module("a.rego", compiled(found))), parse_module(Module("a_test.rego", proofs_of(found)))


@parser("config/agent_policy.py:parse")
def _() -> Parser:
    from bywire.adapters import yaml_file
    from bywire.config import agent_policy

    return Parser(
        lambda data: compiled(yaml_file.parse(data, "p.yaml", agent_policy.parse, bytes_max=65_536, aliases_max=0)),
        (SEED,),
    )


@parser("adapters/agent_policy_file.py:parse")
def _() -> Parser:
    from bywire.adapters import agent_policy_file, yaml_file
    from bywire.config import agent_policy

    seed = yaml_file.load(SEED, "p.yaml")
    return Parser(lambda data: compiled(agent_policy_file.parse(data, "p.json", agent_policy.parse)), (seed,), "json")


@parser("config/agent_policy_actions.py:read_action")
def _() -> Parser:
    from bywire.adapters.yaml_file import load
    from bywire.config.agent_policy_actions import read_action
    from bywire.config.reading import Node

    seed = load(SEED, "p.yaml")["actions"][0]
    return Parser(lambda value: read_action(Node(value, "p.yaml"), []), (seed,), "value")


@parser("policy/condition_text.py:parse_condition")
def _() -> Parser:
    from bywire.policy.condition_text import ConditionError, parse_condition
    from bywire.policy.conditions import witness

    def call(text: str) -> Any:
        return witness(parse_condition(text), frozenset({True}), {})

    texts = ('env == "production"', "not (replicas >= 10 or given(parameters.a.b)) and currency in ['EUR', 'USD']")
    return Parser(call, texts, "text", refusals=(ConditionError,))


@parser("policy/patterns.py:parse_pattern")
def _() -> Parser:
    from bywire.policy.patterns import PatternError, parse_pattern

    texts = ("^v[0-9]+(?:-rc[1-9])?$", "[^a-z\\d\\]]{2,5}|\\w*")
    return Parser(parse_pattern, texts, "text", refusals=(PatternError,))
