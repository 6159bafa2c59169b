"""Recourse: a correct policy for each bare workload and no more, commands for evidence, people for the rest."""

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bywire.evidence.manifests import ManifestDocument, facts_of
from bywire.model.decision import Decision, Effect, Reason
from bywire.model.errors import EvidenceError
from bywire.recourse.synthesis import NETWORK_POLICY_MISSING, confirm, patched_facts, synthesise


def workload(name, labels, path="deploy/web.yaml", namespace="shop", ports=()):
    pod = {"containers": [{"image": "x", "ports": [{"containerPort": port} for port in ports]}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    metadata = {"name": name, "namespace": namespace}
    value = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}
    return ManifestDocument(path, value)


def service(selector, *ports, namespace="shop"):
    spec = {"selector": selector, "ports": list(ports)}
    return ManifestDocument("deploy/s.yaml", {"kind": "Service", "metadata": {"namespace": namespace}, "spec": spec})


def facts(documents, assets=()):
    return {"manifests": [msgspec.to_builtins(item) for item in facts_of(documents)], "assets": list(assets)}


def gate(given_facts):
    """The rule as the knowledge base states it: some policy of the namespace selects the pod's labels."""
    policies = [
        item
        for item in given_facts["manifests"]
        if item["kind"] == "NetworkPolicy" and item["api_version"].startswith("networking.k8s.io/")
    ]
    bare = [
        item
        for item in given_facts["manifests"]
        if item["kind"] == "Deployment"
        and not any(
            policy["namespace"] == item["namespace"] and policy["selector"].items() <= item["pod_labels"].items()
            for policy in policies
        )
    ]
    return deny(
        *(
            (
                NETWORK_POLICY_MISSING,
                {
                    "path": item["path"],
                    "workload": item["name"],
                    "namespace": item["namespace"],
                    "labels": item["pod_labels"],
                },
            )
            for item in bare
        )
    )


def deny(*reasons):
    return Decision(
        id="d1",
        effect=Effect.DENY if reasons else Effect.ALLOW,
        reasons=tuple(Reason(rule, found) for rule, found in reasons),
        obligations=(),
        engine="",
        bundle_digest="",
        entrypoint="",
        input_digest="",
    )


def parse(data, source):
    return list(yaml.safe_load_all(data))


def nothing(path):
    return None


WEB = workload("web", {"app": "web", "part-of": "shop"}, ports=[8080])
CACHE = workload("cache", {"app": "cache", "part-of": "shop"}, "deploy/cache.yaml", ports=[6379])


def answer(*documents, read_file=nothing):
    found = facts(documents)
    return synthesise(gate(found), found, documents, read_file)


def test_the_policy_isolates_exactly_the_workload_and_lets_the_service_in_on_its_ports():
    target = service({"app": "cache"}, {"port": 6379, "targetPort": "redis"}, {"port": 53, "protocol": "UDP"})
    (web, cache) = sorted(answer(WEB, CACHE, target).patches, key=lambda patch: "cache" in patch.path)
    assert cache.path == "deploy/cache-network-policy.yaml"
    assert yaml.safe_load(cache.content) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "cache", "namespace": "shop"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "cache", "part-of": "shop"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {"part-of": "shop"}}}],
                    "ports": [{"protocol": "TCP", "port": "redis"}, {"protocol": "UDP", "port": 53}],
                }
            ],
        },
    }
    assert yaml.safe_load(web.content)["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8080}]


def test_without_shared_labels_each_workload_is_named_as_a_caller():
    lone = workload("lone", {"app": "lone"}, ports=[80])
    (patch, _) = answer(lone, workload("web", {"app": "web"}, "deploy/w.yaml", ports=[1])).patches
    peers = yaml.safe_load(patch.content)["spec"]["ingress"][0]["from"]
    assert [peer["podSelector"]["matchLabels"]["app"] for peer in peers] == ["lone", "web"]


def test_without_ports_nothing_may_reach_it():
    (patch,) = answer(workload("job", {"app": "job"})).patches
    assert "ingress" not in yaml.safe_load(patch.content)["spec"]
    assert "nothing may reach it" in patch.explanation


labels = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy1"), min_size=1, max_size=3)
workloads = st.lists(st.tuples(labels, st.sampled_from(["shop", "pay"])), min_size=1, max_size=4)


@given(workloads)
def test_the_patches_clear_the_deny_and_every_one_of_them_is_needed(items):
    documents = [
        workload(f"w{index}", item, f"deploy/{index}.yaml", namespace, [80])
        for index, (item, namespace) in enumerate(items)
    ]
    found = facts(documents)
    recourse = synthesise(gate(found), found, documents, nothing)
    assert not recourse.unsupported
    assert gate(patched_facts(found, recourse.patches, parse)).effect is Effect.ALLOW
    for left_out in recourse.patches:
        rest = [patch for patch in recourse.patches if patch is not left_out]
        assert gate(patched_facts(found, rest, parse)).effect is Effect.DENY


@pytest.mark.parametrize(
    "path",
    [("apiVersion",), ("kind",), ("metadata", "namespace"), ("spec", "podSelector"), ("spec",)],
)
def test_every_part_that_isolates_is_needed(path):
    (patch,) = answer(CACHE).patches
    value = yaml.safe_load(patch.content)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    maimed = msgspec.structs.replace(patch, content=yaml.safe_dump(value).encode())
    assert gate(patched_facts(facts([CACHE]), [maimed], parse)).effect is Effect.DENY


def test_existing_files_and_policy_names_are_never_overwritten():
    other = ManifestDocument(
        "deploy/np.yaml",
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "cache", "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": {"app": "other"}}},
        },
    )
    taken = {"deploy/cache-network-policy.yaml": b"x"}
    (patch,) = answer(CACHE, other, read_file=taken.get).patches
    assert patch.path == "deploy/cache-network-policy-2.yaml"
    assert yaml.safe_load(patch.content)["metadata"]["name"] == "cache-2"


