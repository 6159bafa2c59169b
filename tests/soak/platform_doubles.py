"""The platforms that real MCP servers are started before: small answers of the published shapes, on loopback."""

import datetime as dt
import ipaddress
import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Platform:
    """What was asked: `seen` holds (method, path, authorization, body)."""

    def __init__(self, answers):
        self.answers = answers
        self.seen = []
        self.port = 0

    def answer(self, method, path, authorization, body):
        self.seen.append((method, path, authorization, body))
        found = self.answers.get(f"{method} {path.partition('?')[0]}")
        return (404, {"message": "not found", "status": "Failure"}) if found is None else found

    def asked(self, method):
        """Paths that were asked with a method."""
        return [path.partition("?")[0] for asked, path, *_ in self.seen if asked == method]


@contextmanager
def platform(answers, *, certificate=None, address=("127.0.0.1", 0)):
    """Serve `answers`, {"METHOD /path": (status, JSON)}; over TLS with `certificate`, a PEM file with its key."""
    found = Platform(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, said = found.answer(self.command, self.path, self.headers.get("authorization", ""), body)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain" if isinstance(said, bytes) else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def certificate(place):
    """A certificate for 127.0.0.1 with its key in one PEM file, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    place.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return place


def kubeconfig(place, port, authority, contexts=("one",)):
    """A kubeconfig whose contexts all lead to the one platform."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}}
            for name in contexts
        ],
        "users": [{"name": "agent", "user": {"token": "cluster-token-1"}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": "agent", "namespace": "dev"}} for name in contexts
        ],
        "current-context": contexts[0],
    }
    place.write_text(yaml.safe_dump(document))
    place.chmod(0o600)
    return place


def _pod(namespace):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": namespace, "uid": "1", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
        "status": {"phase": "Running"},
    }


def _resources(version, *named):
    verbs = ["get", "list", "delete", "create", "patch", "update"]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": [
            {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": verbs}
            for name, kind, namespaced in named
        ],
    }


KUBERNETES = {
    "GET /version": (200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}),
    "GET /api": (200, {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
    "GET /apis": (200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
    "GET /api/v1": (
        200,
        _resources("v1", ("pods", "Pod", True), ("namespaces", "Namespace", False), ("secrets", "Secret", True)),
    ),
    "GET /api/v1/namespaces/dev/pods": (
        200,
        {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [_pod("dev")]},
    ),
    **{
        f"{method} /api/v1/namespaces/{namespace}/pods/web": (200, _pod(namespace))
        for method in ("GET", "DELETE")
        for namespace in ("dev", "production")
    },
}
_APPLICATION = {
    "metadata": {"name": "web", "namespace": "argocd"},
    "spec": {"project": "default", "destination": {"namespace": "web"}},
    "status": {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}},
}
ARGOCD = {
    "GET /api/v1/applications": (200, {"metadata": {}, "items": [_APPLICATION]}),
    "GET /api/v1/applications/web": (200, _APPLICATION),
    "POST /api/v1/applications/web/sync": (200, _APPLICATION),
    "DELETE /api/v1/applications/web": (200, {}),
}
GRAFANA = {
    "GET /api/frontend/settings": (200, {"buildInfo": {"version": "12.2.0"}}),
    "GET /api/health": (200, {"version": "12.2.0", "database": "ok"}),
    "GET /api/search": (200, [{"uid": "d1", "title": "Web", "type": "dash-db", "tags": []}]),
    "POST /api/annotations": (200, {"id": 7, "message": "Annotation added"}),
    "DELETE /api/annotations/7": (200, {"message": "Annotation deleted"}),
}
GITHUB = {
    "GET /api/v3/repos/o/r/branches": (200, [{"name": "main", "commit": {"sha": "a" * 40}, "protected": True}]),
    "POST /api/v3/repos/o/r/issues": (201, {"number": 5, "title": "t", "html_url": "http://127.0.0.1/o/r/issues/5"}),
    "PUT /api/v3/repos/o/r/pulls/5/merge": (200, {"merged": True, "sha": "b" * 40, "message": "merged"}),
}
