"""Kubernetes documents reduced to the few facts the gate asks about.

Every object yields facts, `List` items and custom kinds included, so that policy can refuse what it does not know.
Where facts cannot carry the meaning they fail closed: a NetworkPolicy that isolates less than its labels say selects
nothing here.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from bywire.model.errors import EvidenceError
from bywire.model.json_value import JsonObject

DOCUMENTS_MAX = 2_000
LIST_DEPTH_MAX = 4
UNSELECTABLE = "bywire.dev/!selects-nothing"  # `!` cannot occur in a label key, so no pod carries it
_FIX = "correct the manifest; `kubectl apply --dry-run=client -f FILE` names the field"


class ManifestDocument(msgspec.Struct, frozen=True):
    """One parsed document of a manifest file; `path` is relative to the repository root."""

    path: str
    value: Any


class ManifestFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object as the policy input (version 1) spells it; the pod fields of what runs no pod are neutral.

    For a NetworkPolicy `selector` is its podSelector, for a workload its own.
    """

    path: str
    api_version: str
    kind: str
    namespace: str
    name: str
    pod_labels: dict[str, str]
    selector: dict[str, str]
    run_as_non_root: bool
    privileged: bool
    images: list[str]


def facts_of(documents: Iterable[ManifestDocument]) -> tuple[ManifestFacts, ...]:
    """The facts of every object in `documents`, sorted by path, kind, namespace and name.

    Raises EvidenceError `manifest_invalid` naming the file.
    """
    found = [_facts(path, value) for path, value in flattened(documents)]
    return tuple(sorted(found, key=lambda item: (item.path, item.kind, item.namespace, item.name)))


def flattened(documents: Iterable[ManifestDocument]) -> Iterator[tuple[str, JsonObject]]:
    """Every object, `List` items included, as (path, object). Raises EvidenceError `manifest_invalid`."""
    count = 0
    for document in documents:
        for value in _items(document.path, document.value, 0):
            count += 1
            if count > DOCUMENTS_MAX:
                raise _invalid(document.path, f"more than {DOCUMENTS_MAX} objects")
            yield document.path, value


def pod_template(value: JsonObject) -> JsonObject | None:
    """The pod (metadata and spec) that an object runs, or None when it runs none."""
    spec = _mapping(value.get("spec"))
    if value.get("kind") == "Pod":
        return value
    if value.get("kind") == "CronJob":
        spec = _mapping(_mapping(spec.get("jobTemplate")).get("spec"))
    template = spec.get("template")
    return template if isinstance(template, dict) and "containers" in _mapping(template.get("spec")) else None


def namespace_of(value: JsonObject) -> str:
    """The namespace an object names, `default` when it names none."""
    return str(_mapping(value.get("metadata")).get("namespace") or "default")


def name_of(value: JsonObject) -> str:
    """metadata.name, or empty."""
    return str(_mapping(value.get("metadata")).get("name") or "")


def labels_of(value: JsonObject) -> dict[str, str]:
    """metadata.labels as text."""
    return _labels(_mapping(value.get("metadata")).get("labels"))


def _items(path: str, value: Any, depth: int) -> Iterator[JsonObject]:
    if value is None:
        return
    if not isinstance(value, dict):
        raise _invalid(path, "a document is not an object")
    items = value.get("items")
    if not str(value.get("kind")).endswith("List") or not isinstance(items, list):
        yield value
        return
    if depth >= LIST_DEPTH_MAX:
        raise _invalid(path, "lists nest too deeply")
    for item in items:
        yield from _items(path, item, depth + 1)


def _facts(path: str, value: JsonObject) -> ManifestFacts:
    template = pod_template(value) or {}
    pod = _mapping(template.get("spec"))
    containers = _containers(path, pod) if template else []
    spec = _mapping(value.get("spec"))
    policy = value.get("kind") == "NetworkPolicy"
    return ManifestFacts(
        path=path,
        api_version=str(value.get("apiVersion") or ""),
        kind=str(value.get("kind") or ""),
        namespace=namespace_of(value),
        name=name_of(value),
        pod_labels=labels_of(template),
        selector=_policy_selector(spec) if policy else _labels(_mapping(spec.get("selector")).get("matchLabels")),
        run_as_non_root=all(_runs_as_non_root(pod, container) for container in containers),
        privileged=any(_mapping(item.get("securityContext")).get("privileged") is True for item in containers),
        images=sorted({str(item.get("image") or "") for item in containers}),
    )


def _containers(path: str, pod: JsonObject) -> Sequence[JsonObject]:
    found = []
    for key in ("containers", "initContainers", "ephemeralContainers"):
        items = pod.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise _invalid(path, f"spec.{key} is not a list of containers")
        found += items
    if not found:
        raise _invalid(path, "a pod without containers")
    return found


def _runs_as_non_root(pod: JsonObject, container: JsonObject) -> bool:
    own = _mapping(container.get("securityContext")).get("runAsNonRoot")
    return (own if own is not None else _mapping(pod.get("securityContext")).get("runAsNonRoot")) is True


def _policy_selector(spec: JsonObject) -> dict[str, str]:
    """The equality labels a policy isolates for ingress; UNSELECTABLE added where it isolates less than labels can say.

    Egress-only policies, rules that admit everything (`ingress: [{}]`), a missing podSelector and set expressions
    other than a single-valued In do not count. Source: Kubernetes networking.k8s.io/v1 NetworkPolicySpec.
    """
    pods = spec.get("podSelector")
    types = _list(spec.get("policyTypes")) or ["Ingress"]
    admits_all = any(not rule for rule in _list(spec.get("ingress")))
    if not isinstance(pods, dict) or "Ingress" not in types or admits_all:
        return {UNSELECTABLE: ""}
    selector = _labels(pods.get("matchLabels"))
    for expression in _list(pods.get("matchExpressions")):
        values = _mapping(expression).get("values")
        if _mapping(expression).get("operator") == "In" and isinstance(values, list) and len(values) == 1:
            key, wanted = str(_mapping(expression).get("key")), str(values[0])
            selector[key if selector.get(key, wanted) == wanted else UNSELECTABLE] = wanted
        else:
            selector[UNSELECTABLE] = ""
    return selector


def _labels(value: Any) -> dict[str, str]:
    return {str(key): str(item) for key, item in sorted(_mapping(value).items())}


def _mapping(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    """A list; absent is empty, and what is neither counts as a list that says nothing."""
    return value if isinstance(value, list) else [] if value is None else [None]


def _invalid(path: str, why: str) -> EvidenceError:
    return EvidenceError(f"{path}: {why}", code="manifest_invalid", next_step=_FIX)
