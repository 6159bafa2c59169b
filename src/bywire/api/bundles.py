"""`GET /bundles/bywire.tar.gz`: the policy in force as a bundle for Open Policy Agent, for who runs OPA themselves.

It is the policy and no decision: what OPA says is advice, and only the door journals. The same policy is the same
bytes, so the ETag is its digest. `.signatures.json` is over every file, by the log's key (OPA bundle signature format).
"""

import base64
import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bywire.api.errors import told
from bywire.api.reading import fields_of, token_of
from bywire.model.errors import BywireError
from bywire.policy.bundle import Bundle
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.keys import Signer
from bywire.wiring import payload
from bywire.wiring.gateway import Gateway

DATA, MANIFEST, SIGNATURES = "data.json", ".manifest", ".signatures.json"
ROOT = "bywire"
_REGO_VERSION = 1


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The route of this surface."""
    made: dict[str, bytes] = {}

    def bundle(request: Request) -> Response:
        try:
            gateway.session(token_of(request))
        except BywireError as error:
            return told(payload.of_error(error))
        found = gateway.workspace.bundle()
        tag = f'"{found.digest}"'
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if tag in fields_of(request.scope).get(b"if-none-match", b"").decode("latin-1"):
            return Response(status_code=304, headers=headers)
        if found.digest not in made:
            made.clear()
            made[found.digest] = archive(signed(bundle_files(found), gateway.workspace.log_key))
        return Response(made[found.digest], headers=headers, media_type="application/gzip")

    return [Route("/bundles/bywire.tar.gz", bundle, methods=["GET"])]


def bundle_files(bundle: Bundle) -> dict[str, bytes]:
    """The bundle in OPA's layout: modules below `bywire/`, tables in one data document, `.manifest` with its roots."""
    modules = (*bundle.modules, *bundle.agents.values())
    files = {f"{ROOT}/{module.path}": module.source.encode() for module in modules}
    manifest = {
        "revision": bundle.digest,
        "roots": [ROOT],
        "rego_version": _REGO_VERSION,
        "metadata": {"revision": bundle.manifest.revision, "input_version": bundle.manifest.input_version},
    }
    return {**files, DATA: jcs.canonical({ROOT: {"table": bundle.tables}}), MANIFEST: jcs.canonical(manifest)}


def signed(files: Mapping[str, bytes], key: Signer) -> dict[str, bytes]:
    """`files` with `.signatures.json`: one JWT that names each file with its SHA-256.

    OPA hashes a JSON file as its compact, sorted encoding: that is what ours hold already.
    """
    named = [{"name": name, "hash": sha256_hex(data), "algorithm": "SHA-256"} for name, data in sorted(files.items())]
    claims = {"files": named, "keyid": key.key_id}
    head = {"alg": "EdDSA", "kid": key.key_id, "typ": "JWT"}
    said = f"{_b64(jcs.canonical(head))}.{_b64(jcs.canonical(claims))}"
    token = f"{said}.{_b64(key.sign(said.encode()))}"
    return {**files, SIGNATURES: msgspec.json.encode({"signatures": [token]})}


def archive(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar whose bytes depend on the files alone."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), mtime=0)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
