"""Credentials that the gateway sends to upstreams: where each is found, or how it is minted for one action."""

import msgspec

GITHUB = "https://api.github.com"


class Found(msgspec.Struct, frozen=True):
    """A token that lies in a file or in the environment; exactly one of the two is named."""

    token_env: str = ""
    token_file: str = ""


class VaultSecret(msgspec.Struct, frozen=True):
    """One field of a secret in a KV version 2 engine of Vault at `address`.

    `token` is what Vault is asked with. A value is used for at most `cache_seconds`, and no longer than its lease.
    """

    address: str
    token: Found
    path: str
    field: str
    mount: str = "secret"
    namespace: str = ""
    ca_file: str = ""
    private: bool = False
    cache_seconds: int = 30


class ServiceAccountToken(msgspec.Struct, frozen=True):
    """A token of a Kubernetes service account, asked for by TokenRequest for each action; it lives `seconds`."""

    address: str
    token: Found
    namespace: str
    service_account: str
    audiences: tuple[str, ...] = ()
    seconds: int = 600
    ca_file: str = ""
    private: bool = False


class AppToken(msgspec.Struct, frozen=True):
    """An installation token of a GitHub App, made for each action with these rights to these repositories.

    `tools` gives single tools other rights than `permissions`; each is a permission and `read` or `write`.
    """

    app_id: str
    installation_id: int
    private_key_file: str
    repositories: tuple[str, ...]
    permissions: dict[str, str]
    tools: dict[str, dict[str, str]] = {}
    address: str = GITHUB
    ca_file: str = ""
    private: bool = False

    def permissions_for(self, tool: str) -> dict[str, str]:
        """The rights that an action of this tool gets."""
        return self.tools.get(tool, self.permissions)


Source = Found | VaultSecret | ServiceAccountToken | AppToken


class GatewayCredential(msgspec.Struct, frozen=True):
    """One way to a credential. It goes to `origin` and nowhere else, in these environments (none named: in all)."""

    name: str
    origin: str
    source: Source
    private: bool = False
    environments: tuple[str, ...] = ()
