"""The log as strangers hand it over: checkpoints, leaves, proofs, tiles, witnesses."""

import base64
import json
from hashlib import sha256
from typing import Any

from registry import ALICE, LOG, ORIGIN, TRUST, Parser, parser

from bywire.seal.digest import sha256_hex

# --- the ledger ---


def _note() -> str:
    from bywire.ledger.checkpoint import sign_checkpoint

    return sign_checkpoint(ORIGIN, 3, b"r" * 32, LOG)


@parser("ledger/checkpoint.py:parse_checkpoint")
def _() -> Parser:
    from bywire.ledger.checkpoint import parse_checkpoint

    return Parser(parse_checkpoint, (_note(),), "text")


@parser("ledger/checkpoint.py:parse_signature_lines")
def _() -> Parser:
    from bywire.ledger.checkpoint import parse_signature_lines

    return Parser(parse_signature_lines, (_note().rpartition("\n\n")[2],), "text")


@parser("ledger/checkpoint.py:verify_checkpoint")
def _() -> Parser:
    from bywire.ledger.checkpoint import log_keys, verify_checkpoint

    return Parser(lambda text: verify_checkpoint(text, ORIGIN, log_keys(TRUST)), (_note(),), "text")


def _leaf() -> bytes:
    from bywire.ledger.entry import leaf_bytes, record_entry

    return leaf_bytes(record_entry("intent", 5, "intent:1", b"{}", ("a" * 64,)))


@parser("ledger/entry.py:parse_leaf")
def _() -> Parser:
    from bywire.ledger.entry import parse_leaf

    return Parser(parse_leaf, (json.loads(_leaf()),), "json")


@parser("ledger/merkle.py:Frontier.decode")
def _() -> Parser:
    from bywire.ledger.merkle import Frontier

    frontier = Frontier.decode(b"")
    for number in range(5):
        frontier.append(sha256_hex(bytes([number])).encode()[:32])
    return Parser(Frontier.decode, (frontier.encode(),))


HASHES = tuple(sha256(bytes([number])).digest() for number in range(4))


@parser("ledger/merkle.py:verify_inclusion")
def _() -> Parser:
    from bywire.ledger.merkle import node_hash, verify_inclusion

    first, second, third = HASHES[:3]
    root = node_hash(node_hash(first, second), third)

    def call(value: Any) -> Any:
        index, size, *path = value if _is_numbers(value) else (0, 1)
        return verify_inclusion(index, size, second, [HASHES[number % 4] for number in path], root)

    return Parser(call, ([1, 3, 0, 2],), "value")


@parser("ledger/merkle.py:verify_consistency")
def _() -> Parser:
    from bywire.ledger.merkle import node_hash, verify_consistency

    first, second, third = HASHES[:3]
    small = node_hash(first, second)

    def call(value: Any) -> Any:
        before, after, *path = value if _is_numbers(value) else (1, 2)
        return verify_consistency(before, after, small, node_hash(small, third), [HASHES[n % 4] for n in path])

    return Parser(call, ([2, 3, 2],), "value")


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 2 and all(type(item) is int for item in value)


def _proof() -> bytes:
    from bywire.ledger import merkle
    from bywire.ledger.checkpoint import sign_checkpoint
    from bywire.ledger.proof import ProofItem, build_proof

    root = merkle.leaf_hash(_leaf())
    return build_proof(
        [ProofItem(content=b"{}", index=0, leaf=_leaf(), path=())], sign_checkpoint(ORIGIN, 1, root, LOG)
    )


@parser("ledger/proof.py:verify_proof")
def _() -> Parser:
    from bywire.ledger.proof import verify_proof

    return Parser(lambda raw: verify_proof(raw, TRUST), (json.loads(_proof()),), "json")


def _tlog_proof() -> str:
    from bywire.ledger import merkle
    from bywire.ledger.checkpoint import sign_checkpoint
    from bywire.ledger.tlog_proof import TlogProof, render_tlog_proof

    note = sign_checkpoint(ORIGIN, 1, merkle.leaf_hash(_leaf()), LOG)
    return render_tlog_proof(TlogProof(index=0, path=(), checkpoint=note, extra=_leaf()))


