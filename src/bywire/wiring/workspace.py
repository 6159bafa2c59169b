"""One open workspace: configuration, keys, database, policy, target and door of one repository."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from bywire.adapters.clock import HighWaterClock
from bywire.adapters.disk_reserve import DiskReserve
from bywire.adapters.git_repository import GitRepository
from bywire.adapters.key_files import KeyFiles
from bywire.adapters.local_target_client import LocalTarget
from bywire.adapters.operator_dir import OperatorDirectory, operator_path
from bywire.adapters.releases import Releases
from bywire.adapters.sandbox import Sandbox
from bywire.adapters.sandbox_result import SandboxLimits
from bywire.adapters.sqlite_approvals import SqliteApprovals
from bywire.adapters.sqlite_break_glass import SqliteBreakGlass
from bywire.adapters.sqlite_database import connect
from bywire.adapters.sqlite_deliveries import SqliteDeliveries
from bywire.adapters.sqlite_envelope_state import SqliteMachines, SqliteState
from bywire.adapters.sqlite_identity import FollowedTrust, finish_replacements, refuse_retired
from bywire.adapters.sqlite_journal import SqliteJournal
from bywire.adapters.sqlite_ledger import SqliteLedger, open_reader
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Transaction, Writer
from bywire.adapters.witness_memory import WitnessMemory
from bywire.adapters.workspace_presence import Presence
from bywire.adapters.yaml_file import parse, read_bytes
from bywire.config import operator_config
from bywire.gateway.ports import Steps
from bywire.identity.session import open_session, request_session
from bywire.identity.tokens import TokenVerifier
from bywire.identity.trust import TrustRoot
from bywire.ledger.checkpoint import log_keys
from bywire.ledger.entry import leaf_bytes, record_entry
from bywire.ledger.erasure import eraser_keys
from bywire.ledger.log import consistency_proof, publish
from bywire.ledger.verify import check_tail
from bywire.model.errors import BywireError, ConfigError
from bywire.model.operator import OperatorConfig
from bywire.model.principal import KeyRole
from bywire.policy.bundle import Bundle
from bywire.policy.engine import PolicyEngine
from bywire.seal import jcs
from bywire.seal.keys import SigningKey
from bywire.wiring.changes import DeliveredChanges
from bywire.wiring.policy_in_force import PolicyInForce
from bywire.wiring.witness_report import WitnessReport
from bywire.wiring.witnessing import Witnesses

DATABASE_FILE = "bywire.db"
OPERATOR_FILE = "operator.yaml"
WITNESS_FILE = "checkpoint.note"
LOG_PRINCIPAL = "workload:log"


class NoSteps:
    """Nothing happens at the named points; tests pass their own."""

    def reached(self, step: str) -> None:
        """Do nothing."""


class Workspace:
    """Everything concrete of one repository. Close it when done.

    `take_over` takes a new lease epoch, which fences every earlier process off the target.
    """

    def __init__(self, repo: Path, directory: OperatorDirectory, *, steps: Steps, take_over: bool, check: bool) -> None:
        self.repo = repo
        self.directory = directory
        self._presence: Presence | None = None
        self.steps = steps
        self.operator = read_operator(directory)
        self.keys = KeyFiles(directory)
        self.keys.trust()  # what is damaged is said before a database is made
        self.workspace_key = self.keys.workspace_key()
        database = directory.path / DATABASE_FILE
        # Whatever refuses to go on leaves nothing open behind it.
        with ExitStack() as opening:
            self.writer = Writer(database, reserve=DiskReserve(database.with_name(f"{DATABASE_FILE}.reserve")))
            opening.callback(self.writer.close)
            self.reader = Reader(database)
            opening.callback(self.reader.close)
            self._trust = FollowedTrust(self.keys, self.reader)
            self.sessions = TokenVerifier(self._trust.current, self.workspace_key)
            self.log_key = self._settle_keys()
            self.ledger = SqliteLedger(connect(database, read_only=True))
            opening.callback(self.ledger.close)
            self.state = SqliteState(self.writer, self.reader)
            self.clock = HighWaterClock(self.state.high_water_ms())
            self.approvals = SqliteApprovals(self.writer, self.reader)
            self.break_glass = SqliteBreakGlass(self.writer, self.reader)
            self.machines = SqliteMachines(self.writer, self.reader)
            self.deliveries = SqliteDeliveries(self.writer, self.reader)
            self.repository = GitRepository(repo)
            self.changes = DeliveredChanges(self.repository, self.machines)
            self.sandbox = _sandbox(self.operator, directory.path)
            # Beside, not inside, the operator directory: instances run from here and must not see that one.
            self.releases = Releases(directory.path.with_name(f"{directory.path.name}-releases"))
            self.target = LocalTarget(
                directory.path / "target", search_path=self.operator.isolation.path, hide=(directory.path,)
            )
            self.epoch = self.state.take_epoch() if take_over else self.state.current_epoch()
            self.leased = self.epoch if take_over else -1
            self.journal = SqliteJournal(self.writer, self.reader, self.log_key, self.epoch, self.clock.now_ms)
            self.witnesses = self._ask_witnesses()
            self._checked = check
            if check:
                self._check_log()
            self.policies = PolicyInForce(
                directory.path / "policy",
                database,
                self.writer,
                self.reader,
                self.state,
                lambda: self.trust,
                self.clock.now_ms,
            )
            self._tokens: dict[tuple[str, str], str] = {}
            opening.pop_all()

    def holds(self, presence: Presence) -> None:
        """Keep whoever would replace the database out until this is closed."""
        self._presence = presence

    @property
    def trust(self) -> TrustRoot:
        """The trust root as it is in force now; the same object for as long as nothing changed."""
        return self._trust.current()

    @property
    def trust_seen(self) -> TrustRoot | None:
        """The trust root as it was when somebody last looked; costs nothing."""
        return self._trust.seen

    def bundle(self) -> Bundle:
        """The policy in force. PolicyError when there is none that is fit to decide."""
        return self.policies.bundle()

    def engine(self) -> PolicyEngine:
        """The engine with the policy in force (RULES 8)."""
        return self.policies.engine()

    def token(self, principal: str, run: str) -> str:
        """A session token for a built-in agent, opened with the agent's own key."""
        known = self._tokens.get((principal, run))
        if known is not None:
            return known
        role = KeyRole.AGENT if principal.startswith("agent:") else KeyRole.BUILDER
        now_ms, key = self.clock.now_ms(), self.keys.load(role, principal)
        request = request_session(principal, run, f"epoch-{self.epoch}", now_ms, key, workspace=self.trust.origin)
        session, token = open_session(request, self.trust, now_ms, self.workspace_key)
        self.state.open_session(session)
        self._tokens[principal, run] = token
        return token

    def take_lease(self) -> None:
        """Fence every other process off the target from now on. Only with the lock that says so (`deliver`)."""
        self.epoch = self.leased = self.state.take_epoch()
        self.journal.act_under(self.epoch)

    def follow_lease(self) -> None:
        """Act under the newest lease, whoever took it: this process fences nobody off and is not left behind."""
        self.epoch = self.state.current_epoch()
        self.journal.act_under(self.epoch)

    def record(self, kind: str, about: str, document: dict[str, Any]) -> int:
        """Log an operator's act; returns the ledger index."""
        return self.writer.run(lambda tx: self._append(tx, kind, about, document))

    def change_state(self, kind: str, document: dict[str, Any], change: Callable[[Transaction], Any]) -> int:
        """Change named state and log it, in one transaction."""

        def work(tx: Transaction) -> int:
            change(tx)
            return self._append(tx, kind, "workspace", document)

        return self.writer.run(work, reducing=True)

    def publish(self) -> str:
        """Sign a checkpoint over everything committed so far, and leave a copy outside the database."""
        note = self.writer.run(self._published, reducing=True)
        try:
            self.directory.write(WITNESS_FILE, note.encode())
        except BywireError as error:
            # A retreat on a full disk must be able to end well; nothing else is admitted until space is held again.
            if error.code != "disk_full" or not self.writer.release_reserve():
                raise
            self.directory.write(WITNESS_FILE, note.encode())
        return self.cosigned(note)

    def cosigned(self, note: str, *, again: bool = False) -> str:
        """Collect what cosignatures there are on a published checkpoint, and keep them; a witness never stops this."""
        found = self.witnesses.collect(note, self._prove, again=again)
        try:
            if found != note:
                self.directory.write(WITNESS_FILE, found.encode())
        except BywireError as error:
            if error.code != "disk_full":  # the note without cosignatures is there, and a retreat must end well
                raise
        return found

    def witness_notes(self) -> tuple[str, ...]:
        """Checkpoints kept outside the database, here and by witnesses: the log may not be behind them (RULES 24)."""
        if not (self.directory.path / WITNESS_FILE).exists():
            return self.witnesses.notes()
        return (self.directory.read(WITNESS_FILE).decode(), *self.witnesses.notes())

    def witness_report(self) -> WitnessReport:
        """How far behind the witnesses are; asks nobody."""
        return self.witnesses.report(self.ledger.entry_count())

    def require_witnessed(self) -> None:
        """Before anything new is exposed: LedgerError `witness_overdue` when too few witnesses have seen the log."""
        if self.witness_report().overdue:
            self.publish()
        self.witness_report().require()

    def close(self) -> None:
        """Flush, publish a checkpoint and close everything this process holds; the target keeps serving."""
        self.policies.close()
        if self._checked:
            self.journal.flush_reads()
            self.publish()
        self.writer.close()
        self.reader.close()
        self.ledger.close()
        if self._presence is not None:
            self._presence.close()

    def _published(self, tx: Transaction) -> str:
        refuse_retired(tx, self.log_key.key_id)
        return publish(tx, self.trust.origin, self.log_key)

    def _settle_keys(self) -> SigningKey:
        """Finish a replacement of keys that was cut short, then load the log's."""
        finish_replacements(self.directory, self.keys, self._trust)
        return _trusted_log_key(self.keys, self.trust)

    def _ask_witnesses(self) -> Witnesses:
        """What each witness knows of the log, asked once, before anything is believed of it."""
        memory = WitnessMemory(self.directory)
        witnesses = Witnesses(self.operator.witnessing, memory, lambda: self.trust, self.clock.now_ms)
        witnesses.ask()
        return witnesses

    def _prove(self, size1: int, size2: int) -> list[bytes]:
        reader = open_reader(self.directory.path / DATABASE_FILE)
        try:
            with reader.snapshot():
                return consistency_proof(reader, size1, size2)
        finally:
            reader.close()

    def _check_log(self) -> None:
        """Refuse to work on a log that is shorter than, or differs from, what was published."""
        keys, erasers = log_keys(self.trust), eraser_keys(self.trust)
        self.writer.run(
            lambda tx: check_tail(tx, self.trust.origin, keys, self.witness_notes(), erasers), reducing=True
        )

    def _append(self, tx: Transaction, kind: str, about: str, document: dict[str, Any]) -> int:
        record = jcs.canonical(document)
        return tx.append(leaf_bytes(record_entry(kind, self.clock.now_ms(), about, record)), [record])


