"""What `bywire doctor` looks at: what works, what this host cannot promise, and every way around the door it sees."""

import platform
from collections.abc import Callable
from enum import StrEnum

import msgspec

from bywire import __version__
from bywire.adapters.sandbox_result import IsolationLevel
from bywire.adapters.surroundings import mode_of, runs_as_root, ways_around
from bywire.ledger.checkpoint import log_keys
from bywire.ledger.verify import check_tail
from bywire.model.errors import BywireError
from bywire.model.principal import KeyRole
from bywire.policy.engine import ENGINE_VERSION
from bywire.wiring.workspace import Workspace


class Health(StrEnum):
    """How a check ended. `limit`: works as designed, but promises less than it could."""

    WORKS = "works"
    LIMIT = "limit"
    BROKEN = "broken"


class Check(msgspec.Struct, frozen=True):
    """One line of the examination."""

    name: str
    health: Health
    says: str
    fix: str = ""


def examine(workspace: Workspace) -> tuple[Check, ...]:
    """Every check; none of them changes anything, and none of them says `secure`."""
    return (
        Check("version", Health.WORKS, f"bywire {__version__}, Python {platform.python_version()}, {ENGINE_VERSION}"),
        _run("ledger", lambda: _ledger(workspace)),
        _run("policy", lambda: _policy(workspace)),
        _run("keys", lambda: _keys(workspace)),
        _run("target", lambda: _target(workspace)),
        _isolation(workspace),
        _same_user(),
        *(Check("way around", Health.LIMIT, f"{way.what}: {way.where}", way.fix) for way in ways_around()),
    )


def _run(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except BywireError as error:
        return Check(name, Health.BROKEN, error.message, error.next_step)


def _ledger(workspace: Workspace) -> Check:
    trust = workspace.trust
    size = workspace.writer.run(
        lambda tx: check_tail(tx, trust.origin, log_keys(trust), workspace.witness_notes()), reducing=True
    )
    return Check("ledger", Health.WORKS, f"{size} entries; not behind the last published checkpoint")


def _policy(workspace: Workspace) -> Check:
    bundle = workspace.bundle()
    return Check(
        "policy", Health.WORKS, f"revision {bundle.manifest.revision}, {bundle.digest[:16]}, compiles and lints"
    )


def _keys(workspace: Workspace) -> Check:
    for path in sorted((workspace.directory.path / "keys").iterdir()):
        if mode_of(path) & 0o077:
            return Check(
                "keys", Health.BROKEN, f"{path.name} is readable by others", f"chmod 600 {path}; replace the key"
            )
    approvers = [key for key in workspace.trust.keys if key.role is KeyRole.APPROVER]
    here = [key.principal for key in approvers if workspace.keys.holds(KeyRole.APPROVER, key.principal)]
    if here:
        return Check(
            "keys",
            Health.LIMIT,
            f"the approver key of {', '.join(here)} lies on this host",
            f"bywire approvals protect --as {here[0].partition(':')[2]}; or keep it elsewhere and approve with --key",
        )
    return Check("keys", Health.WORKS, f"{len(workspace.trust.keys)} keys, private to this user")


def _target(workspace: Workspace) -> Check:
    if not workspace.target.was_started():
        return Check(
            "target", Health.LIMIT, "nothing was deployed yet, so no target runs", "bywire deliver --goal TEXT"
        )
    status = workspace.target.status()
    stable = status["stable"]
    serving = f"serves {stable['digest'][:12]}" if stable else "serves nothing yet"
    return Check("target", Health.WORKS, f"local target on port {status['router_port']} {serving}")


def _isolation(workspace: Workspace) -> Check:
    report = workspace.sandbox.isolation()
    if report.level is IsolationLevel.OWN_UID:
        return Check("isolation", Health.WORKS, report.sentence)
    return Check("isolation", Health.LIMIT, report.sentence, "run on Linux 5.12 or later with user namespaces")


def _same_user() -> Check:
    who = "root" if runs_as_root() else "the same user"
    return Check(
        "same user",
        Health.LIMIT,
        f"anything that runs as {who} outside the sandbox can read the operator directory and reach the service's port",
        "run agents as another user; what bywire cannot stop is listed in SECURITY.md",
    )
