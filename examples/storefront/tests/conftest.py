"""The service under test, served over real HTTP from this process, and repeatable hypothesis runs."""

import http.client
import json
import string
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from storefront.app import assemble
from storefront.server import serving

# A written alphabet: the default makes hypothesis build its Unicode tables, seconds in every clean worktree.
CHARACTERS = string.printable + "\u00e9\u00df\u0130\u200b\u202e\u0663\u2167\uff49\ud55c\U0001f980\x00"

settings.register_profile("storefront", database=None, deadline=None, derandomize=True, max_examples=60)
settings.load_profile("storefront")


class Client:
    """One keep-alive connection to the service."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        self._connection.request(method, path, body or None, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """GET a JSON answer."""
        status, body = self.send("GET", path, **headers)
        return status, json.loads(body)

    def post(self, path: str, document: Any, **headers: str) -> tuple[int, Any]:
        """POST JSON and read a JSON answer."""
        status, body = self.send("POST", path, json.dumps(document).encode(), **headers)
        return status, json.loads(body)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.fixture
def client() -> Iterator[Client]:
    with serving(assemble().answer) as port:
        connected = Client(port)
        yield connected
        connected.close()