def open_workspace(
    repo: Path, operator: Path | None, *, take_over: bool = False, check: bool = True, steps: Steps | None = None
) -> Workspace:
    """Open the workspace of `repo`. ConfigError `operator_missing` when there is none yet."""
    root = GitRepository(repo).root
    directory = OperatorDirectory(operator_path(root, given=operator))
    presence = Presence(directory.path)
    try:
        opened = Workspace(root, directory, steps=steps or NoSteps(), take_over=take_over, check=check)
    except BaseException:
        presence.close()
        raise
    opened.holds(presence)
    return opened


def workspace_lock(repo: Path, operator: Path | None, name: str) -> AbstractContextManager[None]:
    """The exclusive lock `name` of a workspace. ConflictError `workspace_busy` with the process that holds it."""
    return OperatorDirectory(operator_path(GitRepository(repo).root, given=operator)).lock(name)


def read_operator(directory: OperatorDirectory) -> OperatorConfig:
    """The operator's configuration."""
    place = directory.path / OPERATOR_FILE
    return parse(read_bytes(place), str(place), operator_config.parse)


def _trusted_log_key(keys: KeyFiles, trust: TrustRoot) -> SigningKey:
    """The log's key. ConfigError `log_key_untrusted`: what it signed would make the log unreadable for ever."""
    key = keys.load(KeyRole.LOG, LOG_PRINCIPAL)
    entry = trust.entry(key.key_id)
    if entry is None or entry.role is not KeyRole.LOG or not entry.valid_at(None):
        raise ConfigError(
            "trust.json does not list the key that this workspace signs its log with",
            code="log_key_untrusted",
            next_step="restore trust.json and keys/ of this workspace from the same backup",
        )
    return key


def _sandbox(operator: OperatorConfig, operator_dir: Path) -> Sandbox:
    limits = operator.isolation
    return Sandbox(
        search_path=limits.path,
        hide=(operator_dir,),
        limits=SandboxLimits(
            stdout_limit_bytes=limits.output_bytes,
            memory_limit_bytes=limits.memory_bytes,
            process_limit=limits.processes,
            file_limit_bytes=limits.file_bytes,
            timeout_seconds_max=limits.timeout_seconds_max,
        ),
    )
