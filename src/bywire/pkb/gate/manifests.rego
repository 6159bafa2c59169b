# Kubernetes manifests, where the service has any: isolated, pinned and without privilege.
package bywire.gate.manifests

import data.bywire.facts
import data.bywire.gate.needs

judged if needs.needed("manifests")

listed := facts.objects_at(["facts", "manifests"])

maximum := data.bywire.table.kubernetes.manifests_max

default all := []

all := listed if count(listed) <= maximum

deny contains {"rule": "gate.manifests_too_many", "facts": {"count": count(listed), "limit": maximum}} if count(listed) > maximum

workloads := [manifest |
	some manifest in all
	manifest.kind in data.bywire.table.kubernetes.workloads
]

policies := [manifest |
	some manifest in all
	manifest.kind == "NetworkPolicy"
	is_string(manifest.api_version)
	startswith(manifest.api_version, "networking.k8s.io/")
	is_object(manifest.selector)
]

value(manifest, name) := object.get(manifest, name, null)

deny contains {"rule": "gate.network_policy_missing", "facts": {"path": value(workload, "path"), "workload": value(workload, "name"), "namespace": value(workload, "namespace"), "labels": value(workload, "pod_labels")}} if {
	judged
	some workload in workloads
	not isolated(workload)
}

# An empty selector selects every pod of its namespace (networking.k8s.io/v1, podSelector).
isolated(workload) if {
	some policy in policies
	policy.namespace == workload.namespace
	is_object(workload.pod_labels)
	object.subset(workload.pod_labels, policy.selector)
}

deny contains {"rule": "gate.image_not_pinned", "facts": {"path": value(workload, "path"), "workload": value(workload, "name"), "image": image}} if {
	judged
	some workload in workloads
	has_images(workload)
	some image in workload.images
	not pinned(image)
}

pinned(image) if {
	is_string(image)
	regex.match(data.bywire.table.kubernetes.pinned, image)
}

deny contains {"rule": "gate.image_missing", "facts": {"path": value(workload, "path"), "workload": value(workload, "name")}} if {
	judged
	some workload in workloads
	not has_images(workload)
}

has_images(workload) if {
	is_array(workload.images)
	count(workload.images) > 0
}

deny contains {"rule": "gate.run_as_root", "facts": {"path": value(workload, "path"), "workload": value(workload, "name")}} if {
	judged
	some workload in workloads
	value(workload, "run_as_non_root") != true
}

deny contains {"rule": "gate.privileged", "facts": {"path": value(workload, "path"), "workload": value(workload, "name")}} if {
	judged
	some workload in workloads
	value(workload, "privileged") != false
}

known_kinds := array.concat(data.bywire.table.kubernetes.workloads, data.bywire.table.kubernetes.others)

# What cannot be judged does not ship with what was judged.
deny contains {"rule": "gate.manifest_unknown", "facts": {"path": value(manifest, "path"), "kind": value(manifest, "kind")}} if {
	judged
	some manifest in all
	not value(manifest, "kind") in known_kinds
}
