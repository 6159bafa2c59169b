"""The smallest NetworkPolicy that isolates one workload and still lets its own service reach it.

Source: Kubernetes networking.k8s.io/v1. Ingress only: what a workload may call is not known from manifests.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec
import yaml

from bywire.evidence.manifests import ManifestDocument, flattened, labels_of, name_of, namespace_of, pod_template
from bywire.model.json_value import JsonObject

NAMES_TRIED_MAX = 20
_PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})


class Workload(msgspec.Struct, frozen=True):
    """A workload that no policy isolates, as the gate's reason names it."""

    path: str
    name: str
    namespace: str
    labels: Mapping[str, str]


class _Pod(msgspec.Struct, frozen=True):
    labels: Mapping[str, str]
    containers: Sequence[Any]


def policy_for(workload: Workload, documents: Sequence[ManifestDocument]) -> dict[str, Any] | None:
    """The NetworkPolicy object for `workload`, or None when it has no labels to select it by or is not in `documents`.

    Callers are the pods that `documents` declare in the same namespace: by the labels they share, or else each by its
    own. Ports are the target ports of the Services that select the pods the policy isolates, or else their container
    ports; with neither, nothing may reach them.
    """
    objects = [value for _, value in flattened(documents) if namespace_of(value) == workload.namespace]
    pods = [pod for value in objects if (pod := _pod(value)) is not None]
    selected = [pod for pod in pods if workload.labels.items() <= pod.labels.items()]
    names = {name_of(value) for value in objects if value.get("kind") == "NetworkPolicy"}
    name = next((name for name in _names(workload.name) if name not in names), "")
    if not selected or not workload.labels or not name:
        return None
    ports = _service_ports(selected, objects) or _container_ports(selected)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": workload.namespace},
        "spec": {
            "podSelector": {"matchLabels": dict(sorted(workload.labels.items()))},
            "policyTypes": ["Ingress"],
            **({"ingress": [{"from": _peers(pods), "ports": ports}]} if ports else {}),
        },
    }


def path_for(workload: Workload, is_free: Callable[[str], bool]) -> str:
    """A free path beside the workload's own manifest; empty when none of the first NAMES_TRIED_MAX is free."""
    directory = PurePosixPath(workload.path).parent
    paths = (str(directory / f"{name}.yaml") for name in _names(f"{workload.name}-network-policy"))
    return next((path for path in paths if is_free(path)), "")


def as_yaml(policy: Mapping[str, Any]) -> bytes:
    """The file's bytes."""
    return yaml.safe_dump(dict(policy), sort_keys=False, default_flow_style=False).encode()


def _pod(value: JsonObject) -> _Pod | None:
    template = pod_template(value)
    return _Pod(labels_of(template), template["spec"]["containers"]) if template else None


def _peers(pods: Sequence[_Pod]) -> list[dict[str, Any]]:
    labelled = [pod.labels for pod in pods if pod.labels]
    shared = dict(sorted(set(labelled[0].items()).intersection(*(labels.items() for labels in labelled[1:]))))
    choices = (
        [shared] if shared else sorted((dict(labels) for labels in labelled), key=lambda item: sorted(item.items()))
    )
    return [{"podSelector": {"matchLabels": choice}} for choice in _distinct(choices)]


def _service_ports(selected: Sequence[_Pod], objects: Sequence[JsonObject]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for value in objects:
        spec = value.get("spec")
        if value.get("kind") != "Service" or not isinstance(spec, dict):
            continue
        selector = spec.get("selector")
        if isinstance(selector, dict) and selector and any(_selects(selector, pod) for pod in selected):
            found += [_port(item, "targetPort", "port") for item in spec.get("ports") or [] if isinstance(item, dict)]
    return _distinct(found)


def _container_ports(selected: Sequence[_Pod]) -> list[dict[str, Any]]:
    containers = [item for pod in selected for item in pod.containers if isinstance(item, dict)]
    ports = [port for item in containers for port in item.get("ports") or [] if isinstance(port, dict)]
    return _distinct([_port(port, "containerPort") for port in ports])


def _selects(selector: Mapping[str, Any], pod: _Pod) -> bool:
    return all(pod.labels.get(str(key)) == str(wanted) for key, wanted in selector.items())


def _names(first: str) -> list[str]:
    return [first, *(f"{first}-{turn}" for turn in range(2, NAMES_TRIED_MAX + 1))]


def _port(item: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    number = next((item[key] for key in keys if isinstance(item.get(key), int | str)), None)
    protocol = str(item.get("protocol") or "TCP")
    return {"protocol": protocol, "port": number} if number is not None and protocol in _PROTOCOLS else {}


def _distinct(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for item in items:
        if item and item not in found:
            found.append(item)
    return found
