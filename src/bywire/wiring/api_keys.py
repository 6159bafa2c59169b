"""API keys of a workspace: made for one agent, shown once, kept as a keyed digest, and logged. They only buy tokens."""

from bywire.adapters.key_files import draw_id, draw_secret
from bywire.adapters.sqlite_api_keys import ApiKeyRow, SqliteApiKeys, insert_api_key, revoke_api_keys
from bywire.adapters.sqlite_writer import Transaction
from bywire.identity import exchange
from bywire.identity.registration import BUILT_IN
from bywire.model.errors import ConfigError
from bywire.model.gateway_issuers import ApiKeys
from bywire.wiring.identities import check_may_ask
from bywire.wiring.workspace import Workspace

API_KEY_KIND = "api-key"
ID_DIGITS = 12
DAY_MS = 86_400_000
_LIST = "bywire agents api-key list"


def api_keys(workspace: Workspace) -> tuple[ApiKeyRow, ...]:
    """Every API key ever made, oldest first."""
    return SqliteApiKeys(workspace.writer, workspace.reader).all()


def create_api_key(
    workspace: Workspace, agent: str, *, days: int, note: str, settings: ApiKeys
) -> tuple[str, ApiKeyRow, int]:
    """(the key, what is kept of it, the ledger index). The key is nowhere else.

    Raises ConfigError `api_keys_off`, `api_key_lifetime`, `agent_built_in`, and as `issue_token` for an agent that may
    not be given a token now; ConflictError `api_keys_many`.
    """
    if not settings.allowed:
        raise ConfigError(
            "gateway.yaml takes no API keys",
            code="api_keys_off",
            next_step="set `api_keys.allowed: true`, if it should",
        )
    if not 1 <= days <= settings.days_max:
        raise ConfigError(
            f"an API key lives for 1 to {settings.days_max} days",
            code="api_key_lifetime",
            next_step="choose fewer, or raise `api_keys.days_max` in gateway.yaml",
        )
    if agent in BUILT_IN:
        raise ConfigError(
            f"{agent} works inside bywire only", code="agent_built_in", next_step="bywire agents register --help"
        )
    now_ms = workspace.clock.now_ms()
    check_may_ask(workspace, agent, now_ms)
    key_id = draw_id()[:ID_DIGITS]
    text = exchange.api_key(key_id, draw_secret())
    row = ApiKeyRow(
        id=key_id,
        mac=exchange.mac(workspace.workspace_key, "api-key", text),
        agent=agent,
        note=note,
        created_ms=now_ms,
        expires_ms=now_ms + days * DAY_MS,
        revoked_ms=None,
        reason="",
    )
    document = {
        "change": "created",
        "id": key_id,
        "agent": agent,
        "note": note,
        "expires_at_ms": row.expires_ms,
        "by": _by(workspace),
    }
    entry = workspace.change_state(API_KEY_KIND, document, lambda tx: insert_api_key(tx, row))
    return text, row, entry


def revoke_api_key(workspace: Workspace, key_id: str, reason: str) -> tuple[ApiKeyRow, int]:
    """End an API key now. What it was exchanged for ends by itself within 15 minutes, or at once with the agent.

    Raises ConfigError `api_key_unknown`, `api_key_revoked`.
    """
    keys = SqliteApiKeys(workspace.writer, workspace.reader)
    # People paste what they see; the secret half must reach no log.
    shown = key_id.removeprefix(exchange.API_KEY_PREFIX)[:ID_DIGITS]
    row = keys.find(shown)
    if row is None:
        raise ConfigError("there is no such API key", code="api_key_unknown", next_step=_LIST)
    document = {"change": "revoked", "id": row.id, "agent": row.agent, "reason": reason, "by": _by(workspace)}

    def change(tx: Transaction) -> None:
        if not revoke_api_keys(tx, workspace.clock.now_ms(), reason, key_id=row.id):
            raise ConfigError(f"API key {row.id} was revoked already", code="api_key_revoked", next_step=_LIST)

    return row, workspace.change_state(API_KEY_KIND, document, change)


def _by(workspace: Workspace) -> str:
    user = workspace.repository.user()
    return user.name if user else ""
