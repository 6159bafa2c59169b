"""Keys come, follow one another and go; each time with a signed entry in the log that says so (RULES 25).

A replacement is five durable steps: the new key lies beside the old one; the trust root lists it, before it signs
anything; one transaction logs the change and retires the old key at that index; the trust root's file follows; the new
file takes the old one's place. Whatever step a crash leaves undone, the workspace works, and opening it does the rest.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec

from bywire.adapters.sqlite_identity import KEYS_LOCK, end_all_sessions, end_what_it_opened, retire
from bywire.adapters.sqlite_writer import Transaction
from bywire.identity.trust import TrustedKey, check_trust_root
from bywire.ledger.entry import leaf_bytes, statement_entry
from bywire.ledger.log import publish
from bywire.model.errors import ConfigError
from bywire.model.principal import KeyRole
from bywire.model.statement import KEY_CHANGE, Statement, Subject, subject
from bywire.seal import jcs
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import verify_key
from bywire.seal.ssh_wire import parse_public_line
from bywire.wiring.workspace import LOG_PRINCIPAL, Workspace

KEY_CHANGE_KIND = "key-change"
DELIVER_LOCK = "deliver"
KEY_ID_SHOWN_MIN = 8
_LIST = "bywire keys list"


class KeyChanged(msgspec.Struct, frozen=True):
    """What happened: `added` and `retired` are key ids or empty; `retired` signs nothing from log index `to_index` on.

    `ended` counts what was taken back with it; `entry` is the ledger index of the statement.
    """

    change: str
    role: str
    principal: str
    added: str
    retired: str
    to_index: int | None
    ended: dict[str, int]
    entry: int


def introduce_key(workspace: Workspace, role: KeyRole, principal: str, owner: str) -> TrustedKey:
    """The trusted key of a principal in this workspace; drawn, logged and trusted unless it is already.

    Raises ConfigError `key_retired` when the one that lies here was revoked.
    """
    with _held(workspace):
        keys, trust = workspace.keys, workspace.trust
        made = keys.obtain(role, principal, owner)
        known = trust.entry(made.key_id)
        if known is None:
            return _trusted(workspace, made)
    if not known.valid_at(None):
        raise ConfigError(
            f"the key of {principal} was revoked",
            code="key_retired",
            next_step=f"draw another one: bywire keys rotate {role} {principal}",
        )
    return known


def trust_ssh_key(workspace: Workspace, person: str, line: str) -> TrustedKey:
    """Trust a person's OpenSSH key as an approver key: one in an ssh-agent, or on a FIDO token.

    Raises EvidenceError `ssh_malformed`, `ssh_key_unsupported`, `trust_invalid`; ConfigError `person_unknown`,
    `key_exists`.
    """
    if person not in {known.id for known in workspace.operator.people}:
        raise ConfigError(
            f"{person} is not one of the people", code="person_unknown", next_step="add them to operator.yaml first"
        )
    key = parse_public_line(line)
    made = TrustedKey(
        key_id=verify_key(key.public, key.application).key_id,
        role=KeyRole.APPROVER,
        principal=person,
        public=key.public,
        application=key.application,
    )
    with _held(workspace):
        if any(known.public == made.public for known in workspace.trust.keys):
            raise ConfigError("this key is in trust.json already", code="key_exists", next_step=_LIST)
        # Before it is logged: the log must not name a key that the trust root then refuses.
        check_trust_root(msgspec.structs.replace(workspace.trust, keys=(*workspace.trust.keys, made)))
        return _trusted(workspace, made)


def replace_key(
    workspace: Workspace, role: KeyRole, principal: str, *, passphrase: bytes | None = None, retiring: str = ""
) -> KeyChanged:
    """Draw a new key for a principal and retire the one it had. Safe to run again after a crash.

    Raises ConfigError `key_missing`, `key_ambiguous`; ConflictError `workspace_busy` for the log's key while a delivery
    runs, because whoever holds the old key could record nothing more.
    """
    with _held(workspace, *([DELIVER_LOCK] if role is KeyRole.LOG else [])):
        keys, trust, steps = workspace.keys, workspace.trust, workspace.steps
        new = keys.trusted_successor(role, principal, trust)
        old, owner = _replaced(workspace, role, principal, retiring, new)
        if new is None:
            new = keys.draw_successor(role, principal, old.key_id if old else "", owner, passphrase)
            steps.reached("keys.drawn")
            size = workspace.writer.run(lambda tx: tx.entry_count())
            new = msgspec.structs.replace(new, from_index=size)
            keys.save_trust(msgspec.structs.replace(trust, keys=(*trust.keys, new)))
        steps.reached("keys.trusted")
        changed = workspace.writer.run(lambda tx: _follow(workspace, tx, new, old))
        steps.reached("keys.retired")
        keys.save_trust(workspace.trust)
        steps.reached("keys.saved")
        keys.swap_in(new)
        steps.reached("keys.swapped")
        if role is KeyRole.LOG:
            workspace.log_key = keys.load(role, principal)
            workspace.publish()
        return changed


def revoke_key(workspace: Workspace, name: str, reason: str, *, since_index: int | None = None) -> KeyChanged:
    """End a key now, and with it every session, approval and broken glass that it may have opened.

    `name` is its id (eight digits suffice), or a principal that has one valid key.
    `since_index` is the first log index at which it may have been in other hands: what it signed from there on is
    believed no more. Raises ConfigError `key_unknown`, `key_ambiguous`, `key_retired`, `log_key_needed`.
    """
    with _held(workspace):
        key = _named(workspace, name)
        if key.role is KeyRole.LOG:
            raise ConfigError(
                "the log cannot be without a key",
                code="log_key_needed",
                next_step="replace it: bywire keys rotate log",
            )
        if not key.valid_at(None) and since_index is None:
            raise ConfigError(f"key {key.key_id[:12]} ended already", code="key_retired", next_step=_LIST)

        def work(tx: Transaction) -> KeyChanged:
            now_ms, index = workspace.clock.now_ms(), tx.entry_count()
            end = index if since_index is None else min(since_index, index)
            ended = end_what_it_opened(tx, key, now_ms)
            retire(tx, key.key_id, end, reason, now_ms)
            return _logged(workspace, tx, "revoked", key, retired=key.key_id, to_index=end, ended=ended, reason=reason)

        changed = workspace.writer.run(work, reducing=True)
        workspace.steps.reached("keys.retired")
        workspace.keys.save_trust(workspace.trust)
        return changed


def replace_workspace_key(workspace: Workspace, reason: str) -> KeyChanged:
    """Draw another HMAC key and revoke every session. What was redacted under the old one is not recognised again.

    Whatever runs is refused at its next call; a canary then goes back when its lease runs out.
    """
    with _held(workspace):
        # Before and after: no session outlives the lost key, wherever this is cut short, and none comes meanwhile.
        now_ms = workspace.clock.now_ms
        before = workspace.writer.run(lambda tx: end_all_sessions(tx, now_ms()), reducing=True)

        def work(tx: Transaction) -> KeyChanged:
            after = end_all_sessions(tx, now_ms())
            ended = {name: before.get(name, 0) + after.get(name, 0) for name in before | after}
            document = {"change": "rotated", "key": "workspace", "reason": reason, "ended": ended}
            entry = _append(workspace, tx, document, subject("workspace", jcs.digest(document)))
            return KeyChanged("rotated", "workspace", "", "", "", None, ended, entry)

        workspace.keys.replace_workspace_key()
        workspace.steps.reached("keys.swapped")
        return workspace.writer.run(work, reducing=True)


@contextmanager
def _held(workspace: Workspace, *more: str) -> Iterator[None]:
    """One process at a time changes keys."""
    with ExitStack() as locks:
        for name in (KEYS_LOCK, *more):
            locks.enter_context(workspace.directory.lock(name))
        yield


def _trusted(workspace: Workspace, made: TrustedKey) -> TrustedKey:
    """Log a key, then trust it from that index on."""
    changed = workspace.writer.run(lambda tx: _logged(workspace, tx, "added", made, added=made.key_id))
    workspace.steps.reached("keys.added")
    made, trust = msgspec.structs.replace(made, from_index=changed.entry), workspace.trust
    workspace.keys.save_trust(msgspec.structs.replace(trust, keys=(*trust.keys, made)))
    return made


def _follow(workspace: Workspace, tx: Transaction, new: TrustedKey, old: TrustedKey | None) -> KeyChanged:
    if old is None:
        return _logged(workspace, tx, "added", new, added=new.key_id)
    # The old log key signs its own end and a checkpoint over it: whoever trusts it learns of its successor.
    end = tx.entry_count() + (1 if new.role is KeyRole.LOG else 0)
    changed = _logged(workspace, tx, "rotated", new, added=new.key_id, retired=old.key_id, to_index=end)
    if new.role is KeyRole.LOG:
        publish(tx, workspace.trust.origin, workspace.log_key)
    retire(tx, old.key_id, end, "rotated", workspace.clock.now_ms())
    return changed


def _logged(
    workspace: Workspace,
    tx: Transaction,
    change: str,
    key: TrustedKey,
    *,
    added: str = "",
    retired: str = "",
    to_index: int | None = None,
    ended: dict[str, int] | None = None,
    reason: str = "",
) -> KeyChanged:
    document = {
        "change": change,
        "role": str(key.role),
        "principal": key.principal,
        "owner": key.owner,
        "added": added,
        "public": key.public if added else "",
        "application": key.application if added else "",
        "retired": retired,
        "to_index": to_index,
        "ended": ended or {},
        "reason": reason,
    }
    entry = _append(workspace, tx, document, subject(key.principal, added or retired))
    return KeyChanged(change, str(key.role), key.principal, added, retired, to_index, ended or {}, entry)


def _append(workspace: Workspace, tx: Transaction, document: dict[str, Any], about: Subject) -> int:
    user = workspace.repository.user()
    statement = Statement(
        subject=(about,), predicateType=KEY_CHANGE, predicate={**document, "by": user.name if user else ""}
    )
    return append_statement(workspace, tx, KEY_CHANGE_KIND, statement)


def append_statement(workspace: Workspace, tx: Transaction, kind: str, statement: Statement) -> int:
    """Log a statement of the workspace itself, signed by the log's key; returns its ledger index."""
    envelope = sign_statement(statement, workspace.log_key)
    now_ms, signer = workspace.clock.now_ms(), workspace.log_key.key_id
    return tx.append(leaf_bytes(statement_entry(kind, now_ms, "workspace", envelope, statement, signer)), [envelope])


