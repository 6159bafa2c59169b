"""Credentials that lie in a file or in the environment, handed out for one action at a time (RULES 23).

They are not minted: the platform made them long before, and the record of each issuance says so.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from bywire.adapters.pinned_http import parse_origin
from bywire.gateway.ports import Credential, IntentRow
from bywire.model.connection import Connection
from bywire.model.errors import TargetError

LIFETIME_MS = 60_000
BYTES_MAX = 16_384
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class FoundCredentials:
    """`gateway.ports.Credentials` for the operator's connections, by executor name."""

    def __init__(self, connections: Mapping[str, Connection], environment: Mapping[str, str] | None = None) -> None:
        self._connections = connections
        self._environment = os.environ if environment is None else environment

    def issue(self, name: str, row: IntentRow, now_ms: int) -> Credential:
        """The credential of connection `name`, for this action only. TargetError `credential_unavailable`."""
        return self._credential(name, now_ms + LIFETIME_MS)

    def for_read(self, name: str, now_ms: int) -> Credential:
        """The credential of connection `name`, for one read."""
        return self._credential(name, now_ms + LIFETIME_MS)

    def _credential(self, name: str, expires_at_ms: int) -> Credential:
        connection = self._connections.get(name)
        if connection is None:
            raise _missing(name, "no such connection is configured")
        value = self._found(connection).strip()
        if not value or not value.isascii() or not value.isprintable():
            raise _missing(name, "it is empty or not plain text")
        return Credential(
            name=name,
            value=value,
            origin=str(parse_origin(connection.origin, private=connection.private)),
            expires_at_ms=expires_at_ms,
            minted=False,
        )

    def _found(self, connection: Connection) -> str:
        if connection.token_env:
            return self._environment.get(connection.token_env, "")
        path = Path(connection.token_file)
        try:
            with path.open("rb") as file:
                # Asked of the open file: a path could lead elsewhere a moment later.
                if os.fstat(file.fileno()).st_mode & _OTHERS:
                    raise _missing(connection.executor, f"{path} is readable by others: chmod 600, replace the token")
                return file.read(BYTES_MAX).decode("ascii", "replace")
        except OSError as error:
            raise _missing(connection.executor, f"{path}: {error.strerror}") from error


def _missing(name: str, why: str) -> TargetError:
    return TargetError(
        f"there is no credential for {name}: {why}",
        code="credential_unavailable",
        next_step="correct `connections` in operator.yaml, or the file or variable it names",
    )
