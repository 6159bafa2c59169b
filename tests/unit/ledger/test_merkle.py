"""The Merkle tree against its definition, and its verifiers against everything that is not a proof."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.ledger import merkle
from bywire.ledger.merkle import HASH_BYTES, Frontier, leaf_hash, node_hash
from bywire.model.errors import EvidenceError, LedgerError

LEAVES = [leaf_hash(bytes([n])) for n in range(80)]
SIZES = st.integers(1, len(LEAVES))


def tree_hash(hashes):
    """MTH, as RFC 6962 2.1 defines it."""
    if not hashes:
        return merkle.EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(tree_hash(hashes[:split]), tree_hash(hashes[split:]))


def hash_at(level, index):
    return tree_hash(LEAVES[index << level : (index + 1) << level])


def refused(code, check, *arguments):
    with pytest.raises(EvidenceError) as error:
        check(*arguments)
    assert error.value.code == code


@given(st.integers(0, len(LEAVES)))
def test_a_frontier_grown_leaf_by_leaf_has_the_defined_root(size):
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    assert frontier.root() == tree_hash(LEAVES[:size])
    assert Frontier.decode(frontier.encode()).root() == frontier.root()
    assert Frontier.of(size, hash_at).hashes == frontier.hashes


@given(st.integers(0, 9), st.integers(0, 7))
def test_perfect_subtrees_can_be_appended_whole(blocks, rest):
    frontier = Frontier()
    for block in range(blocks):
        frontier.append(hash_at(3, block), level=3)
    for leaf in LEAVES[blocks * 8 : blocks * 8 + rest]:
        frontier.append(leaf)
    assert frontier.root() == tree_hash(LEAVES[: blocks * 8 + rest])


def test_every_completed_subtree_is_emitted_once():
    seen = {}
    frontier = Frontier()
    for leaf in LEAVES:
        frontier.append(leaf, emit=lambda level, index, value: seen.setdefault((level, index), value))
    assert seen == {
        (level, index): hash_at(level, index) for level in range(7) for index in range(len(LEAVES) >> level)
    }


def test_a_subtree_at_the_wrong_place_is_a_programming_error():
    frontier = Frontier(1, [LEAVES[0]])
    with pytest.raises(ValueError, match="multiple"):
        frontier.append(hash_at(3, 0), level=3)


@pytest.mark.parametrize("data", [b"\0" * 7 + b"\1", b"\0" * 8 + b"x" * 32, b"\0" * 7 + b"\1" + b"x" * 31])
def test_a_frontier_that_does_not_fit_its_size_is_refused(data):
    with pytest.raises(LedgerError):
        Frontier.decode(data)


@given(SIZES, st.data())
def test_every_inclusion_path_verifies_and_only_for_its_own_place(size, data):
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_path(index, size, hash_at)
    root = tree_hash(LEAVES[:size])
    merkle.verify_inclusion(index, size, LEAVES[index], path, root)
    other = data.draw(st.integers(0, size + 1))
    if other != index:
        refused("inclusion_invalid", merkle.verify_inclusion, other, size, LEAVES[index], path, root)


@given(SIZES, st.data())
def test_a_damaged_inclusion_path_is_refused(size, data):
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_path(index, size, hash_at)
    root = tree_hash(LEAVES[:size])
    for changed in damaged(path, data):
        refused("inclusion_invalid", merkle.verify_inclusion, index, size, LEAVES[index], changed, root)


@given(SIZES, st.data())
def test_every_consistency_path_verifies_and_only_for_its_own_sizes(size2, data):
    size1 = data.draw(st.integers(1, size2))
    path = merkle.consistency_path(size1, size2, hash_at)
    root1, root2 = tree_hash(LEAVES[:size1]), tree_hash(LEAVES[:size2])
    merkle.verify_consistency(size1, size2, root1, root2, path)
    for changed in damaged(path, data):
        refused("consistency_invalid", merkle.verify_consistency, size1, size2, root1, root2, changed)
    if size1 != size2:
        refused("consistency_invalid", merkle.verify_consistency, size1, size2, root2, root1, path)


@settings(max_examples=60)
@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 3))
def test_no_consistency_between_a_tree_and_a_rewritten_one(size1, size2, flipped):
    if not 0 < size1 <= size2 or flipped >= size1:
        return
    rewritten = [*LEAVES[:flipped], leaf_hash(b"rewritten"), *LEAVES[flipped + 1 :]]
    path = merkle.consistency_path(
        size1, size2, lambda level, index: tree_hash(rewritten[index << level : (index + 1) << level])
    )
    refused(
        "consistency_invalid",
        merkle.verify_consistency,
        size1,
        size2,
        tree_hash(LEAVES[:size1]),
        tree_hash(rewritten[:size2]),
        path,
    )


@pytest.mark.parametrize(
    ("size1", "size2", "path"),
    [(0, 0, []), (0, 1, []), (0, 5, [LEAVES[0]]), (2, 1, []), (-1, 3, []), (1, 2, []), (2, 2, [LEAVES[0]])],
)
def test_degenerate_consistency_claims_are_refused(size1, size2, path):
    roots = [tree_hash(LEAVES[: max(size, 0)]) for size in (size1, size2)]
    refused("consistency_invalid", merkle.verify_consistency, size1, size2, *roots, path)


def test_equal_sizes_with_different_roots_are_refused():
    refused("consistency_invalid", merkle.verify_consistency, 3, 3, LEAVES[0], LEAVES[1], [])


@pytest.mark.parametrize("length", [0, HASH_BYTES - 1, HASH_BYTES + 1])
def test_hash_lengths_are_checked(length):
    short = b"x" * length
    refused("inclusion_invalid", merkle.verify_inclusion, 0, 1, short, [], short)
    refused("inclusion_invalid", merkle.verify_inclusion, 0, 2, LEAVES[0], [short], hash_at(1, 0))
    refused("consistency_invalid", merkle.verify_consistency, 3, 3, short, short, [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 1), (1, 1), (5, 4), (0, 2**63)])
def test_an_index_outside_the_tree_is_refused(index, size):
    refused("inclusion_invalid", merkle.verify_inclusion, index, size, LEAVES[0], [], LEAVES[0])


def test_paths_outside_the_tree_are_programming_errors():
    for path, arguments in [(merkle.inclusion_path, (3, 3)), (merkle.consistency_path, (0, 3))]:
        with pytest.raises(ValueError, match=r"no|not"):
            path(*arguments, hash_at)


def damaged(path, data):
    yield [*path, LEAVES[0]]
    yield [LEAVES[0], *path]
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        bit = data.draw(st.integers(0, HASH_BYTES * 8 - 1))
        value = bytearray(path[at])
        value[bit // 8] ^= 1 << bit % 8
        yield [*path[:at], bytes(value), *path[at + 1 :]]
        yield path[:-1]
        yield path[1:]
