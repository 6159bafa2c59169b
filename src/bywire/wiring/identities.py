"""Agents of a workspace: who is registered for what, their tokens, and persons whose keys an ssh-agent holds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.key_files import draw_id
from bywire.adapters.sqlite_identity import remember_registrations, remembered_registrations
from bywire.adapters.sqlite_writer import Transaction
from bywire.adapters.ssh_agent import AgentSigner, SshAgent
from bywire.adapters.yaml_file import parse
from bywire.config import agents_config
from bywire.identity import tokens
from bywire.identity.registration import BUILT_IN, Registration, Registrations, built_in
from bywire.identity.session import open_session, request_session
from bywire.identity.trust import TrustedKey
from bywire.model.errors import ConfigError
from bywire.model.principal import KeyRole
from bywire.model.statement import AGENT_REGISTRATION, Statement, subject
from bywire.seal import jcs
from bywire.seal.keys import Signer
from bywire.wiring.catalogue import BUILT_IN as BUILT_IN_TOOLS
from bywire.wiring.catalogue import catalogue
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.key_changes import KeyChanged, append_statement, introduce_key, revoke_key
from bywire.wiring.workspace import Workspace

AGENT_REGISTRATION_KIND = "agent-registration"
TOOLS = frozenset(BUILT_IN_TOOLS.names())


class AgentStatus(msgspec.Struct, frozen=True):
    """One agent as it stands. `state` is active, expired, revoked, no-key or owner-differs."""

    registration: Registration
    state: str
    built_in: bool
    key_ids: tuple[str, ...]


class IssuedToken(msgspec.Struct, frozen=True):
    """A token, the agent and session it stands for, and when it expires (ms since the epoch)."""

    token: str
    principal: str
    session: str
    run: str
    expires_at_ms: int
    entry: int


def registrations(workspace: Workspace) -> Registrations:
    """Every registration in force: the built-in ones and agents.yaml, which is logged whenever it changed.

    An agent whose key names another owner than agents.yaml is left out: separation of duties rests on the owner.
    Raises ConfigError for a file that cannot be read.
    """
    listed = _listed(workspace)
    _log_change(workspace, listed)
    operator = workspace.operator
    sound = (registration for registration in listed if not _owner_differs(workspace, registration))
    return Registrations((*built_in(operator.agents_owner, operator.environment), *sound))


def agents(workspace: Workspace) -> tuple[AgentStatus, ...]:
    """Every agent, built in or registered, by name."""
    operator = workspace.operator
    known = [*built_in(operator.agents_owner, operator.environment), *_listed(workspace)]
    return tuple(_status(workspace, one) for one in sorted(known, key=lambda one: one.principal))


def register(workspace: Workspace, asked: Mapping[str, Any]) -> tuple[AgentStatus, int]:
    """Add an agent to agents.yaml, draw its key, trust it, and log both. Returns its status and the ledger index.

    `asked` is the agent as the file spells it. Running it again with the same values completes what was cut short.
    Raises ConfigError for what agents.yaml may not hold, and `agent_registered` when it lists other values.
    """
    tools = catalogue(workspace, read_gateway(workspace)).names()
    registration = agents_config.parse_agent(asked, "bywire agents register", people=_people(workspace), tools=tools)
    known = next((one for one in _listed(workspace) if one.principal == registration.principal), None)
    if known is None:
        _add(workspace, registration, asked)
    elif known != registration:
        raise ConfigError(
            f"{registration.principal} is registered with other values",
            code="agent_registered",
            next_step=f"edit {agents_config.FILE_NAME} in {workspace.directory.path}, or choose another name",
        )
    introduce_key(workspace, KeyRole.AGENT, registration.principal, registration.owner)
    entry = _log_change(workspace, _listed(workspace))
    return _status(workspace, registration), entry


def revoke_agent(workspace: Workspace, principal: str, reason: str) -> tuple[KeyChanged, ...]:
    """End every key of an agent, and its sessions with them. ConfigError `agent_revoked`: it has none."""
    held = workspace.trust.holding(KeyRole.AGENT, principal)
    if not held:
        raise ConfigError(
            f"{principal} has no key that is valid now", code="agent_revoked", next_step="bywire agents list"
        )
    return tuple(revoke_key(workspace, key.key_id, reason) for key in held)


def issue_token(
    workspace: Workspace,
    principal: str,
    *,
    run: str = "",
    parent: str = "",
    lifetime_seconds: int,
    tainted: bool = False,
    exchanged: Mapping[str, str] | None = None,
) -> IssuedToken:
    """A token for a registered agent: its own key opens a session, the token key signs for it, and the log says so.

    `tainted`: the run works on what strangers wrote. `exchanged` says what it was given for, and goes into the log.
    Raises ConfigError `agent_unregistered`, `registration_expired`, `agent_revoked`, `key_missing`; EvidenceError
    `session_refused` for a parent that is not open.
    """
    now_ms = workspace.clock.now_ms()
    registration = check_may_ask(workspace, principal, now_ms)
    if registration.expires_at_ms is not None:
        lifetime_seconds = min(lifetime_seconds, max(1, (registration.expires_at_ms - now_ms) // 1000))
    if not workspace.trust.holding(KeyRole.TOKEN, tokens.TOKEN_ISSUER):
        introduce_key(workspace, KeyRole.TOKEN, tokens.TOKEN_ISSUER, workspace.operator.agents_owner)
    trust = workspace.trust
    key = workspace.keys.load(KeyRole.AGENT, principal)
    jti, run = draw_id(), run or f"token-{draw_id()}"
    request = request_session(principal, run, jti, now_ms, key, workspace=trust.origin, parent=parent)
    session, _ = open_session(request, trust, now_ms, workspace.workspace_key)
    workspace.state.open_session(session)
    if tainted:
        workspace.state.taint(session.id)
    signer = workspace.keys.load(KeyRole.TOKEN, tokens.TOKEN_ISSUER)
    token = tokens.issue(session, signer, now_ms=now_ms, lifetime_seconds=lifetime_seconds, jti=jti)
    expires_at_ms = (now_ms // 1000 + lifetime_seconds) * 1000
    document = {"jti": jti, "principal": principal, "session": session.id, "run": run, "expires_at_ms": expires_at_ms}
    if exchanged is not None:
        document["exchanged"] = {**exchanged, "tainted": tainted}
    entry = workspace.record("token-issued", "workspace", document)
    return IssuedToken(token, principal, session.id, run, expires_at_ms, entry)


def check_may_ask(workspace: Workspace, principal: str, now_ms: int) -> Registration:
    """The registration of an agent that may be given a token now. Raises ConfigError as `issue_token`."""
    registration = registrations(workspace).find(principal)
    if registration is None:
        raise ConfigError(
            f"{principal} is not registered", code="agent_unregistered", next_step="bywire agents register --help"
        )
    if registration.expired(now_ms):
        raise ConfigError(
            f"the registration of {principal} expired",
            code="registration_expired",
            next_step=f"set a later `expires` in {agents_config.FILE_NAME}",
        )
    if not workspace.trust.holding(KeyRole.AGENT, principal):
        raise ConfigError(
            f"{principal} has no key that is valid now",
            code="agent_revoked",
            next_step=f"when it is safe again, draw it another one: bywire keys rotate agent {principal}",
        )
    return registration


def open_signer(workspace: Workspace, person: str, name: str, *, socket: Path | None = None) -> Signer:
    """The signer for a person's approver key that an ssh-agent holds, by its comment or SHA256 fingerprint.

    The key must be one that *our* trust root lists for this very person. Raises ConfigError `agent_missing`,
    `agent_key_missing`, `key_untrusted`.
    """
    agent = SshAgent(socket) if socket else SshAgent.from_environment()
    held = [key for key in agent.held() if name in {key.comment, key.public.fingerprint}]
    if not held:
        raise ConfigError(
            f"the ssh-agent holds no Ed25519 key {name[:128]!r}",
            code="agent_key_missing",
            next_step="look at what it holds: ssh-add -l; add one: ssh-add FILE",
        )
    entries = workspace.trust.holding(KeyRole.APPROVER, person)
    for key in held:
        for entry in entries:
            if (entry.public, entry.application) == (key.public.public, key.public.application):
                return AgentSigner(agent, key, entry.key_id)
    raise ConfigError(
        f"trust.json does not list this key as an approver key of {person}",
        code="key_untrusted",
        next_step=f"let the operator add it: bywire keys trust --as {person} --ssh-public FILE",
    )


def _listed(workspace: Workspace) -> tuple[Registration, ...]:
    place = workspace.directory.path / agents_config.FILE_NAME
    if not place.exists():
        return ()
    return _parsed(workspace, workspace.directory.read(agents_config.FILE_NAME))


def _parsed(workspace: Workspace, data: bytes) -> tuple[Registration, ...]:
    people, place = _people(workspace), str(workspace.directory.path / agents_config.FILE_NAME)
    return parse(data, place, lambda value, source: agents_config.parse(value, source, people=people, tools=TOOLS))


def _people(workspace: Workspace) -> frozenset[str]:
    return frozenset(person.id for person in workspace.operator.people)


def _add(workspace: Workspace, registration: Registration, asked: Mapping[str, Any]) -> None:
    """Append one agent to the file; what is there, comments too, stays as it is."""
    directory, name = workspace.directory, agents_config.FILE_NAME
    text = directory.read(name).decode() if (directory.path / name).exists() else ""
    before = _parsed(workspace, text.encode()) if text else ()
    text = text if before else f"{agents_config.HEADER}version: 1\nagents:\n"
    # JSON is YAML, and needs no quoting rules of our own.
    block = f"  - {json.dumps(dict(asked))}\n"
    added = f"{text.rstrip()}\n{block}".encode()
    if _parsed(workspace, added) != (*before, registration):
        raise ConfigError(
            f"{name} is laid out so that nothing can be added at its end",
            code="agents_layout",
            next_step=f"add this line to its agents yourself: {block.strip()}",
        )
    directory.write(name, added)


def _log_change(workspace: Workspace, listed: tuple[Registration, ...]) -> int:
    """Log the registrations of agents.yaml unless they were logged as they are; -1 when there was nothing to say."""
    document = {"registrations": [msgspec.to_builtins(registration) for registration in listed]}
    digest = jcs.digest(document)

    def work(tx: Transaction) -> int:
        if remembered_registrations(tx) == digest:
            return -1
        remember_registrations(tx, digest)
        statement = Statement(
            subject=(subject(agents_config.FILE_NAME, digest),), predicateType=AGENT_REGISTRATION, predicate=document
        )
        return append_statement(workspace, tx, AGENT_REGISTRATION_KIND, statement)

    row = workspace.reader.row("SELECT value FROM meta WHERE key = 'registrations'")
    if (row is None and not listed) or (row is not None and row[0] == digest):
        return -1
    # It only records what the operator decided, and must not keep a retreat from happening on a full disk.
    return workspace.writer.run(work, reducing=True)


def _owner_differs(workspace: Workspace, registration: Registration) -> bool:
    return any(
        key.owner != registration.owner for key in workspace.trust.keys if key.principal == registration.principal
    )


def _status(workspace: Workspace, registration: Registration) -> AgentStatus:
    keys = [key for key in workspace.trust.keys if key.principal == registration.principal]
    valid = tuple(key.key_id for key in keys if key.valid_at(None))
    state = _state(workspace, registration, keys, valid)
    return AgentStatus(registration, state, registration.principal in BUILT_IN, valid)


def _state(workspace: Workspace, registration: Registration, keys: list[TrustedKey], valid: tuple[str, ...]) -> str:
    if not valid:
        return "revoked" if keys else "no-key"
    if _owner_differs(workspace, registration):
        return "owner-differs"
    return "expired" if registration.expired(workspace.clock.now_ms()) else "active"
