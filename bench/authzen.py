"""The bars of AuthZEN reads: `bywire serve` on one core, asked over keep-alive connections from another.

The server is the real command in its own process, with the shipped policy, SQLite, a JWT and the journal. Its CPU is
that of the whole process (the writer and the decider included), user and system, over all requests of a round. Run
alone: python -m bench authzen
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from bench.measured import at_least, at_most, tell
from bywire.wiring.identities import issue_token, register
from bywire.wiring.initialising import initialise
from bywire.wiring.workspace import open_workspace

PER_SECOND_MIN = 4_000
MICROSECONDS_MAX = 250
STARTUP_SECONDS_MAX = 2.0
CONNECTIONS = 8
REQUESTS = 500
ROUNDS = 9
PROGRAM = "import sys; from bywire.cli.main import main; sys.argv[0] = 'bywire'; main()"
CONTRACTS = """
version: 1
upstream: shop
tools:
  - name: list_orders
    category: read
    risk: low
    reviewed: true
    schema: {type: object, additionalProperties: false, properties: {limit: {type: integer}}}
    request: {method: GET, path: /orders, query: [limit]}
"""
SETTINGS = """
version: 1
listen: {port: 0}
upstreams: [{name: shop, kind: http, url: "http://127.0.0.1:9", private: true}]
"""
QUESTION = {
    "subject": {"type": "agent", "id": "reader"},
    "action": {"name": "shop.list_orders"},
    "resource": {"type": "tool", "id": "shop.list_orders", "properties": {"limit": 20}},
    "context": {"obligations": ["replace_parameters"]},
}


def prepare(directory):
    """(repository, operator directory, token) of a workspace with one agent and one connected read."""
    repo, operator = Path(directory) / "repo", Path(directory) / "operator"
    repo.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True, timeout=30)
    initialise(repo, operator, approver="dana")
    (operator / "contracts").mkdir(mode=0o700)
    (operator / "contracts" / "shop.yaml").write_text(CONTRACTS)
    (operator / "gateway.yaml").write_text(SETTINGS)
    workspace = open_workspace(repo, operator, take_over=True)
    try:
        environment = workspace.operator.environment
        asked = {"id": "agent:reader", "owner": "person:dana", "pattern": "constrained-executor"}
        register(workspace, asked | {"tools": ["shop.list_orders"], "environments": [environment]})
        token = issue_token(workspace, "agent:reader", run="bench", lifetime_seconds=900).token
    finally:
        workspace.close()
    return repo, operator, token


@contextlib.contextmanager
def serving(repo, operator, core=None):
    """(process, port, seconds until it answered) of `bywire serve`, on one core where the system has such a thing."""
    began = time.monotonic()
    arguments = ["--repo", str(repo), "--operator", str(operator), "serve", "--json"]
    child = subprocess.Popen([sys.executable, "-I", "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)
    if core is not None:
        os.sched_setaffinity(child.pid, {core})  # its threads inherit it, and none is there yet
    try:
        told = line = ""
        while line != "}\n":
            line = child.stdout.readline()
            if not line:
                raise RuntimeError(f"bywire serve ended: {told}")
            told += line
        seconds = time.monotonic() - began
        yield child, int(json.loads(told)["url"].rpartition(":")[2]), seconds
    finally:
        child.terminate()
        child.wait(30)


def request_of(path, body, token, port):
    """The bytes of one request."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def answers(connection, data, count):
    """Send `data` `count` times, one after the other; each answer has to be a permit."""
    for _ in range(count):
        connection.sendall(data)
        found = connection.recv(65536)
        while b"\r\n\r\n" not in found or len(found) < _length(found):
            found += connection.recv(65536)
        assert b'"decision":true' in found, found


def _length(found):
    head, _, _ = found.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(head) + 4 + int(value)
    raise ValueError(found)


def one_round(process, connections, data):
    """(requests a second, CPU microseconds of the server for each)."""
    before, began = process.cpu_times(), time.perf_counter()
    with ThreadPoolExecutor(len(connections)) as pool:
        for done in [pool.submit(answers, connection, data, REQUESTS) for connection in connections]:
            done.result()
    seconds, after = time.perf_counter() - began, process.cpu_times()
    count = REQUESTS * len(connections)
    used = (after.user + after.system) - (before.user + before.system)
    return count / seconds, used / count * 1e6


def measure():
    """(requests a second, CPU microseconds each, seconds to start): medians over the rounds."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with tempfile.TemporaryDirectory() as directory:
        repo, operator, token = prepare(directory)
        with serving(repo, operator):
            pass  # the first start compiles and settles the policy
        with serving(repo, operator, cores[0] if len(cores) > 1 else None) as (child, port, seconds):
            if len(cores) > 1:
                os.sched_setaffinity(0, set(cores[1:]))
            try:
                process = psutil.Process(child.pid)
                data = request_of("/access/v1/evaluation", QUESTION, token, port)
                connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
                one_round(process, connections, data)
                rounds = [one_round(process, connections, data) for _ in range(ROUNDS)]
            finally:
                if len(cores) > 1:
                    os.sched_setaffinity(0, set(cores))
            for connection in connections:
                connection.close()
    rate, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
    tell(f"AuthZEN reads: best round {max(rate for rate, _ in rounds):.0f}/s, {min(cpu for _, cpu in rounds):.0f} us")
    return rate, cpu, seconds


def bars():
    """Throughput and CPU of AuthZEN reads, and how long the server takes to answer at all."""
    rate, cpu, seconds = measure()
    yield at_least("authzen_reads_per_second", rate, "/s", PER_SECOND_MIN)
    yield at_most("authzen_read_cpu", cpu, "us", MICROSECONDS_MAX, digits=1)
    yield at_most("serve_startup", seconds, "s", STARTUP_SECONDS_MAX)
