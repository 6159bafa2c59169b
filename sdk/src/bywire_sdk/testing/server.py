"""Real HTTP for a scripted gateway, on a free loopback port, in threads of the test's own process."""

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from bywire_sdk.testing.gateway import FakeGateway

BODY_BYTES_MAX = 1_048_576


class Served:
    """`with Served(gateway) as served:` answers at `served.url` until the block ends."""

    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway
        self._server = _Server(("127.0.0.1", 0), _answering(gateway))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        gateway.url = self.url
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering: open connections are closed, new ones refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
            self.shutdown_request(request)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


def _answering(gateway: FakeGateway) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet for one answer
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._reply(None)

        def do_POST(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            if size > BODY_BYTES_MAX:
                self.close_connection = True
                return
            body = self.rfile.read(size)
            form = self.headers.get("content-type", "") == "application/x-www-form-urlencoded"
            try:
                document = dict(parse_qsl(body.decode())) if form else json.loads(body or b"null")
            except ValueError:
                document = None
            self._reply(document)

        def log_message(self, *_: Any) -> None:
            """Nothing: `FakeGateway.heard` is the record."""

        def _reply(self, document: Any) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = gateway.answered(self.command, self.path, headers, document)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Answering
