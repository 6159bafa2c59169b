"""The log as files: names, widths, order of writing, and every change of a file being found."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_double import LOG, ORIGIN, STRANGER, TRUST, WITNESS, Tree, keys, numbered

from bywire.ledger.checkpoint import cosign, parse_checkpoint, render_note, sign_checkpoint
from bywire.ledger.tiles import (
    CHECKPOINT_PATH,
    ENTRIES,
    Resource,
    bundle,
    resources,
    split_bundle,
    write_log,
)
from bywire.ledger.tiles_verify import verify_tiles
from bywire.ledger.witness_policy import n_of
from bywire.model.errors import EvidenceError, LedgerError


class KilledError(Exception):
    pass


class Store:
    """What a directory would do; `acts` counts what changes it, and `kill_at` ends the process there."""

    def __init__(self, files=(), kill_at=None):
        self.files = dict(files)
        self.pending = {}
        self.kill_at = kill_at
        self.acts = 0

    def act(self):
        self.acts += 1
        if self.acts == self.kill_at:
            raise KilledError

    def seen(self):
        return {**self.files, **self.pending}

    def read(self, path, bytes_max):
        data = self.seen().get(path)
        if data is not None and len(data) > bytes_max:
            raise LedgerError("too large", code="tiles_unavailable")
        return data

    def exists(self, path):
        return path in self.seen()

    def widths(self, resource):
        start = f"{resource.whole.path}.p/"
        return sorted(int(path.removeprefix(start)) for path in self.seen() if path.startswith(start))

    def put(self, path, content):
        self.act()
        if path in self.seen() and self.seen()[path] != content:
            raise LedgerError("other bytes", code="tile_conflict")
        self.pending[path] = content

    def sync(self):
        self.act()
        self.files.update(self.pending)
        self.pending = {}

    def replace_checkpoint(self, note):
        self.act()
        self.files[CHECKPOINT_PATH] = note.encode()

    def drop_partials(self, resource):
        self.act()
        for width in self.widths(resource):
            self.files.pop(f"{resource.whole.path}.p/{width}", None)


LONG = Tree(numbered(1_000))


def tree(size, published=()):
    cut = Tree([], published)
    cut.leaves, cut.hashes = LONG.leaves[:size], LONG.hashes[:size]
    return cut


def publish(store, log):
    write_log(store, log, log.note(), keys)
    return store


def check(store, code, trust=TRUST, policy=None):
    report = verify_tiles(store, trust, policy)
    assert (report.ok, report.code) == (code == "verified", code), report
    return report


def test_a_small_log_has_exactly_these_files():
    store = publish(Store(), tree(3))
    assert sorted(store.files) == ["checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"]
    assert store.files["tile/entries/000.p/3"] == b"".join(
        len(leaf).to_bytes(2, "big") + leaf for leaf in LONG.leaves[:3]
    )
    assert store.files["tile/0/000.p/3"] == b"".join(LONG.hashes[:3])


def test_an_empty_log_has_only_a_checkpoint():
    store = publish(Store(), tree(0))
    assert list(store.files) == ["checkpoint"]
    assert check(store, "verified").size == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1_000))
def test_a_published_log_of_any_size_verifies(size):
    report = check(publish(Store(), tree(size)), "verified")
    assert (report.origin, report.size, report.root) == (ORIGIN, size, tree(size).root().hex())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=6).map(sorted))
def test_published_bit_by_bit_it_holds_what_it_holds_published_at_once(sizes):
    grown = Store()
    for at, size in enumerate(sizes):
        publish(grown, tree(size, sizes[:at]))
        check(grown, "verified")
    assert grown.files == publish(Store(), tree(sizes[-1], sizes)).files


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 600), st.integers(0, 600), st.integers(1, 30))
def test_killed_anywhere_it_verifies_and_the_next_run_completes_it(size1, size2, kill_at):
    size1, size2 = sorted((size1, size2))
    before = publish(Store(), tree(size1))
    killed = Store(before.files, kill_at)
    try:
        publish(killed, tree(size2, [size1]))
    except KilledError:
        killed.kill_at = None
        # Whether or not the names that were not synced survived.
        check(killed, "verified")
        check(Store(killed.files), "verified")
        publish(killed, tree(size2, [size1]))
    assert killed.files == publish(Store(before.files), tree(size2, [size1])).files


def test_partial_tiles_of_every_published_size_are_served_until_the_full_one_is():
    sizes = [5, 250, 256, 300]
    store = Store()
    publish(store, tree(5))
    assert "tile/0/000.p/5" in store.files
    publish(store, tree(255, [5, 250]))
    assert {"tile/0/000.p/5", "tile/0/000.p/250", "tile/0/000.p/255"} <= store.files.keys()
    publish(store, tree(300, sizes))
    assert sorted(store.files) == [
        "checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44",
    ]  # fmt: skip


def test_the_checkpoint_is_replaced_after_everything_else_is_durable():
    order = []

    class Watched(Store):
        def put(self, path, content):
            order.append("put")
            super().put(path, content)

        def sync(self):
            order.append("sync")
            super().sync()

        def replace_checkpoint(self, note):
            order.append("checkpoint")
            super().replace_checkpoint(note)

        def drop_partials(self, resource):
            order.append("drop")
            super().drop_partials(resource)

    publish(Watched(publish(Store(), tree(10)).files), tree(300, [10]))
    assert list(dict.fromkeys(order)) == ["put", "sync", "checkpoint", "drop"]
    assert order.count("checkpoint") == 1


def refused(code, act):
    with pytest.raises((EvidenceError, LedgerError)) as error:
        act()
    assert error.value.code == code


def test_a_checkpoint_never_goes_back_and_never_covers_another_log():
    store = publish(Store(), tree(20))
    kept = dict(store.files)
    refused("ledger_truncated", lambda: publish(store, tree(19)))
    other = Tree(numbered(30, b"other"))
    refused("ledger_forked", lambda: publish(store, other))
    refused("checkpoint_unsigned", lambda: write_log(store, tree(30), tree(30).note(key=STRANGER), keys))
    foreign = sign_checkpoint("another.example/log", 30, tree(30).root(), LOG)
    refused("checkpoint_origin", lambda: write_log(store, tree(30), foreign, keys))
    assert store.files == kept


def test_a_note_of_another_root_or_of_more_than_the_log_has_is_not_published():
    log = tree(20)
    refused("ledger_forked", lambda: write_log(Store(), log, sign_checkpoint(ORIGIN, 20, b"r" * 32, LOG), keys))
    refused("ledger_truncated", lambda: write_log(Store(), log, tree(21).note(), keys))


def test_a_file_with_other_bytes_is_never_overwritten():
    store = publish(Store(), tree(20))
    store.files["tile/0/000.p/30"] = b"\x00" * 960
    refused("tile_conflict", lambda: publish(store, tree(30, [20])))
    check(store, "verified")


def test_a_file_that_was_removed_is_written_again():
    store = publish(Store(), tree(600))
    whole = dict(store.files)
    del store.files["tile/entries/000"], store.files["tile/0/001"]
    assert publish(store, tree(600)).files == whole


def test_a_log_that_contradicts_itself_is_not_published():
    log = tree(20)
    log.leaves = [*log.leaves[:7], b"changed", *log.leaves[8:]]
    store = Store()
    refused("ledger_invalid", lambda: publish(store, log))
    assert CHECKPOINT_PATH not in store.files


FILES = publish(Store(), tree(514, [513])).files


@pytest.mark.parametrize("path", sorted(FILES))
def test_every_flipped_bit_is_found(path):
    content = FILES[path]
    for at in {0, 1, 2, len(content) // 2, len(content) - 1}:
        for bit in (0, 7):
            flipped = bytearray(content)
            flipped[at] ^= 1 << bit
            report = verify_tiles(Store({**FILES, path: bytes(flipped)}), TRUST)
            assert not report.ok, (path, at, bit)
            assert report.path or report.code.startswith("checkpoint")


@pytest.mark.parametrize("path", sorted(FILES))
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\x00", lambda data: b""])
def test_every_torn_file_is_found(path, change):
    assert not verify_tiles(Store({**FILES, path: change(FILES[path])}), TRUST).ok


@pytest.mark.parametrize("path", sorted(set(FILES) - {"tile/0/002.p/1", "tile/entries/002.p/1"}))
def test_every_missing_file_is_found(path):
    files = dict(FILES)
    del files[path]
    report = check(Store(files), "file_missing")
    assert report.path in {path, path.partition(".p/")[0]}
    assert (report.size, report.root) == (0, "")


def test_a_tile_of_the_second_level_is_whole_at_65536_entries():
    log = Tree(numbered(65_536 + 300))
    store = publish(Store(), log)
    assert {"tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"} <= store.files.keys()
    check(store, "verified")
    for path in ("tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"):
        changed = bytes([store.files[path][0] ^ 1]) + store.files[path][1:]
        assert check(Store({**store.files, path: changed}), "tile_changed").path == path


def test_a_partial_file_may_have_been_replaced_by_the_full_one():
    files = dict(publish(Store(), tree(200)).files)
    full = publish(Store(), tree(256)).files
    for path in ("tile/0/000", "tile/entries/000"):
        del files[f"{path}.p/200"]
        files[path] = full[path]
    check(Store(files), "verified")


def test_swapped_entries_are_found():
    log = tree(20)
    swapped = [*log.leaves[:4], log.leaves[5], log.leaves[4], *log.leaves[6:]]
    files = {**publish(Store(), log).files, "tile/entries/000.p/20": bundle(swapped)}
    assert check(Store(files), "tile_changed").path == "tile/0/000.p/20"


def test_a_consistent_rewrite_is_stopped_by_the_signed_root():
    forged = Tree(numbered(20, b"forged"))
    store = publish(Store(), forged)
    store.files[CHECKPOINT_PATH] = tree(20).note().encode()
    assert check(store, "root_mismatch").path == CHECKPOINT_PATH


def test_without_a_trust_root_it_is_integrity_only():
    report = check(publish(Store(), tree(20)), "signer_untrusted", trust=None)
    assert report.message == "integrity only, signer untrusted"
    check(publish(Store(), tree(20)), "witness_quorum", policy=n_of({"w.example": WITNESS.public}, 1))


def test_cosignatures_are_published_with_the_checkpoint():
    log = tree(20)
    checkpoint = parse_checkpoint(log.note())
    cosigned = render_note(
        checkpoint.text, [*checkpoint.signatures, cosign(checkpoint, "w.example", WITNESS, 1_790_000_000)]
    )
    store = Store()
    write_log(store, log, cosigned, keys)
    assert check(store, "verified", policy=n_of({"w.example": WITNESS.public}, 1)).witnesses == ("w.example",)


def test_nobody_has_to_read_a_tree_that_only_claims_to_be_large():
    store = Store({CHECKPOINT_PATH: sign_checkpoint(ORIGIN, 2**62, b"r" * 32, LOG).encode()})
    assert check(store, "file_missing").files == 1


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_a_bundle_gives_back_its_entries(leaves):
    assert split_bundle(bundle(leaves)) == leaves


@given(st.binary(max_size=200))
def test_a_bundle_of_any_bytes_is_read_whole_or_refused(data):
    try:
        assert bundle(split_bundle(data)) == data
    except LedgerError as error:
        assert error.code == "bundle_malformed"


def test_the_largest_entry_fits_and_a_257th_does_not():
    largest = b"x" * 65_535
    assert split_bundle(bundle([largest])) == [largest]
    refused("bundle_malformed", lambda: split_bundle(bundle([b""] * 257)))


def test_a_resource_says_how_many_entries_it_needs():
    assert Resource(0, 2, 7).end == Resource(ENTRIES, 2, 7).end == 519
    assert Resource(1, 0).end == 65_536
    assert all(resource.end <= 70_000 for resource in resources(70_000))
