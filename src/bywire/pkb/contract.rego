# What a connected tool's contract is worth: a person has looked at it, and the tool is still the one they looked at.
package bywire.contract

concerned if data.bywire.capability.connected

tool := data.bywire.capability.tool

default unreviewed := false

unreviewed if {
	concerned
	not input.action.connected.reviewed == true
}

deny contains {"rule": "contract.unreviewed", "facts": {"tool": tool, "upstream": upstream, "category": data.bywire.capability.category}} if {
	unreviewed
	upstream := object.get(input, ["action", "connected", "upstream"], null)
}

# Nobody has said what it does, so a person is asked as for the worst that it may be.
approval contains {"rule": "contract.unclassified", "facts": {"tool": tool, "environment": data.bywire.capability.environment, "upstream": upstream}} if {
	unreviewed
	data.bywire.capability.category == "unknown_write"
	upstream := object.get(input, ["action", "connected", "upstream"], null)
}

# An answer of a tool that nobody knows is untrusted text, too: what a session does after it is signed for apart.
approval contains {"rule": "contract.tainted", "facts": {"tool": tool, "environment": data.bywire.capability.environment, "upstream": upstream}} if {
	unreviewed
	data.bywire.capability.category == "unknown_write"
	data.bywire.approval.risky_taint
	upstream := object.get(input, ["action", "connected", "upstream"], null)
}

# Hard: what the tool says of itself is no longer what was approved, or is not known.
deny contains {"rule": "contract.definition_changed", "facts": {"tool": tool, "definition": object.get(input, ["action", "connected", "definition"], null)}} if {
	concerned
	not input.action.connected.definition in {"current", "none"}
}

# The contract says that a call rests on a statement of the ledger; the door looked for the ones that it names.
deny contains {"rule": "contract.evidence_missing", "facts": {"tool": tool, "named": named}} if {
	concerned
	not object.get(input, ["action", "connected", "evidence"], "recorded") == "recorded"
	named := count(data.bywire.facts.list_at(["action", "evidence"]))
}
