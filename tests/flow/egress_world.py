"""A forward proxy on a real socket, with destinations on loopback, a resolver that says what a test wants, and TLS."""

import asyncio
import datetime as dt
import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bywire.adapters.destinations import Destinations
from bywire.adapters.egress_proxy import Admission, EgressProxy
from bywire.adapters.listening import listen, port_of
from bywire.gateway.destination import facts
from bywire.model.gateway_egress import EgressLimits, EgressRule

AGENT, OTHER = "agent:deploy", "agent:other"
TOKENS = {"tok-deploy": AGENT, "tok-other": OTHER}
HOST = "api.example.test"


class Door:
    """Allows what is listed, as the shipped policy does, and remembers everything."""

    def __init__(self, rules):
        self.rules = rules
        self.asked = []
        self.endings = []
        self.says = None
        self.held = True

    async def admit(self, token, destination, addresses, trace):
        principal = TOKENS.get(token)
        if principal is None:
            return Admission(False, 401, {"code": "unauthenticated"})
        said = facts(principal, destination, addresses, self.rules)
        self.asked.append({**said, "principal": principal, "trace": trace})
        if self.says is not None:
            return self.says(principal)
        allowed = said["listed"]
        return Admission(allowed, 200 if allowed else 403, {} if allowed else {"code": "policy_denied"})

    async def holder(self, token):
        return TOKENS.get(token, "") if self.held else ""

    def refusal(self, code, reason, next_step):
        return {"code": code, "reason": reason, "next_step": next_step}

    def ended(self, ended):
        self.endings.append(ended)


class World:
    """The running proxy. `names` is what the resolver knows; `resolved` what it was asked."""

    def __init__(self, rules=(), limits=None, names=None, own_ports=()):
        self.names = names or {}
        self.resolved = []
        self.door = Door(tuple(rules))
        limits = limits or EgressLimits()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.destinations = Destinations(self.door.rules, limits, resolve=self._resolve, own_ports=own_ports)
        listener = listen("127.0.0.1", 0)
        self.port = port_of(listener)
        self.proxy = EgressProxy(listener, self.door, self.destinations, limits)
        self.run(self.proxy.start())

    def _resolve(self, host, port):
        self.resolved.append(host)
        found = self.names.get(host, ["127.0.0.1"])
        found = found() if callable(found) else found
        if isinstance(found, Exception):
            raise found
        return found

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self):
        self.run(self.proxy.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def connect(self, timeout=10):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def send(self, raw, timeout=10):
        """Send bytes, and read until the proxy closes: (status, payload or body)."""
        with self.connect(timeout) as client:
            client.sendall(raw)
            return read_answer(client)

    def ask(self, target, *, token="tok-deploy", method="CONNECT", extra=""):
        start = f"{method} {target} HTTP/1.1\r\nHost: {target}\r\n"
        start += f"Proxy-Authorization: Bearer {token}\r\n" if token else ""
        return self.send(f"{start}{extra}\r\n".encode("latin-1"))

    def tunnel(self, target, timeout=10, token="tok-deploy"):
        """An accepted CONNECT: the socket after its answer."""
        client = self.connect(timeout)
        client.sendall(f"{head(target, 'CONNECT', token)}\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            part = client.recv(1)
            assert part, answer
            answer += part
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return client


@contextmanager
def world(*args, **kwargs):
    made = World(*args, **kwargs)
    try:
        yield made
    finally:
        made.close()


def read_answer(client):
    raw = b""
    try:
        while part := client.recv(65_536):
            raw += part
    except ConnectionResetError:
        pass
    if not raw:
        return 0, b""
    head, _, body = raw.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    try:
        return status, json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return status, body


def head(target, method="GET", token="tok-deploy"):
    """A request head without its end."""
    return f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nProxy-Authorization: Bearer {token}\r\n"


def rule(port, host=HOST, agents=(AGENT,), private=True):
    return EgressRule(agents=agents, host=host, ports=(port,), private=private)


class Site(BaseHTTPRequestHandler):
    """Remembers requests; answers what `server.answer` does with it."""

    protocol_version = "HTTP/1.1"

    def _answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding"):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(length)
        self.server.seen.append((self.command, self.path, self.headers.items(), body))
        self.server.answer(self)

    do_GET = do_POST = do_PUT = do_HEAD = _answer

    def log_message(self, *args):
        pass


def says(status=200, body=b"hello", headers=()):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@contextmanager
def site(tls=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.handle_error = lambda *args: None
    server.seen, server.answer, server.daemon_threads = [], says(), True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(directory, name=HOST):
    """(server context, client context) for one name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    place = directory / "tls.pem"
    place.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(place)
    client = ssl.create_default_context(cadata=made.public_bytes(serialization.Encoding.PEM).decode())
    return server, client


def client_hello(name, versions=None):
    """What a real TLS client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()
