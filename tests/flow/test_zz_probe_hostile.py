import pytest, sqlite3, base64
from log_double import LOG, STRANGER, ORIGIN, TRUST, Tree, numbered, keys
from bywire.adapters.witness_state import WitnessState, create_witness, trust_log
from bywire.adapters.tile_files import TileFiles
from bywire.ledger.tiles import write_log
from bywire.ledger.tiles_verify import verify_tiles
from bywire.ledger.checkpoint import ED25519, sign_checkpoint
from bywire.ledger.vkey import format_vkey
from bywire.ledger.witness import AddCheckpoint, render_request, Refusal
from bywire.seal.keys import VerifyKey, verify_key
from bywire.model.errors import EvidenceError

T = Tree(numbered(60)); EVIL = Tree([*numbered(20), *numbered(60, b"evil")[20:]])

def req(size, old, tree, key=LOG):
    return render_request(AddCheckpoint(old_size=old, proof=tree.consistency(old, size), note=sign_checkpoint(ORIGIN, size, tree.root(size), key)))

def test_witness_old_key(tmp_path):
    # LOG was rotated to STRANGER at size 20; LOG leaked
    create_witness(tmp_path/"w", "w.example/1", [format_vkey(ORIGIN, LOG.public, ED25519)])
    w = WitnessState(tmp_path/"w")
    assert isinstance(w.add(req(20, 0, T)), str)
    w = trust_log(tmp_path/"w", format_vkey(ORIGIN, STRANGER.public, ED25519))
    got = w.add(req(21, 20, EVIL, LOG))
    print("evil", got)
    got2 = w.add(req(30, 21, T, STRANGER))
    print("true", got2)
    assert isinstance(got, Refusal)

@pytest.mark.parametrize("pub", ["01"+"00"*31, "00"*32, "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "0100000000000000000000000000000000000000000000000000000000000080", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f","eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"])
def test_small_order(pub):
    try:
        key = verify_key(pub)
    except EvidenceError as e:
        print(e); return
    # R = identity, s=0 : [0]B = R + [h]A  works when [h]A = identity
    won = 0
    for n in range(64):
        for R in (bytes.fromhex("01"+"00"*31), bytes.fromhex(pub)):
            try:
                key.verify(b"approve everything %d" % n, R + bytes(32)); won += 1
            except EvidenceError:
                pass
    print(pub[:8], "forged", won)
    assert not won

def test_tiles_missing(tmp_path):
    leaves = numbered(70000)
    t = Tree(leaves)
    store = TileFiles(tmp_path/"p")
    with store.publishing():
        write_log(store, t, t.note(), keys)
    assert verify_tiles(store, TRUST).ok
    for name in ("tile/1/000", "tile/2/000.p/1", "tile/1/001.p/17", "tile/0/005", "tile/entries/001"):
        p = tmp_path/"p"/name
        if not p.exists():
            print("no", name, [x.name for x in p.parent.iterdir()] if p.parent.exists() else None); continue
        d = p.read_bytes(); p.unlink()
        r = verify_tiles(store, TRUST)
        print(name, r.ok, r.code)
        assert not r.ok
        p.write_bytes(d)
