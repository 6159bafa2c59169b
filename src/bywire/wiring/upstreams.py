"""Executors of the upstreams of gateway.yaml: one for each, named `upstream:NAME`, with the contracts of its tools.

An upstream that cannot be set up has none, and the door then says so for each call; it never keeps the others waiting.
"""

from collections.abc import Callable, Iterable, Mapping

from bywire.adapters.http_executor_upstream import upstream_executor
from bywire.gateway.contract import Contract
from bywire.gateway.ports import Executor
from bywire.model.errors import BywireError
from bywire.model.gateway import GatewayConfig, Upstream
from bywire.wiring.mcp_upstreams import mcp_upstream

Maker = Callable[[Upstream, tuple[Contract, ...]], Executor]
# By kind. Making one starts nothing and connects to nothing.
MAKERS: Mapping[str, Maker] = {"http": upstream_executor, "mcp": mcp_upstream}


def upstream_executors(
    settings: GatewayConfig, contracts: Iterable[Contract]
) -> tuple[dict[str, Executor], tuple[BywireError, ...]]:
    """(executor by name, what is wrong with the upstreams that have none)."""
    by_upstream: dict[str, list[Contract]] = {}
    for contract in contracts:
        by_upstream.setdefault(contract.upstream, []).append(contract)
    found: dict[str, Executor] = {}
    faults: list[BywireError] = []
    for upstream in settings.upstreams:
        maker = MAKERS.get(upstream.kind)
        if maker is None:
            continue
        try:
            found[f"upstream:{upstream.name}"] = maker(upstream, tuple(by_upstream.get(upstream.name, ())))
        except BywireError as error:
            faults.append(error)
    return found, tuple(faults)
