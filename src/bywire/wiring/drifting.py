"""`bywire connect --check`: what a server says of its tools now, against the contracts that are there or a pack's.

Nothing is written. A command line may name another program than gateway.yaml does, since that is how a team looks at
the next version of a server; no credential goes along unless the command line names it.
"""

from typing import Any

import msgspec

from bywire.config.contract_drift import Drift, drift, has_drifted
from bywire.config.packs import MCP, Pack
from bywire.model.errors import ConfigError
from bywire.model.gateway import GatewayConfig, Upstream
from bywire.wiring.drafting import existing_contracts, listed
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.workspace import Workspace

WORDS_CHARS = 64


class Compared(msgspec.Struct, frozen=True):
    """The tools of a server beside `against` (a file, or a pack); `server` is what it calls itself and its version."""

    upstream: str
    against: str
    server: str
    tools: tuple[Drift, ...]
    drifted: bool


def compare(workspace: Workspace, wanted: Upstream, pack: Pack | None) -> Compared:
    """Ask the server and compare. `pack`: with it instead of with contracts/NAME.yaml.

    Raises ConfigError `nothing_to_compare`, `upstream_unknown`; TargetError when the server does not answer.
    """
    settings = read_gateway(workspace)
    if pack is not None and pack.kind.kind != MCP:
        raise ConfigError(
            f"the pack {pack.name} describes no MCP server: nothing says there what its tools are",
            code="nothing_to_compare",
            next_step="bywire connect --list-packs",
        )
    _, contracts = ("", dict(pack.tools)) if pack is not None else existing_contracts(workspace, wanted.name)
    if not contracts:
        raise ConfigError(
            f"there is no contracts/{wanted.name}.yaml to compare with",
            code="nothing_to_compare",
            next_step=f"bywire connect {wanted.name} --check --pack PACK -- COMMAND..., or connect it first",
        )
    found, said = listed(workspace, settings, _asked(settings, wanted))
    tools = drift(contracts, {name: (one.tool, one.digest) for name, one in found.items()})
    against = f"contracts/{wanted.name}.yaml" if pack is None else f"pack {pack.name}"
    return Compared(wanted.name, against, _named(said), tools, has_drifted(tools, whole=pack is None))


def _asked(settings: GatewayConfig, wanted: Upstream) -> Upstream:
    known = settings.upstream(wanted.name)
    if not wanted.url and not wanted.command:
        if known is None:
            raise ConfigError(
                f"gateway.yaml names no upstream {wanted.name}",
                code="upstream_unknown",
                next_step=f"bywire connect {wanted.name} --check -- COMMAND..., or with --url URL",
            )
        return known
    # The variables hold no secret, and the next version wants the same.
    variables = {**(known.variables if known is not None and wanted.command else {}), **wanted.variables}
    return msgspec.structs.replace(wanted, kind=MCP, variables=variables)


def _named(said: dict[str, Any]) -> str:
    words = [said[name] for name in ("name", "version") if isinstance(said.get(name), str)]
    return " ".join(words)[:WORDS_CHARS]
