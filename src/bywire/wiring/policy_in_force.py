"""Which policy decides here: activated whole, kept in the log, replaced only by one that is fit to follow it (RULES 8).

The operator's copy, `policy/` of the operator directory, is a candidate. It becomes active when a command opens the
workspace or a person says `bywire policy activate`, and only when it loads, lints, passes its own tests in a process
that can be killed, is newer, and is signed where its predecessor was. Until then the last good one decides, from the
files that its ledger record holds, and `refused` says why.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from bywire import __version__
from bywire.adapters.knowledge_base import deciding, operator_policy, policy_signature, shipped_policy
from bywire.adapters.policy_process import examine_apart
from bywire.adapters.sqlite_envelope_state import SqliteState
from bywire.adapters.sqlite_ledger import SqliteLedger, open_reader
from bywire.adapters.sqlite_policy import BundleRow, SqlitePolicies
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Writer
from bywire.identity.trust import TrustRoot
from bywire.ledger.entry import parse_leaf
from bywire.model.errors import BywireError, EvidenceError, PolicyError
from bywire.policy import lint
from bywire.policy.bundle import MESSAGES, Bundle, parse_bundle
from bywire.policy.endorsement import verify_bundle
from bywire.policy.engine import ENGINE_VERSION, PolicyEngine
from bywire.policy.examination import Examination, Request
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex

LINTED_BY = f"bywire {__version__}, {ENGINE_VERSION}"
SHOWN_MAX = 10


class Candidate(msgspec.Struct, frozen=True):
    """A policy that is not in force yet: its files, what they parse to, and the signature beside them (or empty)."""

    files: dict[str, bytes]
    bundle: Bundle
    signature: bytes

    @property
    def content(self) -> str:
        """Digest of everything that an examination depends on: all files, tests too, and who examines."""
        named = {path: sha256_hex(data) for path, data in self.files.items()}
        return jcs.digest({"files": named, "signature": sha256_hex(self.signature), "by": LINTED_BY})


class Activated(msgspec.Struct, frozen=True):
    """What is in force now. `entry` is -1 when it was before; `signer` is empty for an unsigned bundle."""

    digest: str
    revision: int
    source: str
    signer: str
    entry: int


def read_candidate(directory: Path) -> Candidate:
    """The policy in a directory. ConfigError or PolicyError when it is none; its Rego is not looked at."""
    files = operator_policy(directory)
    return Candidate(files, parse_bundle(files), policy_signature(directory))


@cache
def shipped_digest() -> str:
    """The digest of the bundle that this version ships."""
    return parse_bundle(deciding(shipped_policy())).digest


class PolicyInForce:
    """The active bundle of one workspace and the engine that decides with it. Safe to share between threads."""

    def __init__(
        self,
        directory: Path,
        database: Path,
        writer: Writer,
        reader: Reader,
        state: SqliteState,
        trust: Callable[[], TrustRoot],
        now_ms: Callable[[], int],
    ) -> None:
        self.directory = directory
        self.store = SqlitePolicies(writer, reader, state)
        self.refused: BywireError | None = None
        self._database = database
        self._reader = reader
        self._state = state
        self._trust = trust
        self._now_ms = now_ms
        self._lock = threading.RLock()
        self._bundle: Bundle | None = None
        self._engine: PolicyEngine | None = None
        self._seen = -1
        self._loading: threading.Thread | None = None
        self._unloadable = ""

    def bundle(self) -> Bundle:
        """The bundle in force. The first call tries the operator's copy.

        Raises what is wrong with that when there is none to fall back on.
        """
        with self._lock:
            if self._bundle is None:
                self._open()
            if self._bundle is None:
                raise PolicyError("no policy is active", next_step="bywire doctor")
            return self._bundle

    def engine(self) -> PolicyEngine:
        """The engine, which decides with the active bundle; another process may have activated a newer one.

        Then the old one goes on deciding until the new one is ready: an intent under it is refused in the meantime.
        """
        engine = self._engine
        if engine is None:
            self.bundle()
            engine = self._decides()
        version = self._reader.data_version()
        if version != self._seen:
            self._seen = version
            self._follow(engine, self._state.active_bundle())
        return engine

    def activate(self, candidate: Candidate, *, again: bool = True) -> Activated:
        """Put a candidate in force, or raise why not and change nothing.

        1. It is not the active one already; a signature that was missing is added to that one. 2. It is newer than
        every bundle before. 3. It is signed where its predecessor was, and a signature that lies beside it fits. 4. It
        is the shipped one, or it loads, lints, and passes its tests, in a process that can be killed. 5. The engine for
        it is ready. 6. Log record and activation commit together; only then does it decide. `again` False believes an
        earlier refusal.
        """
        active, bundle = self._state.active_bundle(), candidate.bundle
        if bundle.digest == active:
            return self._endorsed(candidate)
        self.store.check_newer(bundle.manifest.revision)
        signer = self._signer(candidate, active)
        shipped = bundle.digest == shipped_digest()
        if shipped:
            lint.check(bundle)
        else:
            self._examine(candidate, again=again)
        source = f"shipped with bywire {__version__}" if shipped else str(self.directory)
        with self._lock:
            ready = self._engine.prepare(bundle, linted=True) if self._engine else None
            entry = self.store.activate(
                bundle,
                _record(candidate, source),
                source=source,
                signer=signer,
                linted_by=LINTED_BY,
                now_ms=self._now_ms(),
            )
            self._bundle, self.refused = bundle, None
            if self._engine and ready:
                self._engine.adopt(ready)
        return Activated(bundle.digest, bundle.manifest.revision, source, signer, entry)

    def files(self, digest: str) -> dict[str, bytes]:
        """The files of a bundle that was active, from the log. PolicyError `bundle_lost` when it does not hold them."""
        with self._log() as log:
            row = self.store.bundle(digest)
            content = log.blob(row.content) if row and row.content else _scan(log, digest)
        document: dict[str, Any] = msgspec.json.decode(content) if content else {}
        files = {name: text.encode() for name, text in document.get("files", {}).items()}
        # A bundle in the log is only what its digest says when its files still have that digest.
        if not files or parse_bundle(files).digest != digest:
            raise PolicyError(
                f"the log no longer holds the files of policy {digest[:16]}",
                code="bundle_lost",
                next_step="restore the database from a backup, or activate a newer policy: bywire policy activate",
            )
        return files

    def settle(self) -> None:
        """Wait for a bundle that is being loaded."""
        loading = self._loading
        if loading is not None:
            loading.join()

    def close(self) -> None:
        """End what decides and what loads."""
        self.settle()
        if self._engine is not None:
            self._engine.release()

    def _open(self) -> None:
        active = self._state.active_bundle()
        try:
            candidate = read_candidate(self.directory)
            if candidate.bundle.digest == active:
                self._bundle = candidate.bundle
            else:
                self.activate(candidate, again=False)
        except BywireError as error:
            if not active:
                raise
            self.refused = error
            self._bundle = parse_bundle(self.files(active))

    def _endorsed(self, candidate: Candidate) -> Activated:
        """What is in force already, with the signature that it may have got since."""
        row, entry, bundle = self._known(candidate.bundle.digest), -1, candidate.bundle
        signer = row.signer
        if candidate.signature and not signer:
            signed = verify_bundle(candidate.signature, bundle, self._trust())
            signer = signed.predicate.person
            entry = self.store.endorse(bundle.digest, signer, candidate.signature, signed.key_id, self._now_ms())
        return Activated(bundle.digest, bundle.manifest.revision, row.source, signer, entry)

    def _decides(self) -> PolicyEngine:
        with self._lock:
            if self._engine is None:
                bundle = self.bundle()
                self._engine = PolicyEngine(bundle, linted=self._known(bundle.digest).linted_by == LINTED_BY)
            return self._engine

    def _follow(self, engine: PolicyEngine, active: str) -> None:
        if active in {"", engine.bundle_digest, self._unloadable}:
            return
        with self._lock:
            if active == engine.bundle_digest:
                return
            if self._loading is None or not self._loading.is_alive():
                self._loading = threading.Thread(target=self._load, args=(engine, active), name="bywire-policy")
                self._loading.start()

    def _load(self, engine: PolicyEngine, active: str) -> None:
        """Put a bundle that another process activated in force here."""
        try:
            bundle = parse_bundle(self.files(active))
            ready = engine.prepare(bundle, linted=self._known(active).linted_by == LINTED_BY)
        except BywireError as error:
            self._unloadable, self.refused = active, error
            return
        with self._lock:
            # Unless a still newer one came first, here.
            if self._state.active_bundle() == active:
                engine.adopt(ready)
                self._bundle, self.refused = bundle, None

    def _signer(self, candidate: Candidate, active: str) -> str:
        """Who signed the candidate, by a key that is valid now; empty when nobody did and nobody had to."""
        if candidate.signature:
            person: str = verify_bundle(candidate.signature, candidate.bundle, self._trust()).predicate.person
            return person
        before = self._known(active)
        if before.signer:
            raise EvidenceError(
                f"the policy in force was signed by {before.signer}, and this one is not signed",
                code="bundle_unsigned",
                next_step="bywire policy sign --as PERSON, then bywire policy activate",
            )
        return ""

    def _examine(self, candidate: Candidate, *, again: bool) -> None:
        known = None if again else self.store.refusal(candidate.content)
        if known is not None:
            raise known
        try:
            raise_unfit(examine_apart(Request(candidate.files)))
        except PolicyError as error:
            with suppress(BywireError):  # remembering spares the next command the wait; it is no reason to fail
                self.store.refuse(candidate.content, error, self._now_ms())
            raise

    def _known(self, digest: str) -> BundleRow:
        return self.store.bundle(digest) or BundleRow(digest, 0, False, 0, -1, "", "", "", "")

    @contextmanager
    def _log(self) -> Iterator[SqliteLedger]:
        log = open_reader(self._database)
        try:
            yield log
        finally:
            log.close()


def raise_unfit(found: Examination) -> None:
    """Return when an examined bundle may decide; raise PolicyError with what is wrong otherwise."""
    if found.error is not None:
        raise PolicyError(found.error["message"], code=found.error["code"], next_step=found.error["next_step"])
    if found.findings:
        raise PolicyError(
            f"the policy does not pass the lint:\n{_shown(found.findings)}",
            code="policy_lint",
            next_step="correct the lines above: bywire policy check",
        )
    if found.tests is None or not found.tests.ok:
        raise PolicyError(
            f"the policy is not proved by its tests:\n{_shown(unproved(found)) or 'it has none'}",
            code="policy_unproved",
            next_step="bywire policy test",
        )


def unproved(found: Examination) -> tuple[str, ...]:
    """A line for each test that fails and each rule without a passing pair of tests."""
    if found.tests is None:
        return ()
    failed = (f"{failure.place}: {failure.test} is not true" for failure in found.tests.failed)
    rules = (f"{rule}: no passing test_fires_ and test_quiet_ name it" for rule in found.tests.unproved)
    return (*failed, *rules)


def _shown(lines: tuple[str, ...]) -> str:
    more = f"\n... and {len(lines) - SHOWN_MAX} more" if len(lines) > SHOWN_MAX else ""
    return "\n".join(lines[:SHOWN_MAX]) + more


def _record(candidate: Candidate, source: str) -> bytes:
    """What the log keeps of a bundle: enough to decide with it again, and who vouched for it."""
    texts = {MESSAGES: candidate.files[MESSAGES]} if MESSAGES in candidate.files else {}
    kept = {**deciding(candidate.files), **texts}
    return jcs.canonical(
        {
            "digest": candidate.bundle.digest,
            "revision": candidate.bundle.manifest.revision,
            "files": {name: data.decode() for name, data in sorted(kept.items())},
            "source": source,
            "signature": candidate.signature.decode(),
        }
    )


def _scan(log: SqliteLedger, digest: str) -> bytes | None:
    """The record of a bundle from before its place was kept: looked for in the whole log."""
    found = None
    for _, leaf, content in log.rows(0):
        if content is not None and parse_leaf(leaf).kind == "policy-bundle":
            document: dict[str, Any] = msgspec.json.decode(content)
            found = content if document.get("digest") == digest else found
    return found