@pytest.mark.parametrize(
    "path", [".github/workflows/web.yaml", "deploy/policy/web.yaml", "deploy/../x.yaml", "evidence/w.yaml"]
)
def test_rule_21_a_reason_cannot_lead_a_patch_out_of_desired_state(path):
    with pytest.raises(EvidenceError) as caught:
        answer(workload("web", {"app": "web"}, path))
    assert caught.value.code == "recourse_path_refused"


def test_a_workload_without_labels_needs_a_person():
    recourse = answer(workload("bare", {}))
    assert (recourse.patches, [item.rule for item in recourse.unsupported]) == ((), [NETWORK_POLICY_MISSING])


ADAPTER = {"name": "adapter", "kind": "adapter", "path": "assets/a.json", "digest": "", "provenance": None}


def test_rule_21_stale_and_missing_asset_provenance_become_the_producers_command_once():
    decision = deny(
        ("gate.asset_provenance_stale", {"asset": "adapter"}), ("gate.asset_provenance_missing", {"asset": "adapter"})
    )
    recourse = synthesise(decision, facts([], [ADAPTER]), [], nothing)
    assert [(step.argv, step.who) for step in recourse.commands] == [
        (("bywire", "assets", "attest", "adapter"), "the asset's producer")
    ]
    assert recourse.patches == ()


def test_an_asset_name_from_a_reason_is_never_put_into_a_command_unless_it_is_known():
    decision = deny(("gate.asset_provenance_stale", {"asset": "--config=/tmp/x"}))
    recourse = synthesise(decision, facts([], [ADAPTER]), [], nothing)
    assert (recourse.commands, len(recourse.unsupported)) == ((), 1)


def test_other_reasons_say_what_a_person_must_do():
    recourse = synthesise(deny(("gate.tests_failed", {}), ("gate.new_rule", {})), facts([]), [], nothing)
    assert [item.rule for item in recourse.unsupported] == ["gate.new_rule", "gate.tests_failed"]
    assert all(item.todo for item in recourse.unsupported)


def test_an_allow_has_no_recourse():
    recourse = synthesise(deny(), facts([]), [], nothing)
    assert (recourse.patches, recourse.commands, recourse.unsupported) == ((), (), ())


def test_confirmation_uses_the_real_decision_and_drops_patches_that_do_not_help():
    documents = (CACHE,)
    found = facts(documents)
    decision = gate(found)
    recourse = synthesise(decision, found, documents, nothing)
    good = confirm(recourse, decision, found, parse, gate)
    assert (good.cleared, good.remaining, len(good.patches)) == ((NETWORK_POLICY_MISSING,), (), 1)
    useless = confirm(recourse, decision, found, parse, lambda _facts: decision)
    assert (useless.patches, useless.cleared, useless.remaining) == ((), (), (NETWORK_POLICY_MISSING,))
    assert useless.unsupported


def test_the_statement_form_carries_digest_and_text():
    (patch,) = answer(CACHE).as_json()["patches"]
    assert set(patch) == {"path", "sha256", "content", "rule", "explanation"}
    assert answer(CACHE) == answer(CACHE)


def test_other_namespaces_lend_neither_callers_nor_ports():
    elsewhere = workload("web", {"app": "web", "part-of": "other"}, "deploy/o.yaml", "pay", [1])
    foreign = service({"app": "cache"}, {"port": 99}, namespace="pay")
    patch = next(patch for patch in answer(WEB, CACHE, elsewhere, foreign).patches if "cache" in patch.path)
    assert yaml.safe_load(patch.content)["spec"]["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {"part-of": "shop"}}}],
            "ports": [{"protocol": "TCP", "port": 6379}],
        }
    ]
