"""Names become addresses once, and only names that somebody listed: the forward proxy connects to what was checked.

A question to a name server leaves the network, too, so an unlisted name is never asked for. What answers is judged
whole (`gateway.destination`); a connection is then made to one of exactly these addresses.
"""

import asyncio
import socket
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bywire.adapters.pinned_http import Resolve, resolved
from bywire.gateway.destination import AddressClass, Destination, address_class, facts, is_raw, is_tunnel_host
from bywire.gateway.ports import IntentRow
from bywire.model.errors import TargetError
from bywire.model.gateway_egress import EgressLimits, EgressRule

_RESOLVERS = 8
_ADDRESSES_MAX = 32
# How many of a name's addresses are tried before it counts as unreachable.
_TRIED_MAX = 3

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Destinations:
    """What one gateway's `egress` leads to. `own_ports` are the ports that this gateway itself listens on."""

    def __init__(
        self,
        rules: Sequence[EgressRule],
        limits: EgressLimits,
        *,
        resolve: Resolve = resolved,
        own_ports: Collection[int] = (),
    ) -> None:
        self._rules = tuple(rules)
        self._limits = limits
        self._resolve = resolve
        self._own_ports = set(own_ports)
        self._pool = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="bywire-resolve")

    def own(self, port: int) -> None:
        """One more port of this gateway: nothing connects to it through the proxy."""
        self._own_ports.add(port)

    def listed(self, principal: str, destination: Destination, addresses: Sequence[str]) -> bool:
        """Whether this principal may connect there, whatever the policy says beside."""
        return facts(principal, destination, addresses, self._rules)["listed"] is True

    async def addresses(self, principal: str, destination: Destination) -> tuple[str, ...]:
        """Every address of a name that is listed for this principal, as the resolver gives them; else none.

        Raises TargetError `target_unreachable` when there is none, `address_refused` when it is this gateway itself.
        """
        host, port = destination.host, destination.port
        if is_raw(host) or is_tunnel_host(host) or not self._names(principal, host, port):
            return ()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.resolve_seconds):
                found = await loop.run_in_executor(self._pool, lambda: [*self._resolve(host, port)])
        except (OSError, UnicodeError) as error:
            raise _unreachable(host, error) from error
        distinct = tuple(dict.fromkeys(found))
        if not distinct or len(distinct) > _ADDRESSES_MAX:
            raise _unreachable(host, f"{len(distinct)} addresses")
        if port in self._own_ports and any(map(is_ours, distinct)):
            raise TargetError(
                "the destination is this gateway itself", code="address_refused", next_step="speak to it directly"
            )
        return distinct

    def _names(self, principal: str, host: str, port: int) -> bool:
        return any(principal in rule.agents and rule.leads_to(host, port) for rule in self._rules)

    async def connect(self, destination: Destination, addresses: Sequence[str]) -> Streams:
        """A connection to one of the checked addresses. Raises TargetError `target_unreachable`."""
        problem: object = "no address"
        for address in addresses[:_TRIED_MAX]:
            try:
                async with asyncio.timeout(self._limits.connect_seconds):
                    return await asyncio.open_connection(address, destination.port)
            except OSError as error:
                problem = error.strerror or type(error).__name__
        raise _unreachable(destination.host, problem)

    def close(self) -> None:
        """Ask for no name any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class ConnectionExecutor:
    """`gateway.ports.Executor` for `open_connection`: the proxy that asked opens it, and nobody else does."""

    def observe(self) -> dict[str, Any]:
        """There is nothing to look at before a connection."""
        return {}

    def read(self, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """That the forward proxy may; whoever asks elsewhere has not connected by that."""
        return {"opened_by": "the forward proxy"}

    def execute(self, row: IntentRow, parameters: dict[str, Any]) -> dict[str, Any]:
        """No write leads here."""
        raise _unsupported(row.tool)

    def query(self, row: IntentRow) -> dict[str, Any] | None:
        """No write leads here."""
        raise _unsupported(row.tool)


def is_ours(address: str) -> bool:
    """Whether an address is one of this machine's: only those can be bound."""
    if address_class(address) is AddressClass.LOOPBACK:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _unsupported(tool: str) -> TargetError:
    return TargetError(f"{tool} is no write", code="unsupported", next_step="connect through the forward proxy")


def _unreachable(host: str, why: object) -> TargetError:
    return TargetError(
        f"{host} cannot be reached: {why}", code="target_unreachable", next_step="check the name, or try again later"
    )
