"""The policy as a bundle for Open Policy Agent: the same bytes for the same policy, signed, and read by OPA alike."""

import base64
import hashlib
import io
import json
import tarfile

import pytest
from serving import prepared, served

from bywire.api.bundles import archive, bundle_files, signed
from bywire.gateway.deciding import ENTRYPOINT


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    scene = prepared(tmp_path_factory.mktemp("bundle") / "scene")
    with served(scene) as running:
        yield running
    scene.close()


@pytest.fixture(scope="module")
def answer(gateway):
    found = gateway.send("GET", "/bundles/bywire.tar.gz")
    assert found.status == 200
    return found


@pytest.fixture(scope="module")
def files(answer):
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_it_is_kept_by_its_tag_and_given_to_nobody_unknown(gateway, answer):
    tag = answer.headers["etag"]
    assert tag == f'"{gateway.gateway.workspace.bundle().digest}"'
    again = gateway.send("GET", "/bundles/bywire.tar.gz", headers={"if-none-match": tag})
    assert (again.status, again.body) == (304, b"")
    assert gateway.send("GET", "/bundles/bywire.tar.gz", token="").status == 401


def test_the_same_policy_is_the_same_bytes(gateway, answer):
    workspace = gateway.gateway.workspace
    assert archive(signed(bundle_files(workspace.bundle()), workspace.log_key)) == answer.body


def test_its_roots_hold_everything(files):
    manifest = json.loads(files[".manifest"])
    assert manifest["roots"] == ["bywire"]
    assert json.loads(files["data.json"]).keys() == {"bywire"}
    modules = [data.decode() for name, data in files.items() if name.endswith(".rego")]
    assert modules
    packages = {next(line for line in text.splitlines() if line.startswith("package ")) for text in modules}
    assert all(line.startswith("package bywire") for line in packages)


def unpadded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_the_signature_covers_every_file(gateway, files):
    (token,) = json.loads(files[".signatures.json"])["signatures"]
    head, claims, signature = token.split(".")
    key = gateway.gateway.workspace.log_key
    assert json.loads(unpadded(head)) == {"alg": "EdDSA", "kid": key.key_id, "typ": "JWT"}
    key.public.verify(f"{head}.{claims}".encode(), unpadded(signature))
    named = {one["name"]: one["hash"] for one in json.loads(unpadded(claims))["files"]}
    covered = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != ".signatures.json"}
    assert named == covered


def test_opa_reads_it_and_decides_alike(gateway, files):
    opa = pytest.importorskip("opa_bindings", reason="OPA is not installed (opa-golib-python-bindings)")
    engine = gateway.gateway.workspace.engine()
    asked = []

    class Remembering:
        def decide(self, entrypoint, question):
            asked.append(question)
            return engine.decide(entrypoint, question)

    decider = gateway.gateway.joined.door._decider
    decider._engine, before = Remembering, decider._engine
    try:
        for tool, parameters in (("shop.list_orders", {"limit": 3}), ("shop.deploy", {"version": "1"}), ("x.y", {})):
            gateway.post("/v1/advise", {"tool": tool, "parameters": parameters, "key": "k"})
    finally:
        decider._engine = before
    assert len(asked) == 3
    with opa.OpaEngine() as real:
        for name, data in files.items():
            if name.endswith(".rego"):
                real.add_policy(name, data.decode())
        real.add_data(json.loads(files["data.json"]))
        for question in asked:
            expected = engine.decide(ENTRYPOINT, question)
            assert real.eval_document(ENTRYPOINT.removeprefix("data."), question)["effect"] == expected.effect


def test_opa_verifies_its_signature(gateway, files):
    opa = pytest.importorskip("opa_bindings", reason="OPA is not installed (opa-golib-python-bindings)")
    (token,) = json.loads(files[".signatures.json"])["signatures"]
    raw = gateway.gateway.workspace.log_key.public.raw_public
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    with opa.OpaEngine() as real:
        real.add_policy("v.rego", "package v\nok := io.jwt.verify_eddsa(input.token, input.key)")
        question = {"token": token, "key": json.dumps({"keys": [jwk]})}
        assert real.eval_document("v.ok", question) is True
        question["token"] = token[:-8] + "AAAAAAAA"
        assert real.eval_document("v.ok", question) is False
