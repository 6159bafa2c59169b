"""Credentials that lie in a file or in the environment, handed out for one action at a time (RULES 23).

They are not minted: the platform made them long before, and the record of each issuance says so.
"""

from collections.abc import Mapping

from bywire.adapters.operator_secret import secret_text
from bywire.adapters.pinned_http import parse_origin
from bywire.gateway.ports import Credential, IntentRow
from bywire.model.connection import Connection
from bywire.model.errors import ConfigError, TargetError
from bywire.model.gateway_credentials import Found

LIFETIME_MS = 60_000


class FoundCredentials:
    """`gateway.ports.Credentials` for the operator's connections, by executor name."""

    def __init__(self, connections: Mapping[str, Connection], environment: Mapping[str, str] | None = None) -> None:
        self._connections = connections
        self._environment = environment

    def issue(self, name: str, row: IntentRow, now_ms: int) -> Credential:
        """The credential of connection `name`, for this action only. TargetError `credential_unavailable`."""
        return self._credential(name, now_ms + LIFETIME_MS)

    def for_read(self, name: str, now_ms: int, *, tool: str = "", environment: str = "") -> Credential:
        """The credential of connection `name`, for one read."""
        return self._credential(name, now_ms + LIFETIME_MS)

    def _credential(self, name: str, expires_at_ms: int) -> Credential:
        connection = self._connections.get(name)
        if connection is None:
            raise _missing(name, "no such connection is configured")
        try:
            value = secret_text(Found(connection.token_env, connection.token_file), self._environment)
        except ConfigError as error:
            raise _missing(name, error.message) from error
        return Credential(
            name=name,
            value=value,
            origin=str(parse_origin(connection.origin, private=connection.private)),
            expires_at_ms=expires_at_ms,
            minted=False,
        )


def _missing(name: str, why: str) -> TargetError:
    return TargetError(
        f"there is no credential for {name}: {why}",
        code="credential_unavailable",
        next_step="correct `connections` in operator.yaml, or the file or variable it names",
    )
