"""Run the service: `PORT=8080 python -m storefront`. SIGTERM and SIGINT drain it."""

import asyncio
import os
import signal
import sys

from storefront import VERSION
from storefront.app import assemble
from storefront.server import Server


async def run(host: str, port: int, card_network_url: str) -> None:
    """Serve until told to stop, then finish the requests in progress."""
    server = Server(assemble(card_network_url).answer)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    port = await server.start(host, port)
    print(f"storefront {VERSION} listens on {host}:{port}", file=sys.stderr, flush=True)
    await stopped.wait()
    await server.drain()


def main() -> int:
    """Read the environment and serve."""
    port = os.environ.get("PORT", "8080")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        print("PORT must be a number from 0 to 65535", file=sys.stderr)
        return 2
    asyncio.run(run(os.environ.get("HOST", "127.0.0.1"), int(port), os.environ.get("CARD_NETWORK_URL", "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
