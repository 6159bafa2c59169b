"""Facts of Kubernetes documents: complete, and closed where they cannot carry the meaning."""

import pytest

from bywire.evidence.manifests import UNSELECTABLE, ManifestDocument, facts_of
from bywire.model.errors import EvidenceError

POD = {"containers": [{"name": "c", "image": "x:1"}], "securityContext": {"runAsNonRoot": True}}


def deployment(name="web", labels=None, spec=None, kind="Deployment"):
    template = {"metadata": {"labels": {"app": name} if labels is None else labels}, "spec": spec or POD}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {"template": template}}


def policy(**spec):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec}


def one(value):
    (facts,) = facts_of([ManifestDocument("deploy/a.yaml", value)])
    return facts


def test_a_workload_is_read_with_defaults():
    facts = one(deployment())
    assert (facts.namespace, facts.pod_labels, facts.images) == ("default", {"app": "web"}, ["x:1"])
    assert facts.run_as_non_root
    assert not facts.privileged


@pytest.mark.parametrize(
    ("containers", "non_root", "privileged"),
    [
        ([{"image": "a"}, {"image": "b", "securityContext": {"runAsNonRoot": False}}], False, False),
        ([{"image": "a", "securityContext": {"privileged": True}}], True, True),
        ([{"image": "a", "securityContext": {"runAsNonRoot": "true"}}], False, False),
    ],
)
def test_the_worst_container_speaks_for_the_pod(containers, non_root, privileged):
    facts = one(deployment(spec={**POD, "containers": containers}))
    assert (facts.run_as_non_root, facts.privileged) == (non_root, privileged)


def test_init_containers_and_cron_jobs_and_lists_are_not_overlooked():
    job = {
        "kind": "CronJob",
        "metadata": {"name": "j"},
        "spec": {
            "jobTemplate": {"spec": {"template": {"metadata": {}, "spec": {**POD, "initContainers": [{"image": "i"}]}}}}
        },
    }
    nested = {"kind": "List", "items": [{"kind": "DeploymentList", "items": [deployment()]}, job]}
    facts = facts_of([ManifestDocument("a.yaml", nested)])
    assert [(item.kind, item.images) for item in facts] == [("CronJob", ["i", "x:1"]), ("Deployment", ["x:1"])]


def test_unknown_kinds_yield_facts_so_that_policy_can_refuse_them():
    assert [one(value).kind for value in (deployment(kind="Rollout"), {"kind": "ClusterRole"}, {"resources": []})] == [
        "Rollout",
        "ClusterRole",
        "",
    ]


@pytest.mark.parametrize(
    ("spec", "selector"),
    [
        ({"podSelector": {"matchLabels": {"app": "web"}}}, {"app": "web"}),
        ({"podSelector": {}}, {}),
        ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}}, {"app": "web"}),
        ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}, {UNSELECTABLE: ""}),
        ({"podSelector": {}, "policyTypes": ["Egress"]}, {UNSELECTABLE: ""}),
        ({"podSelector": {}, "ingress": [{}]}, {UNSELECTABLE: ""}),
        ({}, {UNSELECTABLE: ""}),
    ],
)
def test_a_policy_selects_no_more_than_it_isolates(spec, selector):
    assert one(policy(**spec)).selector == selector


@pytest.mark.parametrize(
    "value", [["x"], "x", deployment(spec={"containers": []}), deployment(spec={"containers": "x"})]
)
def test_what_is_no_manifest_is_refused_with_its_file(value):
    with pytest.raises(EvidenceError, match=r"deploy/a\.yaml") as caught:
        one(value)
    assert caught.value.code == "manifest_invalid"
