"""OIDC issuers on loopback: real HTTP and keys, tokens by another library, in the shapes that platforms publish."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

GITHUB = "https://token.actions.githubusercontent.com"
KUBERNETES = "https://kubernetes.default.svc.cluster.local"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
API_KEY = "urn:bywire:api-key"


def rsa_key(kid="k-1", bits=2048):
    return RSAKey.generate_key(bits, {"kid": kid, "use": "sig", "alg": "RS256"}, private=True)


def ec_key(kid="e-1"):
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"}, private=True)


def ed_key(kid="d-1"):
    return OKPKey.generate_key("Ed25519", {"kid": kid, "use": "sig", "alg": "EdDSA"}, private=True)


def public(*keys):
    return {"keys": [key.as_dict(private=False) for key in keys]}


def signed(claims, key, header=None, alg=None):
    """A compact JWS by joserfc, over the very members given."""
    alg = alg or {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[key.key_type]
    members = {"alg": alg, "kid": key.kid, "typ": "JWT", **(header or {})}
    members = {name: value for name, value in members.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    return jws.serialize_compact(members, json.dumps(claims).encode(), key, registry=registry)


def b64(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def by_hand(header, claims, sign=lambda data: b""):
    """A token with any header at all."""
    data = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{data}.{b64(sign(data.encode()))}"


def github_claims(audience, now_s, **changes):
    """As https://docs.github.com/actions/reference/security/oidc shows them; a change to None leaves a claim out."""
    claims = {
        "jti": "f6c1a5b2-0a55-4d1b-8b2f-4d0a3c1f0001",
        "sub": "repo:acme/storefront:ref:refs/heads/main",
        "aud": audience,
        "ref": "refs/heads/main",
        "sha": "9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c",
        "repository": "acme/storefront",
        "repository_owner": "acme",
        "actor_id": "12",
        "repository_visibility": "private",
        "repository_id": "740001",
        "repository_owner_id": "650001",
        "run_id": "9120034567",
        "run_number": "10",
        "run_attempt": "1",
        "runner_environment": "github-hosted",
        "actor": "dana",
        "workflow": "nightly",
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "ref_protected": "true",
        "ref_type": "branch",
        "workflow_ref": "acme/storefront/.github/workflows/nightly.yml@refs/heads/main",
        "workflow_sha": "9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c",
        "job_workflow_ref": "acme/automation/.github/workflows/fix.yml@refs/heads/main",
        "job_workflow_sha": "1706f5e4d3c2b1a09f8e7d6c9f8e7d6c5b4a3928",
        "iss": GITHUB,
        "nbf": now_s - 600,
        "exp": now_s + 300,
        "iat": now_s,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def kubernetes_claims(audience, now_s, *, namespace="agents", account="fixer", pod="8d9b6a3e-0001", **changes):
    """As a projected, pod-bound service account token has them."""
    return {
        "aud": [audience],
        "exp": now_s + 3600,
        "iat": now_s,
        "iss": KUBERNETES,
        "jti": "2d6cbd6c-8d9e-4c8e-a9d2-000000000001",
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": "node-1", "uid": "4a1e2f30-0001"},
            "pod": {"name": f"{account}-7c9d", "uid": pod},
            "serviceaccount": {"name": account, "uid": "5b2f3a41-0001"},
        },
        "nbf": now_s,
        "sub": f"system:serviceaccount:{namespace}:{account}",
        **changes,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        self.server.answer(self)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def log_message(self, *args):
        pass


class IssuerServer:
    """Serves one key set; `answer` may be replaced by any misbehaviour."""

    def __init__(self, *keys):
        self.keys = list(keys)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.seen, self.server.daemon_threads, self.server.answer = [], True, self._says_keys
        self.server.handle_error = lambda request, client: None  # a client that gives up is no news
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        self.jwks_url = f"{self.origin}/.well-known/jwks"

    @property
    def asked(self):
        return len(self.server.seen)

    def answers(self, answer):
        self.server.answer = answer

    def recovers(self):
        self.server.answer = self._says_keys

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def _says_keys(self, handler):
        reply(handler, 200, json.dumps(public(*self.keys)).encode())


def reply(handler, status, body, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def now_s():
    return int(time.time())
