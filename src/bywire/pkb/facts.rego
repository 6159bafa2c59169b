# Reading the input so that a missing or malformed part is an empty list or null, never a silently skipped rule.
package bywire.facts

at(path) := object.get(input, path, null)

list_at(path) := value if {
	value := object.get(input, path, null)
	is_array(value)
}

else := []

# Elements that are no objects are left out here and refused as malformed where the input is checked.
objects_at(path) := [element | some element in list_at(path); is_object(element)]

is_list_of_objects(path) if {
	value := object.get(input, path, null)
	is_array(value)
	every element in value {
		is_object(element)
	}
}

is_list_of_strings(path) if {
	value := object.get(input, path, null)
	is_array(value)
	every element in value {
		is_string(element)
	}
}

# An absent digest equals nothing, not even another absent one.
same_text(left, right) if {
	is_string(left)
	left != ""
	left == right
}

# A missing measurement or a missing limit is never enough.
at_least(value, bound) if {
	is_number(value)
	is_number(bound)
	value >= bound
}
