"""Known answers for the formats of transparency logs: C2SP tlog-tiles, signed-note, tlog-cosignature, tlog-proof."""

import base64
import hashlib

import pytest

from bywire.ledger.checkpoint import (
    COSIGNATURE,
    ED25519,
    cosign,
    parse_checkpoint,
    parse_signature_lines,
    sign_checkpoint,
    signature_line,
)
from bywire.ledger.tiles import ENTRIES, Resource, index_path, resources
from bywire.ledger.tlog_proof import TlogProof, parse_tlog_proof, render_tlog_proof
from bywire.ledger.vkey import format_vkey, parse_vkey
from bywire.ledger.witness import AddCheckpoint, origin_hash, parse_request, render_request
from bywire.seal.keys import SigningKey


@pytest.mark.parametrize(
    ("index", "path"),
    [
        (0, "000"),
        (7, "007"),
        (999, "999"),
        (1_000, "x001/000"),
        (67_001, "x067/001"),
        (999_999, "x999/999"),
        (1_000_000, "x001/x000/000"),
        (1_234_067, "x001/x234/067"),
        (2**63 - 1, "x009/x223/x372/x036/x854/x775/807"),
    ],
)
def test_tile_indexes_are_written_in_groups_of_three_digits(index, path):
    assert index_path(index) == path


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (Resource(0, 0), "tile/0/000"),
        (Resource(0, 273, 112), "tile/0/273.p/112"),
        (Resource(1, 1_234_067), "tile/1/x001/x234/067"),
        (Resource(2, 0, 1), "tile/2/000.p/1"),
        (Resource(ENTRIES, 1_234_067), "tile/entries/x001/x234/067"),
        (Resource(ENTRIES, 0, 255), "tile/entries/000.p/255"),
    ],
)
def test_paths_of_tiles_and_bundles(resource, path):
    assert resource.path == path


def shape(size):
    found = {}
    for resource in resources(size):
        kind = "full" if resource.width == 256 else resource.width
        found[resource.level, kind] = found.get((resource.level, kind), 0) + 1
    return found


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts():
    assert shape(70_000) == {
        (0, "full"): 273,
        (ENTRIES, "full"): 273,
        (0, 112): 1,
        (ENTRIES, 112): 1,
        (1, "full"): 1,
        (1, 17): 1,
        (2, 1): 1,
    }


def test_a_tree_of_256_has_a_full_tile_and_a_partial_one_above():
    assert shape(256) == {(0, "full"): 1, (ENTRIES, "full"): 1, (1, 1): 1}
    assert shape(255) == {(0, 255): 1, (ENTRIES, 255): 1}
    assert shape(0) == {}


# The verifier key and note that C2SP signed-note prints as its example.
EXAMPLE_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_TEXT = b"This is an example message.\n"
EXAMPLE_LINE = (
    "\N{EM DASH} example.com/foo"
    " Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def test_the_printed_verifier_key_verifies_the_printed_note():
    named = parse_vkey(EXAMPLE_VKEY, ED25519)
    assert named.name == "example.com/foo"
    (line,) = parse_signature_lines(EXAMPLE_LINE)
    assert line.key_hash.hex() == "530d903a"
    named.key.verify(EXAMPLE_TEXT, line.signature)
    assert format_vkey(named.name, named.key, ED25519) == EXAMPLE_VKEY
    assert signature_line(line) == EXAMPLE_LINE


KEY = SigningKey.from_seed(bytes(range(32)))
ORIGIN = "example.com/log"
EMPTY = sign_checkpoint(ORIGIN, 0, hashlib.sha256(b"").digest(), KEY)


def test_a_cosignature_signs_header_time_and_note_and_carries_its_time():
    checkpoint = parse_checkpoint(EMPTY)
    line = cosign(checkpoint, "w.example/1", KEY, 1_679_315_147)
    message = b"cosignature/v1\ntime 1679315147\nexample.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    assert line.signature == (1_679_315_147).to_bytes(8, "big") + KEY.sign(message)
    assert line.key_hash == hashlib.sha256(b"w.example/1\n\x04" + KEY.public.raw_public).digest()[:4]
    assert signature_line(line).endswith(f" {base64.b64encode(line.key_hash + line.signature).decode()}\n")
    assert format_vkey("w.example/1", KEY.public, COSIGNATURE).startswith(f"w.example/1+{line.key_hash.hex()}+B")


def test_an_add_checkpoint_body_byte_for_byte():
    hashed = bytes(range(32))
    body = f"old 7\n{base64.b64encode(hashed).decode()}\n\n{EMPTY}".encode()
    request = AddCheckpoint(old_size=7, proof=(hashed,), note=EMPTY)
    assert render_request(request) == body
    assert parse_request(body) == request
    assert render_request(AddCheckpoint(old_size=0, proof=(), note=EMPTY)) == f"old 0\n\n{EMPTY}".encode()


def test_a_checkpoint_is_kept_under_the_sha256_of_its_origin():
    assert origin_hash(ORIGIN) == hashlib.sha256(b"example.com/log").hexdigest()


def test_a_tlog_proof_byte_for_byte():
    first, second = bytes(32), bytes(range(32))
    with_extra = TlogProof(index=73_894, path=(first, second), checkpoint=EMPTY, extra=b"leaf")
    text = (
        "c2sp.org/tlog-proof@v1\nextra bGVhZg==\nindex 73894\n"
        f"{base64.b64encode(first).decode()}\n{base64.b64encode(second).decode()}\n\n{EMPTY}"
    )
    assert render_tlog_proof(with_extra) == text
    assert parse_tlog_proof(text) == with_extra
    bare = TlogProof(index=0, path=(), checkpoint=EMPTY)
    assert render_tlog_proof(bare) == f"c2sp.org/tlog-proof@v1\nindex 0\n\n{EMPTY}"
    assert parse_tlog_proof(render_tlog_proof(bare)) == bare
