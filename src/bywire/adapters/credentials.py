"""Every credential by its name: those of operator.yaml's connections and those of gateway.yaml (RULES 23).

One is issued after the decision, for the tool and the environment that were decided, pinned to its origin, and handed
to the executor for this one action. None is kept here.
"""

from collections.abc import Callable, Iterable, Mapping

from bywire.adapters.credential_platform import CredentialPlatform, Minted
from bywire.adapters.found_credentials import LIFETIME_MS, FoundCredentials
from bywire.adapters.github_app import InstallationTokens
from bywire.adapters.kubernetes_tokens import ServiceAccountTokens
from bywire.adapters.operator_secret import secret_text
from bywire.adapters.pinned_http import parse_origin
from bywire.adapters.vault import VaultKv
from bywire.gateway.ports import Credential, IntentRow
from bywire.model.errors import ConfigError, TargetError
from bywire.model.gateway_credentials import AppToken, Found, GatewayCredential, ServiceAccountToken, VaultSecret

# (tool, now) -> a credential
Mint = Callable[[str, int], Minted]


class NamedCredentials:
    """`gateway.ports.Credentials`. Thread-safe."""

    def __init__(
        self,
        connections: FoundCredentials,
        configured: Iterable[GatewayCredential],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Raises ConfigError `origin_invalid`, `ca_unreadable`."""
        self._connections = connections
        self._ways: dict[str, list[tuple[GatewayCredential, str, Mint]]] = {}
        for one in configured:
            # The program of one upstream has no address; its link compares the name as others do the origin.
            is_child = one.origin.startswith("stdio:")
            origin = one.origin if is_child else str(parse_origin(one.origin, private=one.private))
            self._ways.setdefault(one.name, []).append((one, origin, _mint(one, environment)))

    def issue(self, name: str, row: IntentRow, now_ms: int) -> Credential:
        """The credential `name` for this one action. Raises TargetError `credential_unavailable`."""
        if name not in self._ways:
            return self._connections.issue(name, row, now_ms)
        return self._issued(name, row.tool, row.environment, now_ms)

    def for_read(self, name: str, now_ms: int, *, tool: str = "", environment: str = "") -> Credential:
        """The credential `name` for one read. Raises TargetError `credential_unavailable`."""
        if name not in self._ways:
            return self._connections.for_read(name, now_ms, tool=tool, environment=environment)
        return self._issued(name, tool, environment, now_ms)

    def _issued(self, name: str, tool: str, environment: str, now_ms: int) -> Credential:
        fitting = [way for way in self._ways[name] if not way[0].environments or environment in way[0].environments]
        if len(fitting) != 1:
            raise TargetError(
                f"there is no credential {name} for {environment or 'no environment'}",
                code="credential_unavailable",
                next_step=f"add a way for it to `credentials.{name}` in gateway.yaml, if there should be one",
            )
        one, origin, mint = fitting[0]
        made = mint(tool, now_ms)
        return Credential(
            name=name,
            value=made.value,
            origin=origin,
            expires_at_ms=made.expires_at_ms,
            minted=isinstance(one.source, ServiceAccountToken | AppToken),
        )


def _mint(one: GatewayCredential, environment: Mapping[str, str] | None) -> Mint:
    source = one.source
    if isinstance(source, Found):
        return lambda _tool, now_ms: _found(one.name, source, environment, now_ms)
    platform = CredentialPlatform(
        one.name, source.address, private=source.private, ca_file=source.ca_file, environment=environment
    )
    if isinstance(source, VaultSecret):
        vault = VaultKv(platform, source)
        return lambda _tool, now_ms: vault.value(now_ms)
    if isinstance(source, ServiceAccountToken):
        accounts = ServiceAccountTokens(platform, source)
        return lambda _tool, now_ms: accounts.mint(now_ms)
    return InstallationTokens(platform, source).mint


def _found(name: str, source: Found, environment: Mapping[str, str] | None, now_ms: int) -> Minted:
    try:
        return Minted(secret_text(source, environment), now_ms + LIFETIME_MS)
    except ConfigError as error:
        raise TargetError(
            f"there is no credential {name}: {error.message}",
            code="credential_unavailable",
            next_step=error.next_step,
        ) from error
