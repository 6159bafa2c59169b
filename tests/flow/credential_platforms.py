"""Vault, a Kubernetes API server and GitHub, as far as they hand out credentials: real HTTP, published shapes."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from joserfc import jwt
from joserfc.jwk import RSAKey

NOW = 1_790_000_000_000


def rfc3339(moment_ms):
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.server.answer(self, body)

    do_GET = do_POST = _answer

    def log_message(self, *args):
        pass


class Platform:
    """One server; `answer(handler, body)` may be replaced by any misbehaviour."""

    def __init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.seen, self.server.daemon_threads, self.server.answer = [], True, self.answer
        self.server.handle_error = lambda request, client: None  # a client that gives up is no news
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def seen(self):
        return self.server.seen

    def answers(self, answer):
        self.server.answer = answer

    def says(self, status, value, **headers):
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.answers(lambda handler, body: send(handler, status, raw, **headers))

    def answer(self, handler, body):
        send(handler, 200, b"{}")

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def send(handler, status, raw, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw)


class Vault(Platform):
    """KV version 2: GET /v1/<mount>/data/<path>."""

    def __init__(self, token="hvs.operator"):
        super().__init__()
        self.token, self.secrets, self.lease = token, {}, 0

    def answer(self, handler, body):
        path = handler.path.removeprefix("/v1/")
        if handler.headers.get("X-Vault-Token") != self.token:
            send(handler, 403, json.dumps({"errors": ["permission denied"]}).encode())
        elif path not in self.secrets:
            send(handler, 404, json.dumps({"errors": []}).encode())
        else:
            send(handler, 200, json.dumps(self.document(self.secrets[path])).encode())

    def document(self, data, **metadata):
        created = {"created_time": "2026-09-21T10:00:00.1Z", "custom_metadata": None, "deletion_time": "",
                   "destroyed": False, "version": 3, **metadata}  # fmt: skip
        return {
            "request_id": "7c1b9d2e-0001", "lease_id": "", "renewable": False, "lease_duration": self.lease,
            "data": {"data": data, "metadata": created}, "wrap_info": None, "warnings": None, "auth": None,
            "mount_type": "kv",
        }  # fmt: skip


class KubernetesApi(Platform):
    """POST /api/v1/namespaces/NS/serviceaccounts/SA/token."""

    def __init__(self, token="sa-of-the-gateway"):
        super().__init__()
        self.token, self.minted = token, 0

    def answer(self, handler, body):
        if handler.headers.get("Authorization") != f"Bearer {self.token}":
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Unauthorized", "code": 401}
            send(handler, 401, json.dumps(status).encode())
            return
        asked = json.loads(body)
        assert (asked["apiVersion"], asked["kind"]) == ("authentication.k8s.io/v1", "TokenRequest")
        assert asked["spec"]["expirationSeconds"] >= 600  # the API server refuses less
        self.minted += 1
        send(handler, 201, json.dumps(self.document(asked["spec"])).encode())

    def document(self, spec, **status):
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": "deploy", "namespace": "agents", "creationTimestamp": rfc3339(NOW)},
            "spec": {"audiences": ["https://kubernetes.default.svc"], "boundObjectRef": None, **spec},
            "status": {
                "token": f"eyJhbGciOiJSUzI1NiJ9.minted-{self.minted}.c2ln",
                "expirationTimestamp": rfc3339(NOW + spec.get("expirationSeconds", 600) * 1000),
                **status,
            },
        }


class GithubApi(Platform):
    """POST /app/installations/ID/access_tokens, which checks the app's JWT as GitHub does."""

    def __init__(self, public_pem, now_ms=NOW):
        super().__init__()
        self.key, self.now_ms, self.minted = RSAKey.import_key(public_pem), now_ms, 0

    def answer(self, handler, body):
        claims = jwt.decode(handler.headers["Authorization"].removeprefix("Bearer "), self.key, ["RS256"]).claims
        now_s = self.now_ms // 1000
        if not claims["iat"] <= now_s < claims["exp"] or claims["exp"] - now_s > 600:
            send(handler, 401, b"{\"message\": \"'Expiration time' claim ('exp') is too far in the future\"}")
            return
        self.minted += 1
        send(handler, 201, json.dumps(self.document(json.loads(body))).encode())

    def document(self, asked, **changes):
        return {
            "token": f"ghs_{self.minted:036d}",
            "expires_at": rfc3339(self.now_ms + 3_600_000),
            "permissions": {"metadata": "read", **asked["permissions"]},
            "repository_selection": "selected",
            "repositories": [
                {"id": n, "name": name, "full_name": f"acme/{name}", "private": True}
                for n, name in enumerate(asked["repositories"])
            ],
            **changes,
        }
