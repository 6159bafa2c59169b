"""`GET /bundles/bywire.tar.gz`: the policy in force as a bundle for Open Policy Agent, for who runs OPA themselves.

It is the policy and no decision: what OPA says is advice, and only the door journals. The same policy is the same
bytes, so the ETag is its digest. `.signatures.json` is over every file, in OPA's signature format, by a key of its own:
OPA verifies bundles with ECDSA and RSA, not with Ed25519. An OPA polls with the token of `bundles.token_file`, which
reads this and nothing else.
"""

import base64
import gzip
import hmac
import io
import tarfile
from collections.abc import Mapping, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bywire.adapters.bundle_key import bundle_key
from bywire.adapters.operator_secret import secret_text
from bywire.api.errors import told
from bywire.api.reading import fields_of, token_of
from bywire.model.errors import BywireError
from bywire.model.gateway import BundlesSettings
from bywire.model.gateway_credentials import Found
from bywire.policy.bundle import Bundle
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.es256 import ALGORITHM, Es256Key
from bywire.wiring import payload
from bywire.wiring.gateway import Gateway

DATA, MANIFEST, SIGNATURES = "data.json", ".manifest", ".signatures.json"
ROOT = "bywire"
_REGO_VERSION = 1


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The route of this surface. Raises ConfigError for a token file that is not there, or that others can read."""
    reader = _reader_token(gateway.settings.bundles)
    made: dict[str, bytes] = {}

    def bundle(request: Request) -> Response:
        token = token_of(request)
        try:
            if not reader or not hmac.compare_digest(token.encode(), reader.encode()):
                gateway.session(token)
            return answer(request)
        except BywireError as error:
            return told(payload.of_error(error))

    def answer(request: Request) -> Response:
        found = gateway.workspace.bundle()
        tag = f'"{found.digest}"'
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if tag in fields_of(request.scope).get(b"if-none-match", b"").decode("latin-1"):
            return Response(status_code=304, headers=headers)
        if found.digest not in made:
            made.clear()
            made[found.digest] = archive(signed(bundle_files(found), bundle_key(gateway.workspace.directory)))
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


def signed(files: Mapping[str, bytes], key: Es256Key) -> dict[str, bytes]:
    """`files` with `.signatures.json`: one JWT that names each file with its SHA-256.

    OPA hashes a JSON file as its compact, sorted encoding: that is what ours hold already.
    """
    named = [{"name": name, "hash": sha256_hex(data), "algorithm": "SHA-256"} for name, data in sorted(files.items())]
    head = {"alg": ALGORITHM, "kid": key.key_id, "typ": "JWT"}
    said = f"{_b64(jcs.canonical(head))}.{_b64(jcs.canonical({'files': named}))}"
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


def _reader_token(said: BundlesSettings) -> str:
    return secret_text(Found(token_file=said.token_file)) if said.token_file else ""


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
