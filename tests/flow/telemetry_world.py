"""Receivers of telemetry that a test runs: an OTLP collector and syslog listeners, and a served gateway before them."""

import contextlib
import gzip
import http.server
import json
import socket
import threading
import time
from contextlib import contextmanager

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from serving import prepared, register, served

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def until(found, seconds=15.0):
    """What `found()` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return value


class Collector:
    """An OTLP/HTTP collector. `status` is what it answers; `asked` its requests as they came."""

    def __init__(self):
        self.asked, self.raw, self.status = [], [], 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
                if outer.status == 200:
                    outer.raw.append(body)
                    outer.asked.append((self.path, dict(self.headers), body))
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self):
        found = []
        for path, _, body in list(self.asked):
            if path == "/v1/traces":
                request = ExportTraceServiceRequest.FromString(body)
                found += [span for one in request.resource_spans for s in one.scope_spans for span in s.spans]
        return found

    @property
    def logs(self):
        found = []
        for path, _, body in list(self.asked):
            if path == "/v1/logs":
                request = ExportLogsServiceRequest.FromString(body)
                found += [log for one in request.resource_logs for s in one.scope_logs for log in s.log_records]
        return found


@contextmanager
def collecting():
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join(5)


def plain(span):
    """Attributes of a span or a log record as Python values."""
    return {pair.key: _value(pair.value) for pair in span.attributes}


def _value(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind)


class StreamListener:
    """A syslog server on TCP or, with a context, TLS; `messages` are octet-counted ones."""

    def __init__(self, context=None):
        self.messages, self.connections = [], 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._context = context
        self.port = self._listener.getsockname()[1]
        self._open = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    def _run(self):
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(20)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            self.connections += 1
            reader = threading.Thread(target=self._read, args=(connection,), daemon=True)
            self._threads.append(reader)
            reader.start()

    def _read(self, connection):
        buffer = b""
        try:
            while part := connection.recv(65_536):
                buffer += part
                while b" " in buffer:
                    size, _, rest = buffer.partition(b" ")
                    if len(rest) < int(size):
                        break
                    self.messages.append(rest[: int(size)])
                    buffer = rest[int(size) :]
        except OSError:
            return

    def hang_up(self):
        """End every connection, as a server that is restarted does."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for reader in self._threads[1:]:
            reader.join(10)
        for connection in self._open:
            connection.close()
        self._open.clear()

    def close(self):
        self._ended.set()
        self._threads[0].join(10)
        self._listener.close()
        self.hang_up()


@contextmanager
def told_to(root, telemetry, **gateway):
    """A served gateway with this telemetry section."""
    scene = prepared(root, telemetry=telemetry, **gateway)
    with served(scene) as running:
        running.scene = scene
        yield running
    scene.close()


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


__all__ = ["TRACE", "StreamListener", "collecting", "lines_of", "plain", "register", "told_to", "until"]