@parser("ledger/tlog_proof.py:parse_tlog_proof")
def _() -> Parser:
    from bywire.ledger.tlog_proof import parse_tlog_proof

    return Parser(parse_tlog_proof, (_tlog_proof(),), "text")


@parser("ledger/tlog_proof.py:verify_tlog_proof")
def _() -> Parser:
    from bywire.ledger.tlog_proof import verify_tlog_proof

    return Parser(lambda text: verify_tlog_proof(text, TRUST, content=b"{}"), (_tlog_proof(),), "text")


@parser("ledger/vkey.py:parse_vkey")
def _() -> Parser:
    from bywire.ledger.checkpoint import ED25519
    from bywire.ledger.vkey import format_vkey, parse_vkey

    seed = format_vkey("log.example", ALICE.public, ED25519)
    return Parser(lambda text: parse_vkey(text, ED25519), (seed,), "text")


@parser("ledger/witness_policy.py:parse_witness_policy")
def _() -> Parser:
    from bywire.ledger.checkpoint import COSIGNATURE, ED25519
    from bywire.ledger.vkey import format_vkey
    from bywire.ledger.witness_policy import parse_witness_policy

    text = (
        f"# who\nlog {format_vkey(ORIGIN, LOG.public, ED25519)}\n"
        f"witness w1 {format_vkey('w.example', ALICE.public, COSIGNATURE)}\n"
        "group g all w1\nquorum g\n"
    )
    return Parser(parse_witness_policy, (text.encode(),))


def _cosigned() -> tuple[Any, bytes]:
    from bywire.ledger.checkpoint import cosign, parse_checkpoint, render_note

    checkpoint = parse_checkpoint(_note())
    note = render_note(checkpoint.text, (cosign(checkpoint, "w.example", ALICE, 1_700_000_000),))
    return checkpoint, note.rpartition("\n\n")[2].encode()


@parser("ledger/witness.py:parse_proof_lines")
def _() -> Parser:
    from bywire.ledger.witness import parse_proof_lines

    seed = [base64.b64encode(hashed).decode() for hashed in HASHES]
    return Parser(lambda lines: parse_proof_lines([str(line) for line in lines or ()]), (seed,), "lines")


@parser("ledger/witness.py:parse_request")
def _() -> Parser:
    from bywire.ledger.witness import AddCheckpoint, parse_request, render_request

    return Parser(parse_request, (render_request(AddCheckpoint(old_size=2, proof=HASHES[:2], note=_note())),))


@parser("ledger/witness.py:read_answer")
def _() -> Parser:
    from bywire.ledger.witness import OK, Answer, read_answer

    checkpoint, line = _cosigned()
    return Parser(lambda raw: read_answer(Answer(status=OK, body=raw), checkpoint, "w.example", ALICE.public), (line,))


@parser("ledger/witness.py:read_answer (conflict)")
def _() -> Parser:
    from bywire.ledger.witness import CONFLICT, Answer, read_answer

    checkpoint, _ = _cosigned()
    return Parser(
        lambda raw: read_answer(Answer(status=CONFLICT, body=raw), checkpoint, "w.example", ALICE.public), (b"3\n",)
    )


@parser("ledger/witness.py:read_latest")
def _() -> Parser:
    from bywire.ledger.checkpoint import log_keys
    from bywire.ledger.witness import read_latest

    seed = _note() + _cosigned()[1].decode()
    keys = log_keys(TRUST)
    return Parser(lambda text: read_latest(text, ORIGIN, keys, "w.example", ALICE.public), (seed,), "text")


@parser("ledger/tiles.py:split_bundle")
def _() -> Parser:
    from bywire.ledger.tiles import bundle, split_bundle

    return Parser(split_bundle, (bundle([_leaf(), b"x", b""]),))
