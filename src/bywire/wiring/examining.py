"""What `bywire doctor` looks at: what works, what cannot be promised, every way around the door, the checklists.

None of it changes anything, but for a stop that is rehearsed and undone; and none of it says that all is well: what was
not looked at is not known. A new check is one function of the workspace that returns a `Check`; it is listed in CHECKS.
"""

import platform
from collections.abc import Callable
from enum import StrEnum

import msgspec

from bywire import __version__
from bywire.adapters.credentials_around import credentials_around
from bywire.adapters.host_around import host_around
from bywire.adapters.sandbox_result import IsolationLevel
from bywire.adapters.surroundings import Surroundings, WayAround, mode_of, text
from bywire.ledger.checkpoint import log_keys
from bywire.ledger.verify import check_tail
from bywire.model.errors import BywireError
from bywire.model.principal import KeyRole
from bywire.policy.engine import ENGINE_VERSION
from bywire.wiring.breaking_glass import unsettled_glass
from bywire.wiring.config_in_force import servers, start_fault
from bywire.wiring.inventory import EntryPoint, inventory
from bywire.wiring.practical import practical
from bywire.wiring.readiness import Readiness, readiness
from bywire.wiring.reconciling import look, recorded_findings
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


class Examination(msgspec.Struct, frozen=True):
    """Everything that was looked at, by section."""

    checks: tuple[Check, ...]
    ways_around: tuple[WayAround, ...]
    readiness: tuple[Readiness, ...]
    practical: tuple[Readiness, ...]
    inventory: tuple[EntryPoint, ...]

    @property
    def broken(self) -> tuple[Check, ...]:
        """The checks that found something broken."""
        return tuple(check for check in self.checks if check.health is Health.BROKEN)


def examine(workspace: Workspace, around: Surroundings) -> Examination:
    """Every section."""
    checks = [_run(name, check, workspace) for name, check in CHECKS]
    checks.append(_same_user(around))
    ways = ways_around(workspace, around)
    try:
        entries = inventory(workspace)
    except BywireError as error:
        entries = ()
        checks.append(Check("inventory", Health.BROKEN, error.message, error.next_step))
    ready = readiness(workspace, entries)
    return Examination(tuple(checks), ways, ready, practical(workspace, entries, ways, ready), entries)


def ways_around(workspace: Workspace, around: Surroundings) -> tuple[WayAround, ...]:
    """Every way around the door that can be seen from here."""
    configuration = text(workspace.repo / ".git" / "config")
    return (*credentials_around(around, configuration), *host_around(around, workspace.directory.path, workspace.repo))


def _run(name: str, check: Callable[[Workspace], Check], workspace: Workspace) -> Check:
    try:
        return check(workspace)
    except BywireError as error:
        return Check(name, Health.BROKEN, error.message, error.next_step)


def _version(_workspace: Workspace) -> Check:
    return Check("version", Health.WORKS, f"bywire {__version__}, Python {platform.python_version()}, {ENGINE_VERSION}")


def _ledger(workspace: Workspace) -> Check:
    trust = workspace.trust
    size = workspace.writer.run(
        lambda tx: check_tail(tx, trust.origin, log_keys(trust), workspace.witness_notes()), reducing=True
    )
    return Check("ledger", Health.WORKS, f"{size} entries; not behind the last published checkpoint")


def _policy(workspace: Workspace) -> Check:
    bundle, refused = workspace.bundle(), workspace.policies.refused
    if refused is not None:
        return Check(
            "policy", Health.BROKEN, f"the copy in policy/ is not in force: {refused.message}", refused.next_step
        )
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


def _reconcile(workspace: Workspace) -> Check:
    """Changes without bywire: those of the ledger that nobody answers for, and those that are not even in it."""
    recorded = recorded_findings(workspace)
    known = {item.finding.id for item in recorded}
    compared = look(workspace)
    waiting = [item.finding.id for item in recorded if not item.owner]
    waiting += [finding.id for finding in compared.findings if finding.id not in known]
    seen = f"{compared.coverage.mediated} of {compared.coverage.changes} changes of the target went through bywire"
    if waiting:
        return Check(
            "reconcile", Health.BROKEN, f"{seen}; nobody answers for {', '.join(waiting[:5])}", "bywire reconcile"
        )
    return Check("reconcile", Health.WORKS, seen)


def _isolation(workspace: Workspace) -> Check:
    report = workspace.sandbox.isolation()
    if report.level is IsolationLevel.OWN_UID:
        return Check("isolation", Health.WORKS, report.sentence)
    return Check("isolation", Health.LIMIT, report.sentence, "run on Linux 5.12 or later with user namespaces")


def _same_user(around: Surroundings) -> Check:
    who = "root" if around.uid == 0 else "the same user"
    return Check(
        "same user",
        Health.LIMIT,
        f"anything that runs as {who} outside the sandbox can read the operator directory and reach the service's port",
        "run agents as another user; what bywire cannot stop is listed in docs/security.md",
    )


def _witnesses(workspace: Workspace) -> Check:
    report = workspace.witness_report()
    return Check("witnesses", Health(report.health), report.says, report.fix)


def _configuration(workspace: Workspace) -> Check:
    """Whether what runs is what is written: a server reads its files when it starts, and only then."""
    running = servers(workspace)
    stale = [(note, said) for note, said in running if said.files]
    if stale:
        note, said = stale[0]
        what = f"{note.url} (process {note.process}) goes on with what it read when it started: {said.says} since"
        why = f"; {said.fault['message']}" if said.fault else ""
        return Check("configuration", Health.BROKEN if said.fault else Health.LIMIT, what + why, said.next_step)
    fault = start_fault(workspace)
    if fault is not None:
        what = f"bywire serve would not start: {fault.message}"
        return Check("configuration", Health.BROKEN, what, fault.next_step)
    told = f"{len(running)} bywire serve, as the files are now" if running else "can be read; no bywire serve runs here"
    return Check("configuration", Health.WORKS, told)


def _emergencies(workspace: Workspace) -> Check:
    unsettled = unsettled_glass(workspace)
    if not unsettled:
        return Check("emergencies", Health.WORKS, "no glass is broken, and no post-mortem is owed")
    told = ", ".join(f"{item.id} of {item.person} ({item.state})" for item in unsettled)
    return Check(
        "emergencies", Health.LIMIT, f"broken glass that is open or unanswered: {told}", "bywire break-glass list"
    )


CHECKS: tuple[tuple[str, Callable[[Workspace], Check]], ...] = (
    ("version", _version),
    ("ledger", _ledger),
    ("policy", _policy),
    ("keys", _keys),
    ("target", _target),
    ("configuration", _configuration),
    ("witnesses", _witnesses),
    ("emergencies", _emergencies),
    ("reconcile", _reconcile),
    ("isolation", _isolation),
)
