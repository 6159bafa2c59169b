"""Executors and credentials of the operator's connections."""

from collections.abc import Mapping

from bywire.adapters.found_credentials import FoundCredentials
from bywire.adapters.http_executor import HttpExecutor
from bywire.adapters.pinned_http import PinnedHttp, parse_origin
from bywire.gateway.ports import Executor
from bywire.model.connection import Connection
from bywire.model.operator import OperatorConfig


def connected(operator: OperatorConfig) -> tuple[Mapping[str, Executor], FoundCredentials]:
    """(executor by name, credentials). Raises ConfigError `origin_invalid`."""
    by_name = {connection.executor: connection for connection in operator.connections}
    credentials = FoundCredentials(by_name)
    return {name: _executor(connection) for name, connection in by_name.items()}, credentials


def _executor(connection: Connection) -> Executor:
    client = PinnedHttp(parse_origin(connection.origin, private=connection.private))
    return HttpExecutor(client, connection.routes, connection.executor)
