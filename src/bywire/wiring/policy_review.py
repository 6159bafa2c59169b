"""What a person asks about a policy: is it fit, do its tests hold, what does it change, why did it answer so.

Every question is answered by a process that can be killed; a workspace is needed for its ledger only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.knowledge_base import keep_signature, operator_policy, shipped_policy
from bywire.adapters.policy_opa import find_opa
from bywire.adapters.policy_process import examine_apart
from bywire.adapters.sqlite_ledger import open_reader
from bywire.audit.replay import Recorded, recorded_decisions
from bywire.ledger.entry import parse_leaf
from bywire.model.decision import Decision
from bywire.model.errors import ConfigError, PolicyError
from bywire.policy.difference import Changed, Difference, changed, compare
from bywire.policy.endorsement import SIGNATURE_FILE, sign_bundle, verify_bundle
from bywire.policy.examination import QUESTIONS_MAX, Examination, Question, Request, Written
from bywire.seal.keys import Signer
from bywire.wiring.policy_in_force import read_candidate
from bywire.wiring.workspace import DATABASE_FILE, Workspace

INPUT_BYTES_MAX = 1024 * 1024


class Explained(msgspec.Struct, frozen=True):
    """A decision with its input, and where each of its rules is written. `entry` is -1 for one that nobody recorded."""

    entry: int
    decision: Decision
    input: dict[str, Any]
    rules: dict[str, tuple[Written, ...]]


class Compared(msgspec.Struct, frozen=True):
    """Two bundles compared. `replayed` recorded decisions were made again on the second; `changed` came out new."""

    before: Examination
    after: Examination
    difference: Difference
    replayed: int
    changed: tuple[Changed, ...]


def examine_directory(directory: Path, *, with_opa: bool = False) -> tuple[Examination, str]:
    """What there is to say of the policy in a directory, and where the OPA was that took part (empty for none)."""
    where = find_opa() if with_opa else ""
    return examine_apart(Request(operator_policy(directory), opa=where)), where


def explain_input(directory: Path, entrypoint: str, question_file: Path) -> Explained:
    """Decide the input document in a file with the policy in a directory."""
    if question_file.stat().st_size > INPUT_BYTES_MAX:
        raise _not_an_input(question_file, f"it is larger than {INPUT_BYTES_MAX} bytes")
    try:
        document = msgspec.json.decode(question_file.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_an_input(question_file, str(error)) from error
    return _explained(operator_policy(directory), Recorded(-1, _NO_DECISION, document), entrypoint)


def explain_recorded(workspace: Workspace, recorded: Recorded) -> Explained:
    """Explain a recorded decision by the bundle that made it. PolicyError `bundle_lost`, `policy_differs`."""
    explained = _explained(
        workspace.policies.files(recorded.decision.bundle_digest), recorded, recorded.decision.entrypoint
    )
    if (explained.decision.effect, explained.decision.reasons) != (recorded.decision.effect, recorded.decision.reasons):
        raise PolicyError(
            "the recorded decision does not come out again", code="policy_differs", next_step="bywire audit replay"
        )
    return msgspec.structs.replace(explained, decision=recorded.decision)


def compare_policies(
    before: dict[str, bytes], after: dict[str, bytes], recorded: tuple[Recorded, ...] = ()
) -> Compared:
    """Compare two bundles given as files, and decide recorded questions again with the second."""
    first = loaded(examine_apart(Request(before, tests=False)))
    questions = tuple(Question(item.decision.entrypoint, item.input) for item in recorded)
    second = loaded(examine_apart(Request(after, tests=False, questions=questions)))
    asked = ((item.entry, item.decision, item.input) for item in recorded)
    differs = changed(asked, second.decisions) if questions else ()
    return Compared(first, second, compare(first, second), len(questions), differs)


def recorded_since(workspace: Workspace, since: int) -> tuple[Recorded, ...]:
    """The newest decisions from ledger entry `since` on, at most QUESTIONS_MAX of them, oldest first."""
    workspace.journal.flush_reads()
    reader = open_reader(workspace.directory.path / DATABASE_FILE)
    try:
        with reader.snapshot():
            rows: Iterator[tuple[int, str, bytes]] = (
                (index, parse_leaf(leaf).kind, content)
                for index, leaf, content in reader.rows(max(since, 0))
                if content is not None
            )
            return tuple(recorded_decisions(rows))[-QUESTIONS_MAX:]
    finally:
        reader.close()


def policy_files(place: str, workspace: Workspace | None) -> dict[str, bytes]:
    """The files that a person names: a directory, `shipped`, `active`, or the digest of a bundle that was active."""
    if Path(place).is_dir():
        return operator_policy(Path(place))
    if place == "shipped":
        return shipped_policy()
    if workspace is not None:
        known = [row for row in workspace.policies.store.bundles() if _is_meant(place, row.digest, active=row.active)]
        if len(known) == 1:
            return workspace.policies.files(known[0].digest)
    raise ConfigError(
        f"{place} names no policy",
        code="not_found",
        next_step="name a directory, `shipped`, `active`, or 8 digits or more of a digest from `bywire policy list`",
    )


def sign_directory(workspace: Workspace, directory: Path, person: str, key: Signer) -> Path:
    """Sign the policy in a directory and leave the signature beside it. EvidenceError when the key is not theirs."""
    bundle = read_candidate(directory).bundle
    envelope = sign_bundle(bundle, person, key, workspace.clock.now_ms())
    verify_bundle(envelope, bundle, workspace.trust)
    if directory == workspace.policies.directory:
        return workspace.directory.write(f"{directory.name}/{SIGNATURE_FILE}", envelope)
    return keep_signature(directory, envelope)


def loaded(found: Examination) -> Examination:
    """The same, if the bundle could be read at all; PolicyError with what is wrong otherwise."""
    if found.error is not None:
        raise PolicyError(found.error["message"], code=found.error["code"], next_step=found.error["next_step"])
    return found


_NO_DECISION = msgspec.convert(
    {
        "id": "",
        "effect": "deny",
        "reasons": [],
        "obligations": [],
        "engine": "",
        "bundle_digest": "",
        "entrypoint": "",
        "input_digest": "",
    },
    Decision,
)


def _explained(files: dict[str, bytes], recorded: Recorded, entrypoint: str) -> Explained:
    found = loaded(examine_apart(Request(files, tests=False, questions=(Question(entrypoint, recorded.input),))))
    if not found.decisions:
        raise PolicyError(
            "this policy does not pass the lint, so it decides nothing",
            code="policy_lint",
            next_step="bywire policy check",
        )
    (decision,) = found.decisions
    rules = {reason.rule: found.rules.get(reason.rule, ()) for reason in decision.reasons}
    return Explained(recorded.entry, decision, recorded.input, rules)


def _is_meant(place: str, digest: str, *, active: bool) -> bool:
    return active if place == "active" else len(place) >= 8 and digest.startswith(place)


def _not_an_input(place: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{place} is no input document: {why}",
        code="input_malformed",
        next_step="write the JSON that `bywire explain DECISION --json` shows under `input`",
    )
