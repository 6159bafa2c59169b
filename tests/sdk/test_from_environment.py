"""A client made of its surroundings: the variables that deploy/sidecar.yaml sets, and a token that is rotated."""

import asyncio
import logging
from pathlib import Path

import pytest
import yaml
from bywire_sdk import AsyncClient, Client, GatewayError, Unauthenticated
from bywire_sdk.client import SUBJECT_TOKEN_VARIABLE, URL_VARIABLE
from bywire_sdk.testing.gateway import TOKEN

SIDECAR = Path(__file__).parents[2] / "deploy" / "sidecar.yaml"
MANIFEST = list(yaml.safe_load_all(SIDECAR.read_text()))[1]
FIRST, SECOND = "header.first.signature", "header.second.signature"


@pytest.fixture
def pod():
    return MANIFEST["spec"]["template"]["spec"]


@pytest.fixture
def subject(bywire_gateway, tmp_path, monkeypatch):
    """The file with a workload's own token, as the environment names it."""
    place = tmp_path / "token"
    place.write_text(f"{FIRST}\n")
    bywire_gateway.keys |= {FIRST: "agent:test", SECOND: "agent:test"}
    bywire_gateway.allow("deploy", result={"ok": True})
    monkeypatch.setenv(URL_VARIABLE, bywire_gateway.url)
    monkeypatch.setenv(SUBJECT_TOKEN_VARIABLE, str(place))
    return place


def exchanged(gateway):
    return [heard for heard in gateway.heard if heard.path == "/v1/token"]


def test_the_sidecar_sets_what_is_read_and_nothing_else(pod):
    (agent,) = pod["containers"]
    told = {item["name"]: item["value"] for item in agent["env"]}
    assert set(told) == {URL_VARIABLE, SUBJECT_TOKEN_VARIABLE}
    (mount,) = agent["volumeMounts"]
    volume = next(one for one in pod["volumes"] if one["name"] == mount["name"])
    (source,) = volume["projected"]["sources"]
    assert told[SUBJECT_TOKEN_VARIABLE] == f"{mount['mountPath']}/{source['serviceAccountToken']['path']}"
    assert source["serviceAccountToken"]["audience"] == "bywire"


def test_the_workloads_token_becomes_a_short_one(bywire_gateway, subject):
    with Client.from_environment(run="r-1") as client:
        assert client.run == "r-1"
        assert client.call("deploy").result == {"ok": True}
        client.call("deploy", {"n": 2})
    assert len(exchanged(bywire_gateway)) == 1


def test_its_file_is_read_anew_at_each_exchange(bywire_gateway, subject):
    with Client.from_environment() as client:
        client.call("deploy")
        del bywire_gateway.keys[FIRST]
        bywire_gateway.tokens = {TOKEN: "agent:test"}
        subject.write_text(SECOND)
        assert client.call("deploy", {"n": 2}).result == {"ok": True}
    assert len(exchanged(bywire_gateway)) == 2


def test_the_async_client_does_the_same(bywire_gateway, subject):
    async def scene():
        async with AsyncClient.from_environment() as client:
            return (await client.call("deploy")).result

    assert asyncio.run(scene()) == {"ok": True}


@pytest.mark.parametrize("content", ["qZ7w4\r\nxK9v2: pL3t8", "qZ7w4 xK9v2", "s" * 100_000, "", "qZ7w4.xK9v2.pL3t8"])
def test_rule_03_the_token_is_in_no_error_repr_or_log(bywire_gateway, subject, caplog, content):
    subject.write_text(content)
    caplog.set_level(logging.DEBUG)
    with Client.from_environment() as client, pytest.raises(GatewayError) as error:
        client.call("deploy")
    assert isinstance(error.value, Unauthenticated)
    told = f"{error.value!r} {error.value} {error.value.payload} {error.value.__cause__!r} {vars(client)} {caplog.text}"
    assert not any(word in told for word in filter(None, (content, *content.split())))
    assert not bywire_gateway.carried_out


@pytest.mark.parametrize("missing", [URL_VARIABLE, SUBJECT_TOKEN_VARIABLE])
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_not_set_is_named(subject, monkeypatch, missing, value):
    if value is None:
        monkeypatch.delenv(missing)
    else:
        monkeypatch.setenv(missing, value)
    with pytest.raises(ValueError, match=missing):
        Client.from_environment()


def test_rule_23_the_environment_cannot_send_the_token_in_clear_text_elsewhere(subject, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://elsewhere.example:8750")
    with pytest.raises(ValueError, match="https://"):
        Client.from_environment()


def test_a_file_that_is_gone_is_said_when_it_is_needed(bywire_gateway, subject):
    subject.unlink()
    with Client.from_environment() as client, pytest.raises(Unauthenticated, match="cannot be read"):
        client.call("deploy")
