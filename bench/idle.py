"""The bar of idle connections: memory of `bywire serve` while ten thousand of them are open and have asked once.

Resident memory is that of the whole process, code, policy and database included. Each connection has sent one request
and been answered, so that what a connection keeps between requests is there. Run alone: python -m bench idle
"""

import resource
import socket
import tempfile
import time

import psutil

from bench.authzen import prepare, serving
from bench.measured import at_most, not_judged, tell

CONNECTIONS = 10_000
MEGABYTES_MAX = 300
SPARE = 512
# Longer than it takes to open them all: otherwise the first ones are closed for their silence.
IDLE_SECONDS = 600


def allowed_files():
    """How many files this process and its children may hold open, raised as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + SPARE
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)


def measure():
    """(resident megabytes before, with the connections open, seconds that a request takes then)."""
    with tempfile.TemporaryDirectory() as directory:
        repo, operator, _ = prepare(directory)
        settings = operator / "gateway.yaml"
        settings.write_text(f"{settings.read_text()}limits: {{idle_seconds: {IDLE_SECONDS}}}\n")
        with serving(repo, operator) as (child, port, _):
            process = psutil.Process(child.pid)
            data = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
            held = []
            try:
                _ask(port, data, held)
                before = process.memory_info().rss / 2**20
                for _ in range(CONNECTIONS - 1):
                    _ask(port, data, held)
                began = time.perf_counter()
                _exchange(held[0], data)
                seconds = time.perf_counter() - began
                return before, process.memory_info().rss / 2**20, seconds
            finally:
                for one in held:
                    one.close()


def _ask(port, data, held):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    held.append(connection)
    _exchange(connection, data)


def _exchange(connection, data):
    connection.sendall(data)
    found = b""
    while not found.endswith(b'{"status":"ok"}'):
        part = connection.recv(4096)
        assert part, found
        found += part


def bars():
    """Resident memory with every connection open."""
    files = allowed_files()
    if files < CONNECTIONS + SPARE:
        yield not_judged("serve_idle_10k_rss", f"at most {files} files may be open here", "MB", f"<= {MEGABYTES_MAX}")
        return
    before, after, seconds = measure()
    each = (after - before) / CONNECTIONS * 1024
    tell(f"idle connections: {before:.0f} MB before, {each:.1f} kB each; a request among them: {seconds * 1e3:.1f} ms")
    yield at_most("serve_idle_10k_rss", after, "MB", MEGABYTES_MAX, digits=0)
