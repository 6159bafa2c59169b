# Where a connection leads (seed 003): to listed hosts by name, never to an address, this network or a tunnel.
package bywire.egress

table := data.bywire.table.egress

opens if data.bywire.capability.category == "egress"

given := object.get(input, ["action", "destination"], {})

default concerned := false

concerned if opens

concerned if {
	data.bywire.capability.connected
	given != {}
}

host := object.get(input, ["action", "destination", "host"], null)

port := object.get(input, ["action", "destination", "port"], null)

class := object.get(input, ["action", "destination", "address_class"], null)

default told := false

told if {
	is_string(host)
	host != ""
	is_number(port)
	class in table.classes
	is_boolean(input.action.destination.listed)
}

listed if input.action.destination.listed == true

# Hard: whoever reaches these addresses is given the machine's credentials.
deny contains {"rule": "egress.metadata", "facts": {"host": host, "port": port}} if class == "metadata"

deny contains {"rule": "egress.raw_address", "facts": {"host": host, "port": port}} if class == "raw"

deny contains {"rule": "egress.private", "facts": {"host": host, "port": port, "address_class": class}} if {
	class in table["private"]
	not listed
}

deny contains {"rule": "egress.tunnel", "facts": {"host": host, "port": port}} if {
	tunnels
	not listed
}

tunnels if port in table.tunnel_ports

tunnels if object.get(input, ["action", "destination", "tunnel"], false) != false

deny contains {"rule": "egress.not_listed", "facts": {"host": host, "port": port, "principal": data.bywire.principal.id}} if not listed
