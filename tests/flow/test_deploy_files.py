"""The files under deploy/ agree with the program: ports, paths, users, limits; and nothing in them is a way round."""

import re
from pathlib import Path

import pytest
import yaml

from bywire.api.ext_authz import BY_ROUTE, REMOVE, WHOLE
from bywire.config.gateway_upstreams import UPSTREAM_NAME
from bywire.model.gateway import Listen, ServeLimits

DEPLOY = Path(__file__).parents[2] / "deploy"
PORT = Listen().port


def documents(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


@pytest.fixture(scope="module")
def image():
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    return [line.split(" ", 1) for line in lines if line and not line.startswith("#")]


def values(image, word):
    return [rest for instruction, rest in image if instruction == word]


def test_the_image_has_no_base_of_its_own_and_fetches_nothing(image):
    assert values(image, "ARG") == ["BASE_IMAGE"]
    assert [line.split()[0] for line in values(image, "FROM")] == ["${BASE_IMAGE}"] * 2
    runs = " ".join(values(image, "RUN"))
    assert "--no-index" in runs
    assert not re.search(r"https?://|apt|apk|curl|wget", runs)


def test_the_image_is_not_root_and_stops_when_asked(image):
    assert values(image, "USER") == ["10001:10001"]
    assert image.index(["USER", "10001:10001"]) < [word for word, _ in image].index("ENTRYPOINT")
    assert values(image, "STOPSIGNAL") == ["SIGTERM"]
    assert values(image, "EXPOSE") == [str(PORT)]
    assert values(image, "CMD") == ['["serve"]']


@pytest.fixture(scope="module")
def pod():
    _, deployment = documents("sidecar.yaml")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    return deployment["spec"]["template"]["spec"]


def test_neither_container_is_root_or_may_become_it(pod):
    (sidecar,), (agent,) = pod["initContainers"], pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in (sidecar, agent):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
    assert sidecar["securityContext"]["runAsUser"] == 10001
    assert agent["securityContext"]["runAsUser"] != 10001


def test_the_operator_directory_is_the_sidecars_alone(pod):
    (sidecar,), (agent,) = pod["initContainers"], pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in sidecar["volumeMounts"]}
    assert mounts["operator"] == "/var/lib/bywire"
    assert {mount["name"] for mount in agent["volumeMounts"]} == {"identity"}
    assert (pod["automountServiceAccountToken"], pod["shareProcessNamespace"]) == (False, False)
    assert sidecar["restartPolicy"] == "Always"


def test_the_agent_is_told_where_it_is_and_the_probe_asks_there(pod):
    (sidecar,), (agent,) = pod["initContainers"], pod["containers"]
    told = {item["name"]: item["value"] for item in agent["env"]}
    assert told["BYWIRE_URL"] == f"http://127.0.0.1:{PORT}"
    assert str(PORT) in sidecar["readinessProbe"]["exec"]["command"][-1]
    assert "/readyz" in sidecar["readinessProbe"]["exec"]["command"][-1]
    compile(sidecar["readinessProbe"]["exec"]["command"][-1], "probe", "exec")
    assert pod["terminationGracePeriodSeconds"] > ServeLimits().shutdown_seconds


def test_envoy_takes_no_answer_for_a_no_and_shows_everything():
    (document,) = documents("envoy-ext-authz.yaml")
    asks, routes = document["http_filters"]
    settings = asks["typed_config"]
    assert routes["name"] == "envoy.filters.http.router"
    assert settings["failure_mode_allow"] is False
    body = settings["with_request_body"]
    assert (body["allow_partial_message"], body["max_request_bytes"]) == (False, ServeLimits().body_bytes)
    assert settings["allowed_headers"]["patterns"] == [{"safe_regex": {"regex": ".*"}}]
    service = settings["http_service"]
    prefix = service["path_prefix"].encode()
    marked = WHOLE + BY_ROUTE.removeprefix(b"/ext_authz/")
    assert prefix.startswith(marked)
    assert re.fullmatch(UPSTREAM_NAME, prefix.removeprefix(marked).decode())
    assert {"exact": REMOVE} in service["authorization_response"]["allowed_upstream_headers"]["patterns"]
    (cluster,) = document["clusters"]
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert address == {"address": "127.0.0.1", "port_value": PORT}
    assert service["server_uri"]["uri"] == f"http://127.0.0.1:{PORT}"
