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

# The lists of a change that almost every question turns on.
default paths_told := false

paths_told if {
	is_array(input.change.paths)
	every path in input.change.paths {
		is_string(path)
	}
}

default authors_told := false

authors_told if {
	is_array(input.change.authors)
	every author in input.change.authors {
		is_string(author)
	}
}

default patch_authors_told := false

patch_authors_told if {
	is_array(input.change.patch_authors)
	every author in input.change.patch_authors {
		is_string(author)
	}
}

default migrations_told := false

migrations_told if {
	is_array(input.change.migrations)
	every migration in input.change.migrations {
		is_object(migration)
	}
}

default manifests_told := false

manifests_told if is_list_of_objects(["facts", "manifests"])

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

# Nor is a missing time ever early enough.
before(now, end) if {
	is_number(now)
	is_number(end)
	now < end
}
