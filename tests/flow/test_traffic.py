"""The traffic generator against a real server: rate, mix, sticky users, clean end, honest summary."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

SPEC = {
    "segments": {"desktop": 0.5, "ios": 0.3, "android": 0.2},
    "requests": [
        {"weight": 3, "method": "GET", "path": "/products/{product}?currency={currency}"},
        {
            "weight": 1,
            "method": "POST",
            "path": "/pay",
            "json": {"product": "{product}", "currency": "{currency}", "n": 1},
        },
    ],
    "product": {"count": 50, "zipf": 1.0},
    "currency": ["USD", "EUR"],
}


class Recorder(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def log_message(self, *_):
        pass

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with self.server.lock:
            self.server.seen.append(
                (self.command, self.path, self.headers["x-user-id"], self.headers["x-client-segment"], body)
            )
            self.server.peers.add(self.client_address)
        self.send_response(500 if self.headers["x-client-segment"] == "ios" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.lock, server.seen, server.peers = threading.Lock(), [], set()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def start(tmp_path, port, rate, seed=1, spec=SPEC, seconds=0.0):
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    argv = [
        sys.executable, "-I", "-m", "bywire.adapters.traffic", "--url", f"http://127.0.0.1:{port}", "--spec",
        str(tmp_path / "spec.json"), "--rate", str(rate), "--seed", str(seed), "--seconds", str(seconds),
    ]  # fmt: skip
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    with process:
        out, err = process.communicate(timeout=30)
    return process.returncode, json.loads(out) if out else None, err


def test_rate_mix_and_segments_are_as_asked(server, tmp_path):
    code, summary, _ = finish(start(tmp_path, server.server_port, 200, seconds=3))
    assert code == 0
    assert 450 <= summary["requests"] <= 750
    assert summary["shed"] == 0
    assert summary["requests"] == len(server.seen) == sum(summary["statuses"].values())
    assert len(server.peers) < 40  # connections are kept
    segments = Counter(segment for _, _, _, segment, _ in server.seen)
    assert set(segments) == {"desktop", "ios", "android"}
    assert segments["desktop"] > segments["ios"] > segments["android"]
    assert summary["segments"]["ios"]["errors"] == segments["ios"] == summary["errors"] == summary["statuses"]["500"]
    methods = Counter(method for method, *_ in server.seen)
    assert 1.8 < methods["GET"] / methods["POST"] < 5
    of_user = defaultdict(set)
    for _, _, user, segment, _ in server.seen:
        of_user[user].add(segment)
    assert all(len(found) == 1 for found in of_user.values())
    assert not any("{" in path for _, path, *_ in server.seen)
    products = Counter(path.split("/")[2].split("?")[0] for _, path, *_ in server.seen if path.startswith("/products/"))
    assert products["0"] == max(products.values())
    body = next(json.loads(body) for method, *_, body in server.seen if method == "POST")
    assert body["n"] == 1
    assert body["currency"] in {"USD", "EUR"}
    assert 1 <= int(body["product"]) <= 50


def test_the_same_seed_sends_the_same_requests(server, tmp_path):
    runs = []
    for seed in (5, 5, 6):
        server.seen.clear()
        process = start(tmp_path, server.server_port, 100, seed=seed, seconds=0.5)
        finish(process)
        runs.append(sorted(server.seen))
    assert runs[0] == runs[1] != runs[2]


def test_a_signal_ends_it_with_a_summary(server, tmp_path):
    process = start(tmp_path, server.server_port, 100)
    while len(server.seen) < 10:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code, summary, err = finish(process)
    assert (code, err) == (0, "")
    assert summary["requests"] >= 10


def test_a_dead_service_is_counted_not_hidden(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, summary, _ = finish(start(tmp_path, port, 100, seconds=0.5))
    assert code == 0
    assert summary["errors"] == summary["requests"] == summary["statuses"]["connection"] > 10


def test_arrivals_do_not_wait_and_what_is_too_much_is_shed(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(512)
        process = start(tmp_path, silent.getsockname()[1], 2000, seconds=1)
        code, summary, _ = finish(process)
    assert code == 0
    assert summary["shed"] > 1000
    assert summary["statuses"] == {"unfinished": 256}
    assert summary["errors"] == 0


@pytest.mark.parametrize("spec", [{}, {**SPEC, "segments": {}}, {**SPEC, "surprise": 1}, {**SPEC, "requests": []}])
def test_a_wrong_spec_is_refused(tmp_path, spec):
    code, summary, err = finish(start(tmp_path, 1, 10, spec=spec))
    assert (code, summary) == (2, None)
    assert "--spec" in err
