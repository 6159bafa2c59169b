"""Every function that reads what others wrote: how to call it, with what it understands, and how it may refuse.

`PARSERS` maps `file:name` to a builder, so that a parser whose module is broken fails alone. What looks like a parser
and reads nothing from outside stands in `NOT_PARSERS` with the reason; the test of completeness knows no third way.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.errors import BywireError
from bywire.model.principal import KeyRole
from bywire.model.statement import PAYLOAD_TYPE
from bywire.seal import dsse, jcs
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
ORIGIN = "log.example/fuzz"
WORKSPACE_KEY = b"w" * 32
KEYS = {
    "agent:planner": (KeyRole.AGENT, SigningKey.from_seed(b"1" * 32)),
    "person:alice": (KeyRole.APPROVER, SigningKey.from_seed(b"2" * 32)),
    "workload:log": (KeyRole.LOG, SigningKey.from_seed(b"3" * 32)),
    "workload:builder": (KeyRole.BUILDER, SigningKey.from_seed(b"4" * 32)),
    "workload:token-issuer": (KeyRole.TOKEN, SigningKey.from_seed(b"5" * 32)),
}
TRUST = TrustRoot(
    version=1,
    origin=ORIGIN,
    keys=tuple(
        TrustedKey(key_id=key.key_id, role=role, principal=name, public=key.public.raw_public.hex())
        for name, (role, key) in KEYS.items()
    ),
)
ALICE, LOG = KEYS["person:alice"][1], KEYS["workload:log"][1]


@dataclass(frozen=True)
class Parser:
    """`call` takes one document of the kind of `seeds`: bytes, text, or a plain value (`json`: its bytes)."""

    call: Callable[[Any], Any]
    seeds: tuple[Any, ...]
    kind: str = "bytes"
    refusals: tuple[type[BaseException], ...] = (BywireError,)
    # A defect that is not mended yet, and one that would keep a test from ending: then only good documents are sent.
    known: str = ""
    hangs: str = ""


PARSERS: dict[str, Callable[[], Parser]] = {}


def parser(name: str) -> Callable[[Callable[[], Parser]], Callable[[], Parser]]:
    """Register a builder under the name of what it tests."""

    def register(build: Callable[[], Parser]) -> Callable[[], Parser]:
        PARSERS[name] = cache(build)
        return build

    return register


def sealed(predicate: Any, kind: str, key: SigningKey, name: str = "thing", digest: str = "a" * 64) -> bytes:
    """An envelope that verifies, over any predicate that JSON can carry."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}}],
        "predicateType": kind,
        "predicate": predicate,
    }
    payload = jcs.canonical(statement)
    signature = key.sign(dsse.pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return jcs.canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key.key_id, "sig": base64.b64encode(signature).decode()}],
        }
    )


# Looks like a parser by name and is none.
NOT_PARSERS = {
    "adapters/sqlite_journal.py:SqliteJournal.decision_of": "reads a database of ours; what it finds is verified",
    "wiring/restored_trust.py:read_note": "decodes text; the checkpoint reader is tested",
    "adapters/durable_file.py:read_regular": "reads bytes and understands nothing",
    "adapters/git_export.py:read_blob": "reads a length that git wrote; its content is data",
    "adapters/git_export.py:read_blobs": "reads lengths that git wrote; their content is data",
    "adapters/hook_config_files.py:read_host_config": "reads bytes; json_document.load understands them",
    "adapters/key_files.py:read_key_file": "hands the bytes to SigningKey.from_pem",
    "adapters/sandbox_spec.py:spec_from_bytes": "its writer is our own parent process, through a pipe",
    "adapters/sqlite_restoring.py:root_of": "reads a database of ours",
    "adapters/sqlite_restoring.py:tail_of": "reads a database of ours",
    "adapters/surroundings.py:mode_of": "reads a file's mode",
    "adapters/yaml_file.py:read_bytes": "reads bytes and understands nothing",
    "adapters/git_change.py:read_change": "asks git and hands its output to git_diff",
    "adapters/sqlite_ledger.py:SqliteLedger.retired_from": "asks our own database",
    "adapters/sqlite_ledger_transaction.py:Transaction.retired_from": "asks our own database",
    "adapters/token_file.py:read_token": "hands the text to TokenVerifier.session_of",
    "cli/audit.py:verify": "a command; its files go to verify_proof, verify_tlog_proof and parse_trust_root",
    "cli/deliver.py:read_plan": "hands the bytes to json_document.load",
    "cli/log.py:verify_consistency": "a command; its files go to parse_checkpoint and parse_proof_lines",
    "cli/log.py:verify_tiles": "a command; its files go to the tile readers",
    "gateway/http_request.py:request_of": "reached through Catalogue.check, which makes the request of what it takes",
    "gateway/intending.py:intent_of": "puts together what was decided",
    "model/gateway_budgets.py:Budgets.team_of": "looks a principal up in the operator's teams",
    "wiring/gateway.py:Gateway.lane_of": "looks a tool up in the catalogue",
    "wiring/gateway.py:key_of": "cuts the door's own name of an intent in three",
    "wiring/gateway.py:tool_of": "cuts the door's own name of an intent in three",
    "wiring/gateway.py:upstream_of": "cuts a tool's name at its first dot",
    "wiring/catalogue.py:place_of": "asks the contract; reached through the door's tests of places",
    "approvals/channel_sign_in.py:challenge_of": "hashes a secret of ours",
    "config/gates.py:read_gates": "a section of operator_config.parse",
    "config/gates.py:read_reminders": "a section of operator_config.parse",
    "config/witnesses.py:read_witnessing": "a section of operator_config.parse",
    "config/reading.py:read_optional": "a step of the configuration's own reader",
    "evidence/path_classes.py:classes_of": "matches a path that git_diff.decode_path read",
    "evidence/provenance.py:level_of": "looks a pair up in the operator's table",
    "ledger/verify.py:verify_all": "reads our own database; tests/contract flips its bits",
    "ledger/witness_policy.py:n_of": "makes a policy from keys already parsed",
    "policy/conditions.py:literals_of": "walks a condition that parse_condition read",
    "policy/rego_syntax.py:place_of": "reads the tree that regorus made; reached through policy/lint.py:lint",
    "release/report_svg.py:samples_of": "draws numbers of our own",
    "runtime/tick.py:Runtime.load": "reads our own database",
    "seal/keys.py:SigningKey.from_seed": "32 bytes that an adapter drew",
    "wiring/approving.py:principal_of": "asks the operator's configuration",
    "wiring/approving.py:roles_of": "asks the operator's configuration",
    "wiring/auditing.py:read_trust": "hands the file to parse_trust_root",
    "wiring/auditing.py:read_witness_policy": "hands the file to parse_witness_policy",
    "wiring/backup.py:read_backup": "its manifest is read by verify_statement, its database like our own",
    "wiring/inventory.py:kind_of": "looks a name up among known ones",
    "wiring/policy_in_force.py:read_candidate": "hands the files to parse_bundle",
    "wiring/publishing.py:verify_consistency_files": "hands the files to parse_checkpoint and parse_proof_lines",
    "wiring/publishing.py:verify_directory": "hands the files to the tile readers",
    "wiring/auditing.py:verify_file": "hands the file to verify_proof and parse_trust_root",
}
