"""A bundle of a few lines that may decide, with its proofs, and the ways in which a candidate may be bad."""

import json

ENTRY = "data.bywire.a.decision"

RULES = """package bywire.a

default decision := {
	"effect": "deny",
	"reasons": [{"rule": "a.undecided", "facts": {}, "hard": false}],
	"obligations": [],
	"tier": "low",
	"required": {},
}

decision := {"effect": "deny", "reasons": reasons, "obligations": [], "tier": "low", "required": {}} if {
	count(denials) > 0
}

else := {
	"effect": "allow",
	"reasons": [{"rule": "a.allowed", "facts": {}, "hard": false}],
	"obligations": [],
	"tier": "low",
	"required": {},
} if input.go

reasons := [object.union(denial, {"hard": false}) | some denial in denials]

denials contains {"rule": "a.too_many", "facts": {"count": input.count, "limit": limit}} if {
	limit := data.bywire.table.limits.count
	input.count > limit
}
"""

TESTS = """package bywire.a_test

import data.bywire.a

rules(question) := {reason.rule | some reason in a.decision.reasons with input as question}

test_fires_a_undecided if rules({}) == {"a.undecided"}
test_quiet_a_undecided if not "a.undecided" in rules({"go": true})
test_fires_a_allowed if rules({"go": true}) == {"a.allowed"}
test_quiet_a_allowed if not "a.allowed" in rules({"go": true, "count": 11})
test_fires_a_too_many if rules({"go": true, "count": 11}) == {"a.too_many"}
test_quiet_a_too_many if not "a.too_many" in rules({"go": true, "count": 10})
"""

DISPATCH = """
denials contains denial if some denial in data.bywire.agents[trim_prefix(input.principal.id, "agent:")].deny
"""

AGENT = """package bywire.agents["web-1"]

deny contains {"rule": "agents.web-1.evening", "facts": {"hour": input.hour}} if input.hour > 17
"""

AGENT_TESTS = """package bywire.agents_test["web-1"]

rules(question) := {denial.rule | some denial in data.bywire.agents["web-1"].deny with input as question}

test_fires_agents_web_1_evening if rules({"hour": 18}) == {"agents.web-1.evening"}
test_quiet_agents_web_1_evening if rules({"hour": 17}) == set()
"""


def manifest(revision=1):
    return json.dumps({"revision": revision, "input_version": 1, "entrypoints": [ENTRY]}).encode()


def small(revision=1, limit=10, **more):
    """The files of a bundle that is fit; `more` maps names (`a_rego` for `a.rego`) to other texts."""
    files = {
        "manifest.json": manifest(revision),
        "a.rego": RULES.encode(),
        "a_test.rego": TESTS.encode(),
        "table/limits.json": json.dumps({"count": limit}).encode(),
        "messages.json": b"{}",
    }
    return files | {name.replace("__", "/").replace("_rego", ".rego"): text.encode() for name, text in more.items()}


def with_agent(revision=1):
    """The same with an agent's own policy."""
    own = {"agents/web-1.rego": AGENT.encode(), "agents/web-1_test.rego": AGENT_TESTS.encode()}
    return small(revision, a_rego=RULES + DISPATCH) | own


def keep(files, directory):
    """Write a bundle into a directory."""
    for name, data in files.items():
        place = directory / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return directory
