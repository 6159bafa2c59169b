"""The policy as a bundle for Open Policy Agent: the same bytes for the same policy, signed, and read by OPA alike."""

import base64
import hashlib
import io
import json
import tarfile
import threading
from pathlib import Path, PurePosixPath

import pytest
import yaml
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from scene import refused
from serving import prepared, served

from bywire.adapters.bundle_key import BUNDLE_KEY_FILE, bundle_key
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.api.bundles import archive, bundle_files, signed
from bywire.gateway.deciding import ENTRYPOINT
from bywire.model.errors import BywireError
from bywire.model.gateway import Listen

DEPLOY = Path(__file__).parents[2] / "deploy"
TOKEN = "opa-reads-8c1d47a09be2"
# OPA's documentation, "Configuration", section "Keys".
OPA_ALGORITHMS = {f"{family}{bits}" for family in ("ES", "HS", "PS", "RS") for bits in (256, 384, 512)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundle")
    file = root / "opa-token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    made = prepared(root / "scene", bundles={"token_file": str(file)})
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(scene):
    with served(scene) as running:
        yield running


@pytest.fixture(scope="module")
def answer(gateway):
    found = gateway.send("GET", "/bundles/bywire.tar.gz", token=TOKEN)
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
    assert gateway.send("GET", "/bundles/bywire.tar.gz", token=TOKEN + "x").status == 401
    assert gateway.send("GET", "/bundles/bywire.tar.gz", token=TOKEN[:-1]).status == 401
    assert gateway.send("GET", f"/bundles/bywire.tar.gz?access_token={TOKEN}", token="").status == 401
    assert gateway.send("GET", "/bundles/bywire.tar.gz").body == answer.body  # an agent's session reads it as well


def test_rule_10_the_token_of_an_opa_reads_the_bundle_and_nothing_else(gateway):
    ask = {"tool": "shop.list_orders", "parameters": {"limit": 3}, "key": "k"}
    for path in ("/v1/call", "/v1/permit", "/v1/advise"):
        assert gateway.post(path, ask, token=TOKEN).status == 401, path
    evaluation = {
        "subject": {"type": "agent", "id": "fixer"},
        "action": {"name": "shop.list_orders"},
        "resource": {"type": "tool", "id": "shop.list_orders"},
    }
    assert gateway.post("/access/v1/evaluation", evaluation, token=TOKEN).status == 401
    outcome = {"intent": "agent:fixer|shop.restart|k", "status": "committed"}
    assert gateway.post("/v1/report", outcome, token=TOKEN).status == 401
    for path in ("/v1/tools", "/v1/decisions", "/metrics", "/route/shop/orders"):
        assert gateway.send("GET", path, token=TOKEN).status in {401, 404}, path
    assert gateway.send("PUT", "/bundles/bywire.tar.gz", b"x", token=TOKEN).status in {404, 405}


def test_without_the_token_file_no_such_token_opens_anything(tmp_path):
    made = prepared(tmp_path / "scene")
    with served(made) as running:
        assert running.send("GET", "/bundles/bywire.tar.gz", token=TOKEN).status == 401
        assert running.send("GET", "/bundles/bywire.tar.gz").status == 200
    made.close()


@pytest.mark.parametrize(("mode", "code"), [(0o644, "secret_exposed"), (None, "secret_unreadable")])
def test_a_token_file_that_others_read_or_that_is_gone_starts_nothing(scene, tmp_path, mode, code):
    file = tmp_path / "opa-token"
    if mode is not None:
        file.write_text(TOKEN)
        file.chmod(mode)
    place = scene.operator / "gateway.yaml"
    before = place.read_text()
    place.write_text(yaml.safe_dump({**yaml.safe_load(before), "bundles": {"token_file": str(file)}}))
    try:
        with pytest.raises(BywireError) as error, served(scene):
            pass
        assert error.value.code == code
    finally:
        place.write_text(before)


def test_the_same_policy_is_the_same_bytes(gateway, answer):
    workspace = gateway.gateway.workspace
    assert archive(signed(bundle_files(workspace.bundle()), bundle_key(workspace.directory))) == answer.body


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


def configured(scene):
    """deploy/opa.yaml with what `bywire keys opa` appends to it, as an OPA reads it."""
    return yaml.safe_load((DEPLOY / "opa.yaml").read_text() + scene.bywire("keys", "opa").out)


def hashed(value):
    """OPA's walk over a JSON document: members in order, nothing between them."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{hashed(name)}:{hashed(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(hashed, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def verified(files, configuration):
    """The steps of OPA's documentation, "Signature Verification"; what they lead to is the set of verified files."""
    (name,) = configuration["bundles"]
    key_id = configuration["bundles"][name]["signing"]["keyid"]
    key = configuration["keys"][key_id]
    assert key["algorithm"] in OPA_ALGORITHMS
    (token,) = json.loads(files[".signatures.json"])["signatures"]
    head, claims, signature = token.split(".")
    assert json.loads(unpadded(head)).keys() == {"alg", "kid", "typ"}
    assert json.loads(unpadded(head))["alg"] == key["algorithm"] == "ES256"
    raw = unpadded(signature)
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    public = serialization.load_pem_public_key(key["key"].encode())
    public.verify(encode_dss_signature(r, s), f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    document = json.loads(unpadded(claims))
    assert document.keys() == {"files"}, "a scope would have to be configured, too"
    listed = {one["name"]: one for one in document["files"]}
    assert len(listed) == len(document["files"])
    assert listed.keys() == files.keys() - {".signatures.json"}
    for path, one in listed.items():
        structured = PurePosixPath(path).name in {"data.json", "data.yaml", ".manifest"}
        data = hashed(json.loads(files[path])).encode() if structured else files[path]
        assert (one["algorithm"], one["hash"]) == ("SHA-256", hashlib.sha256(data).hexdigest()), path
    return listed.keys()


def test_opas_own_steps_verify_it_with_the_configuration_that_is_shipped(scene, files):
    assert verified(files, configured(scene)) == files.keys() - {".signatures.json"}


@pytest.mark.parametrize("name", ["data.json", ".manifest", "another.rego"])
def test_what_was_changed_on_its_way_does_not_verify(scene, files, name):
    document = json.loads(files[name]) if name in files else None
    changed = json.dumps({**document, "more": 1}).encode() if document else b"package bywire.more"
    with pytest.raises(AssertionError):
        verified({**files, name: changed}, configured(scene))


def test_rule_25_another_workspaces_signature_is_not_taken(scene, files, tmp_path):
    """The key comes from the configuration; what a bundle says of its own key selects nothing."""
    other = bundle_key(OperatorDirectory.create(tmp_path / "other"))
    again = signed({name: data for name, data in files.items() if name != ".signatures.json"}, other)
    with pytest.raises(InvalidSignature):
        verified(again, configured(scene))


def test_the_shipped_configuration_polls_this_endpoint_and_names_its_key(scene, gateway):
    configuration = configured(scene)
    (service,) = configuration["services"].values()
    (bundle,) = configuration["bundles"].values()
    assert service["url"] == f"http://127.0.0.1:{Listen().port}"
    assert service["credentials"].keys() == {"bearer"}
    assert bundle["signing"]["keyid"] in configuration["keys"]
    assert configuration["default_decision"] == ENTRYPOINT.removeprefix("data.").replace(".", "/")
    assert gateway.send("GET", f"/{bundle['resource']}", token=TOKEN).status == 200
    assert scene.bywire("keys", "opa", "--json").json == {"keys": configuration["keys"]}


def test_the_key_is_drawn_once_whoever_is_first(tmp_path):
    directory = OperatorDirectory.create(tmp_path / "operator")
    together, found = threading.Barrier(8), []

    def draw():
        together.wait(10)
        found.append(bundle_key(directory).key_id)

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 8
    assert set(found) == {bundle_key(directory).key_id}
    assert [path.name for path in (tmp_path / "operator/keys").iterdir()] == ["opa-bundle.pem"]


def test_rule_03_a_key_that_others_could_read_signs_nothing(scene, gateway):
    place = scene.operator / BUNDLE_KEY_FILE
    bundle_key(OperatorDirectory(scene.operator))
    assert place.stat().st_mode & 0o777 == 0o600
    place.chmod(0o640)
    try:
        refused(scene.bywire("keys", "opa", "--json"), "key_exposed")
    finally:
        place.chmod(0o600)
    assert "PRIVATE" not in scene.bywire("keys", "opa").out


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


def test_opa_verifies_its_signature(scene, files):
    opa = pytest.importorskip("opa_bindings", reason="OPA is not installed (opa-golib-python-bindings)")
    (token,) = json.loads(files[".signatures.json"])["signatures"]
    key = configured(scene)["keys"]["bywire"]["key"]
    with opa.OpaEngine() as real:
        real.add_policy("v.rego", "package v\nok := io.jwt.verify_es256(input.token, input.key)")
        question = {"token": token, "key": key}
        assert real.eval_document("v.ok", question) is True
        question["token"] = token[:-8] + "AAAAAAAA"
        assert real.eval_document("v.ok", question) is False
