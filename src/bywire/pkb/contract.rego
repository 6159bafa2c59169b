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

# Hard: what the tool says of itself is no longer what was approved, or is not known.
deny contains {"rule": "contract.definition_changed", "facts": {"tool": tool, "definition": object.get(input, ["action", "connected", "definition"], null)}} if {
	concerned
	not input.action.connected.definition in {"current", "none"}
}
