# What was found in a connected tool's parameters: kinds and places, never values. A built-in tool's schema leaves no room.
package bywire.inspect

import data.bywire.facts

concerned if data.bywire.capability.connected

tool := data.bywire.capability.tool

table := data.bywire.table.findings

writes if data.bywire.capability.category != "read"

default told := false

told if {
	is_array(input.action.findings)
	every finding in input.action.findings {
		is_string(finding.parameter)
		is_string(finding.kind)
		finding["class"] in table.classes
	}
}

# What is not said to be uncertain is certain.
of_class(class) := [finding |
	some finding in facts.objects_at(["action", "findings"])
	object.get(finding, "class", null) == class
	object.get(finding, "certain", true) != false
]

# A secret goes into no parameter of a write; credentials are the gateway's to inject.
deny contains {"rule": "inspect.secret", "facts": {"tool": tool, "parameter": finding.parameter, "kind": finding.kind}} if {
	writes
	some finding in of_class("secret")
}

deny contains {"rule": "inspect.encoded", "facts": {"tool": tool, "parameter": finding.parameter, "kind": finding.kind}} if {
	some finding in of_class("encoded")
}

deny contains {"rule": "inspect.shell", "facts": {"tool": tool, "parameter": finding.parameter, "kind": finding.kind}} if {
	some finding in of_class("shell")
}

deny contains {"rule": "inspect.path", "facts": {"tool": tool, "parameter": finding.parameter, "kind": finding.kind}} if {
	some finding in of_class("path")
}

deny contains {"rule": "inspect.host", "facts": {"tool": tool, "parameter": finding.parameter, "kind": finding.kind}} if {
	some finding in of_class("host")
}

deny contains {"rule": "inspect.size", "facts": {"tool": tool, "parameter": finding.parameter, "kind": finding.kind}} if {
	some finding in of_class("size")
}

# What only looks like one of these is for a person to see before it is written anywhere.
notes contains {"rule": "inspect.uncertain", "facts": {"tool": tool, "parameter": finding.parameter, "kind": finding.kind}} if {
	concerned
	writes
	some finding in facts.objects_at(["action", "findings"])
	finding.certain == false
	not finding["class"] in table.masked
}

default doubtful := false

doubtful if count(notes) > 0

# Personal data is taken out instead of refused, and so is a secret from a question.
reasons contains {"rule": "inspect.masked", "facts": {"tool": tool, "parameter": finding.parameter, "kind": finding.kind}} if {
	concerned
	some class in table.masked
	some finding in of_class(class)
}

reasons contains {"rule": "inspect.masked", "facts": {"tool": tool, "parameter": finding.parameter, "kind": finding.kind}} if {
	concerned
	not writes
	some finding in of_class("secret")
}

obligations := [{"kind": "mask", "parameter": parameter, "because": "inspect.masked"} | some parameter in places]

places := {reason.facts.parameter | some reason in reasons}
