"""The tools of a workspace: the built-in ones, and those that the operator's contract files connect.

A faulty contract file fails loudly where tools are served. Where work already under way goes on, its tools just do not
exist, since a retreat must not wait for somebody to correct a file that it does not need (RULES 16).
"""

import re
from typing import Any

import msgspec

from bywire.adapters.yaml_file import parse
from bywire.config import contract_files
from bywire.config.tool_names import UPSTREAM
from bywire.gateway.contract import Catalogue, Contract
from bywire.gateway.contracts import CONTRACTS
from bywire.gateway.devops_contracts import DEVOPS_CONTRACTS
from bywire.gateway.egress_contracts import EGRESS_CONTRACTS
from bywire.model.connected import PRODUCTION
from bywire.model.errors import BywireError, ConfigError
from bywire.model.gateway import GatewayConfig
from bywire.model.operator import OperatorConfig
from bywire.wiring.workspace import Workspace

BUILT_IN_CONTRACTS: tuple[Contract, ...] = (*CONTRACTS, *DEVOPS_CONTRACTS, *EGRESS_CONTRACTS)
BUILT_IN = Catalogue(BUILT_IN_CONTRACTS)
_NAME = re.compile(rf"({UPSTREAM})\.yaml")


class Connected(msgspec.Struct, frozen=True):
    """The contracts of every file that could be read, and what is wrong with the others."""

    contracts: tuple[Contract, ...]
    faults: tuple[BywireError, ...]
    built_in: tuple[Contract, ...] = BUILT_IN_CONTRACTS

    @property
    def catalogue(self) -> Catalogue:
        """These and the built-in ones."""
        if not self.contracts and self.built_in is BUILT_IN_CONTRACTS:
            return BUILT_IN
        return Catalogue((*self.built_in, *self.contracts))


def catalogue(workspace: Workspace, settings: GatewayConfig) -> Catalogue:
    """Every tool. Raises ConfigError: the first fault of a contract file."""
    found = connected_tools(workspace, settings)
    if found.faults:
        raise found.faults[0]
    return found.catalogue


def connected_tools(workspace: Workspace, settings: GatewayConfig) -> Connected:
    """The connected tools, each at its place and with its upstream's credential."""
    contracts: list[Contract] = []
    faults: list[BywireError] = []
    try:
        # All of them: whoever wrote a file that is skipped would take its bounds to be in force.
        found = workspace.directory.names(contract_files.DIRECTORY)
        names = [name for name in found if not contract_files.is_left_over(name)]
    except BywireError as error:
        return Connected((), (error,), _routed(workspace.operator))
    for name in names:
        try:
            contracts += _placed(_read(workspace, name), settings, workspace.operator)
        except BywireError as error:
            faults.append(error)
    return Connected(tuple(contracts), tuple(faults), _routed(workspace.operator))


def place_of(tools: Catalogue, tool: str, parameters: dict[str, Any], operator: OperatorConfig) -> tuple[str, str]:
    """(service, environment) of a call: what the contract says, for a built-in tool the operator's own."""
    contract = tools.find(tool)
    place = contract.place if contract is not None else None
    return place.of(parameters) if place is not None else (operator.service, operator.environment)


def _routed(operator: OperatorConfig) -> tuple[Contract, ...]:
    """The built-in contracts, each with the request that a connection of the operator makes of it."""
    routes = {
        (connection.executor, tool): route
        for connection in operator.connections
        for tool, route in connection.routes.items()
    }
    if not routes:
        return BUILT_IN_CONTRACTS
    return tuple(
        msgspec.structs.replace(contract, request=routes.get((contract.executor, contract.name)))
        for contract in BUILT_IN_CONTRACTS
    )


def _read(workspace: Workspace, name: str) -> tuple[Contract, ...]:
    found = _NAME.fullmatch(name)
    place = f"{contract_files.DIRECTORY}/{name}"
    if found is None:
        raise ConfigError(
            f"{workspace.directory.path / place} names no upstream",
            next_step="name it after its upstream: lower-case letters, digits, '-', then .yaml; or move it elsewhere",
        )
    upstream, bytes_max = found[1], contract_files.BYTES_MAX
    data = workspace.directory.read(place, bytes_max=bytes_max)
    source = str(workspace.directory.path / place)
    return parse(
        data,
        source,
        lambda value, said: contract_files.parse(value, said, upstream=upstream),
        bytes_max=bytes_max,
    )


def _placed(contracts: tuple[Contract, ...], settings: GatewayConfig, operator: OperatorConfig) -> tuple[Contract, ...]:
    """Contracts at the place of their upstream; what gateway.yaml does not name is taken for production."""
    found = []
    for contract in contracts:
        upstream = settings.upstream(contract.upstream)
        if contract.place is None:
            raise ValueError(f"{contract.name} has no place")
        service, environment = contract.place.service, contract.place.environment
        if upstream is not None:
            service, environment = upstream.service, upstream.environment or operator.environment
        place = msgspec.structs.replace(
            contract.place, service=service or operator.service, environment=environment or PRODUCTION
        )
        credential = upstream.credential if upstream is not None else ""
        found.append(msgspec.structs.replace(contract, place=place, credential=credential))
    return tuple(found)