def _replaced(
    workspace: Workspace, role: KeyRole, principal: str, retiring: str, new: TrustedKey | None
) -> tuple[TrustedKey | None, str]:
    """The key to retire, if one is valid, and the owner of the principal."""
    known = [key for key in workspace.trust.keys if (key.role, key.principal) == (role, principal)]
    listed = role is KeyRole.APPROVER and any(person.id == principal for person in workspace.operator.people)
    if not known and listed:
        return None, ""  # the first key of a person whom the operator named
    if not known:
        raise ConfigError(f"{principal} has no key of role {role}", code="key_missing", next_step=_LIST)
    valid = [key for key in known if key.valid_at(None) and not key.application and key != new]
    chosen = [key for key in valid if key.key_id.startswith(retiring)] if retiring else valid
    if len(chosen) > 1 or (retiring and not chosen):
        raise ConfigError(
            f"{principal} has {len(valid)} keys that could be meant",
            code="key_ambiguous",
            next_step="name the one that goes: --retire KEYID (bywire keys list)",
        )
    return next(iter(chosen), None), known[0].owner


def _named(workspace: Workspace, name: str) -> TrustedKey:
    """By id, by the start of one, or by the principal whose only valid key it is."""
    if ":" in name:
        found = [key for key in workspace.trust.keys if key.principal == name and key.valid_at(None)]
    else:
        found = [key for key in workspace.trust.keys if key.key_id.startswith(name)]
    if not found or len(name) < KEY_ID_SHOWN_MIN:
        raise ConfigError(f"there is no key {name[:64]}", code="key_unknown", next_step=_LIST)
    if len(found) > 1:
        raise ConfigError(
            f"{name} could mean {len(found)} keys", code="key_ambiguous", next_step=f"name one by its id: {_LIST}"
        )
    return found[0]


def default_principal(workspace: Workspace, role: KeyRole) -> str:
    """The one principal that holds keys of a role. ConfigError `key_ambiguous` when there are several."""
    held = sorted({key.principal for key in workspace.trust.keys if key.role is role})
    if role is KeyRole.LOG:
        return LOG_PRINCIPAL
    if len(held) != 1:
        raise ConfigError(
            f"keys of role {role} are held by {', '.join(held) or 'nobody'}",
            code="key_ambiguous",
            next_step=f"name one: bywire keys rotate {role} PRINCIPAL",
        )
    return held[0]
