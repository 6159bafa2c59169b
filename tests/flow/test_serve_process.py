"""`bywire serve` as a process: what it says, how it ends, what it refuses to start with, and what it ticks."""

import contextlib
import http.client
import json
import signal
import socket

import pytest
import yaml
from scene import refused
from serving import prepared


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    scene = prepared(tmp_path_factory.mktemp("process") / "scene")
    yield scene
    scene.close()


@contextlib.contextmanager
def running(scene, *arguments):
    """(process, what it announced)."""
    child = scene.spawn("serve", "--json", *arguments)
    try:
        told = line = ""
        while line != "}\n":
            line = child.stdout.readline()
            assert line, child.stderr.read()
            told += line
        yield child, json.loads(told)
    finally:
        child.terminate()
        child.communicate(timeout=30)


def get(url, path, token=""):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def settings(scene, **document):
    (scene.operator / "gateway.yaml").write_text(yaml.safe_dump({"version": 1, "listen": {"port": 0}, **document}))


def test_it_says_what_it_runs_and_ends_cleanly(base):
    with running(base) as (child, told):
        assert told["status"] == "serving"
        assert {"call", "authzen", "bundles", "ext_authz", "mcp", "route", "token"} <= set(told["surfaces"])
        assert told["upstreams"] == [{"name": "shop", "kind": "http"}]
        assert (told["environment"], told["egress_port"]) == ("non-production", 0)
        assert told["policy"]["revision"] >= 1
        assert told["ticks"] == ["deliveries", "recovery", "reminders", "checkpoints", "configuration"]
        assert get(told["url"], "/healthz") == (200, {"status": "ok"})
        idle = socket.create_connection(("127.0.0.1", int(told["url"].rpartition(":")[2])))
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=20)
        idle.close()
        assert (child.returncode, out, err) == (0, "", "")
    assert base.bywire("audit", "verify", "--json").code == 0


def test_a_busy_port_is_said_in_one_line(base):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = refused(base.bywire("serve", "--port", str(taken.getsockname()[1]), "--json"), "port_busy")
    assert "--port" in error["next_step"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"listen": {"host": "0.0.0.0"}}, "listen_exposed"),
        ({"listen": {"host": "0.0.0.0"}, "public_url": "http://bywire.example"}, "listen_exposed"),
        ({"listen": {"host": "192.0.2.1"}, "public_url": "https://bywire.example"}, "listen_failed"),
        ({"upstream": []}, "config_invalid"),
        ({"limits": {"body_bytes": 1}}, "config_invalid"),
        ({"upstreams": [{"name": "x", "kind": "http", "url": "http://a", "credential": "none"}]}, "config_invalid"),
        ({"public_url": "https://user@host"}, "config_invalid"),
        ({"hosts": ["a b"]}, "config_invalid"),
    ],
)
def test_a_wrong_gateway_yaml_starts_nothing(base, tmp_path, document, code):
    scene = base.clone(tmp_path / "scene")
    settings(scene, **document)
    error = refused(scene.bywire("serve", "--json"), code)
    assert error["message"]
