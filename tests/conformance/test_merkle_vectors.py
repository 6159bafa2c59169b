"""Known answers: the reference tree of Certificate Transparency (RFC 6962) and a real signed tree head (C2SP note)."""

import base64

import pytest

from bywire.ledger import merkle
from bywire.ledger.checkpoint import parse_checkpoint, verify_checkpoint
from bywire.model.errors import EvidenceError
from bywire.seal.keys import VerifyKey

LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = [  # index, size, path
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
]
CONSISTENCY = [  # size1, size2, path
    (1, 1, []),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


def hash_at(level, index):
    span = LEAVES[index << level : (index + 1) << level]
    assert len(span) == 1 << level
    return merkle.perfect_root(b"".join(map(merkle.leaf_hash, span)))


@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_reference_tree(size):
    frontier = merkle.Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(merkle.leaf_hash(leaf))
    assert frontier.root().hex() == merkle.root_of(size, hash_at).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_inclusion_paths_of_the_reference_tree(index, size, path):
    expected = [bytes.fromhex(text) for text in path]
    assert merkle.inclusion_path(index, size, hash_at) == expected
    merkle.verify_inclusion(index, size, merkle.leaf_hash(LEAVES[index]), expected, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("size1", "size2", "path"), CONSISTENCY)
def test_consistency_paths_of_the_reference_tree(size1, size2, path):
    expected = [bytes.fromhex(text) for text in path]
    assert merkle.consistency_path(size1, size2, hash_at) == expected
    merkle.verify_consistency(size1, size2, bytes.fromhex(ROOTS[size1]), bytes.fromhex(ROOTS[size2]), expected)


# The Go checksum database's tree head, whose size and root the C2SP tlog-checkpoint specification prints as its
# example under an invented origin. The signature line is the database's own.
SUMDB_KEY = VerifyKey.from_hex(base64.b64decode("Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")[1:].hex())
HEAD = "20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\N{EM DASH} "
SIGNATURE = " Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
SUMDB_NOTE = f"go.sum database tree\n{HEAD}sum.golang.org{SIGNATURE}"
PRINTED_EXAMPLE = f"example.com/behind-the-sofa\n{HEAD}example.com/behind-the-sofa{SIGNATURE}"


def sumdb_keys(size):
    return (SUMDB_KEY,)


def test_a_real_signed_tree_head_verifies():
    checkpoint = verify_checkpoint(SUMDB_NOTE, "go.sum database tree", sumdb_keys, key_name="sum.golang.org")
    assert checkpoint.size == 20852163
    assert checkpoint.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"


def test_the_specifications_printed_example_parses_and_is_not_believed():
    checkpoint = parse_checkpoint(PRINTED_EXAMPLE)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.signatures[0].key_hash.hex() == "033de0ae"
    with pytest.raises(EvidenceError) as refused:
        verify_checkpoint(PRINTED_EXAMPLE, "example.com/behind-the-sofa", sumdb_keys)
    assert refused.value.code == "checkpoint_unsigned"


def test_one_changed_digit_of_the_size_is_refused():
    with pytest.raises(EvidenceError) as refused:
        verify_checkpoint(
            SUMDB_NOTE.replace("20852163", "20852164"),
            "go.sum database tree",
            sumdb_keys,
            key_name="sum.golang.org",
        )
    assert refused.value.code == "checkpoint_signature"
