"""The card network: the one dependency of a payment.

`HttpCardNetwork` talks to the network named by CARD_NETWORK_URL. Without that variable the service uses
`SandboxCardNetwork`, which approves in memory and moves no money.
"""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, Protocol, get_args
from urllib.parse import quote, urlsplit

from storefront.wire import Refused, parse_headers, read_body, read_head

Verdict = Literal["approved", "declined"]
CONNECT_SECONDS = 0.3
SANDBOX_SECONDS = 0.004


class Unreachable(Exception):
    """No connection could be made, so nothing was sent and nothing was charged."""


class Garbled(Exception):
    """The network answered something that is not a verdict; the charge may have happened."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What the network is asked to take. The card is always a token; card numbers never reach this service."""

    key: str
    amount_minor: int
    currency: str
    card_token: str


class CardNetwork(Protocol):
    """Charges a card at most once per key."""

    async def charge(self, charge: Charge) -> Verdict:
        """Take the money, or raise `Unreachable`, `Garbled` or OSError."""

    async def find(self, key: str) -> Verdict | None:
        """Return the verdict of an earlier charge; None when the network knows no such key."""


class SandboxCardNetwork:
    """Approves every token but `tok_declined`, after a delay like a real network's."""

    async def charge(self, charge: Charge) -> Verdict:
        """Decide by the token alone."""
        await asyncio.sleep(SANDBOX_SECONDS)
        return "declined" if charge.card_token == "tok_declined" else "approved"

    async def find(self, key: str) -> Verdict | None:
        """Nothing stays open in the sandbox, so there is nothing to find."""
        return None


class HttpCardNetwork:
    """JSON over HTTP/1.1, one connection for each call: POST /charges and GET /charges/KEY."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("CARD_NETWORK_URL must look like http://host:port")
        self._host, self._port = parts.hostname, parts.port or 80

    async def charge(self, charge: Charge) -> Verdict:
        """Send the charge with its idempotency key."""
        document = {"amount_minor": charge.amount_minor, "currency": charge.currency, "card_token": charge.card_token}
        status, answer = await self._call("POST", "/charges", json.dumps(document | {"key": charge.key}).encode())
        return _verdict(status, answer)

    async def find(self, key: str) -> Verdict | None:
        """Ask what became of a charge."""
        status, answer = await self._call("GET", f"/charges/{quote(key, safe='')}", b"")
        return None if status == HTTPStatus.NOT_FOUND else _verdict(status, answer)

    async def _call(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:  # TimeoutError is one
            raise Unreachable(str(error)) from error
        try:
            head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\nconnection: close\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode("ascii") + body)
            lines = await read_head(reader)
            status = int(lines[0].split(" ")[1])
            return status, json.loads(await read_body(reader, parse_headers(lines[1:])))
        except (ValueError, IndexError, Refused, EOFError) as error:
            raise Garbled("the card network's answer does not parse") from error
        finally:
            writer.close()


def _verdict(status: int, answer: Any) -> Verdict:
    verdict = answer.get("status") if isinstance(answer, dict) else None
    if status != HTTPStatus.OK or verdict not in get_args(Verdict):
        raise Garbled(f"the card network answered {status} without a verdict")
    return "approved" if verdict == "approved" else "declined"
