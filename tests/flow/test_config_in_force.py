"""A server tells that its files are not what it read at its start, whatever was done to them, and reads none anew."""

import json
import os
import shutil
import time
import tracemalloc
import urllib.request
from types import SimpleNamespace

import pytest
import yaml
from serving import CONTRACTS, prepared, served
from telemetry_world import until

from bywire.adapters import watched_files
from bywire.adapters.serving_notes import FOLDER, NOTES_MAX, ServingNote
from bywire.adapters.serving_notes import serving as notes_of
from bywire.adapters.watched_files import FileState, Found, Watched, WatchedFiles
from bywire.wiring.config_in_force import FILES_TOLD_MAX, ConfigInForce, start_fault

GIB = 2**30


@pytest.fixture
def place(tmp_path):
    """An operator directory's configuration, old enough to be settled."""
    (tmp_path / "contracts").mkdir()
    (tmp_path / "operator.yaml").write_text("version: 1\n")
    (tmp_path / "gateway.yaml").write_text("version: 1\n")
    (tmp_path / "contracts" / "shop.yaml").write_text("version: 1\n")
    return tmp_path


def swapped_for_other_bytes(place):
    (place / "other").write_text("version: 9\n")
    about = (place / "gateway.yaml").stat()
    os.utime(place / "other", ns=(about.st_atime_ns, about.st_mtime_ns))
    (place / "gateway.yaml").unlink()
    (place / "gateway.yaml").symlink_to(place / "other")


def rewritten_with_its_old_times(place):
    about = (place / "gateway.yaml").stat()
    (place / "gateway.yaml").write_text("version: 2\n")
    os.utime(place / "gateway.yaml", ns=(about.st_atime_ns, about.st_mtime_ns))


def linked(name, to):
    def change(place):
        (place / name).unlink()
        (place / name).symlink_to(to)

    return change


def a_pipe(place):
    (place / "gateway.yaml").unlink()
    os.mkfifo(place / "gateway.yaml")


def grown(place):
    with (place / "gateway.yaml").open("r+b") as stream:
        stream.truncate(GIB)


def many(place):
    for number in range(70):
        (place / "contracts" / f"u{number}.yaml").write_text("version: 1\n")


def crowded(place):
    for number in range(watched_files.ENTRIES_MAX + 1):
        (place / "contracts" / f"u{number}.txt").touch()


def no_folder(place):
    shutil.rmtree(place / "contracts")
    (place / "contracts").write_text("")


CHANGES = [
    (lambda p: (p / "gateway.yaml").write_text("version: 2\n"), [("gateway.yaml", "changed")]),
    (lambda p: (p / "operator.yaml").unlink(), [("operator.yaml", "removed")]),
    (lambda p: (p / "contracts" / "more.yml").write_text("x"), [("contracts/more.yml", "added")]),
    (lambda p: (p / "contracts" / "more.yaml.off").write_text("x"), [("contracts/more.yaml.off", "added")]),
    (lambda p: (p / "contracts" / "shop.yaml").unlink(), [("contracts/shop.yaml", "removed")]),
    (lambda p: (p / "contracts" / "a\n\x1b[2Jb.yaml").touch(), [("contracts/a\\n\\x1b[2Jb.yaml", "added")]),
    (swapped_for_other_bytes, [("gateway.yaml", "changed")]),
    (rewritten_with_its_old_times, [("gateway.yaml", "changed")]),
    (linked("gateway.yaml", "/dev/zero"), [("gateway.yaml", "unreadable")]),
    (linked("gateway.yaml", "gateway.yaml"), [("gateway.yaml", "unreadable")]),
    (linked("gateway.yaml", "nowhere"), [("gateway.yaml", "removed")]),
    (linked("contracts/shop.yaml", "../gateway.yaml"), [("contracts/shop.yaml", "unreadable")]),
    (a_pipe, [("gateway.yaml", "unreadable")]),
    (grown, [("gateway.yaml", "too_large")]),
    (many, [("contracts", "unreadable"), ("contracts/shop.yaml", "removed")]),
    (crowded, [("contracts", "unreadable"), ("contracts/shop.yaml", "removed")]),
    (no_folder, [("contracts", "unreadable"), ("contracts/shop.yaml", "removed")]),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_whatever_is_done_to_a_file_is_told_within_a_bound(place, change, told, caplog):
    config = ConfigInForce(place)
    config.look(lambda: pytest.fail("nothing changed"))
    assert not config.stale.files
    change(place)
    asked = []
    tracemalloc.start()
    began = time.monotonic()
    try:
        for _ in range(3):
            config.look(lambda: asked.append(1))
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 2
    assert [(one["file"], one["state"]) for one in config.stale.files] == told
    assert config.stale.next_step == "restart bywire serve"
    assert (len(asked), len(caplog.records)) == (1, 1), "one line, and one look at what a start would say"
    assert "\n" not in caplog.records[0].getMessage()


def test_what_is_put_back_is_stale_no_more_and_what_is_only_touched_never_was(place, caplog):
    config = ConfigInForce(place)
    os.utime(place / "gateway.yaml")
    (place / "copy").write_text("version: 1\n")
    (place / "copy").replace(place / "operator.yaml")
    config.look(lambda: None)
    assert not config.stale.files
    assert not caplog.records
    (place / "gateway.yaml").write_text("version: 2\n")
    config.look(lambda: None)
    assert config.stale.files
    (place / "gateway.yaml").write_text("version: 1\n")
    config.look(lambda: None)
    assert not config.stale.files
    assert "again what this server started with" in caplog.records[-1].getMessage()


def test_what_could_not_be_looked_at_from_the_start_is_told_too(place, monkeypatch):
    monkeypatch.setattr(watched_files, "ENTRIES_MAX", 0)
    config = ConfigInForce(place)
    config.look(lambda: None)
    assert config.stale.files == ({"file": "contracts", "state": "unreadable"},)


def test_what_never_rests_is_told_once_and_never_parsed(place, caplog):
    config = ConfigInForce(place)
    for number in range(20):
        (place / "gateway.yaml").write_text(f"version: {number + 2}\n")
        config.look(lambda: pytest.fail("it does not rest"))
    assert len(caplog.records) == 1


def test_a_flood_of_files_is_told_in_part(place):
    config = ConfigInForce(place)
    for number in range(40):
        (place / "contracts" / f"u{number}.yaml").write_text("x")
    config.look(lambda: None)
    assert len(config.stale.files) == FILES_TOLD_MAX


def test_an_unchanged_file_is_looked_at_and_not_read(place, monkeypatch):
    monkeypatch.setattr(watched_files, "SETTLED_NS", 0)
    files = WatchedFiles(lambda: {"g": Watched(place / "gateway.yaml", 100)})
    first = files.look()
    monkeypatch.setattr(watched_files.os, "open", lambda *_: pytest.fail("it was read"))
    assert files.look() == first
    monkeypatch.undo()
    # What changed a moment ago may change again within the clock's tick: it is read once more.
    fresh, opened, real = WatchedFiles(lambda: {"g": Watched(place / "gateway.yaml", 100)}), [], os.open
    monkeypatch.setattr(watched_files.os, "open", lambda *given: opened.append(1) or real(*given))
    (place / "gateway.yaml").write_text("version: 3\n")
    assert fresh.look() == fresh.look()
    assert len(opened) == 2


def test_old_times_on_new_bytes_hide_nothing(place, monkeypatch):
    monkeypatch.setattr(watched_files, "SETTLED_NS", 0)
    config, before = ConfigInForce(place), (place / "gateway.yaml").stat()
    while (place / "gateway.yaml").stat().st_ctime_ns == before.st_ctime_ns:
        rewritten_with_its_old_times(place)
    about = (place / "gateway.yaml").stat()
    assert (about.st_ino, about.st_size, about.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    config.look(lambda: None)
    assert config.stale.files == ({"file": "gateway.yaml", "state": "changed"},)


def test_a_file_that_says_it_is_small_is_read_no_further_than_its_bound(place, monkeypatch):
    (place / "gateway.yaml").write_bytes(b"x" * 10_000_000)
    read, real, about = [], os.read, os.fstat

    def small(descriptor):
        found = about(descriptor)
        fields = ("st_dev", "st_ino", "st_mode", "st_mtime_ns", "st_ctime_ns")
        return SimpleNamespace(st_size=0, **{name: getattr(found, name) for name in fields})

    monkeypatch.setattr(watched_files.os, "fstat", small)
    monkeypatch.setattr(watched_files.os, "read", lambda *given: read.append(given[1]) or real(*given))
    files = WatchedFiles(lambda: {"g": Watched(place / "gateway.yaml", 100_000)})
    assert files.look() == {"g": Found(FileState.TOO_LARGE)}
    assert sum(read) <= 100_000 + 2 * 65_536


def test_a_note_counts_while_its_server_runs(tmp_path):
    files = {"gateway.yaml": Found(FileState.READ, "ab" * 32)}
    with ServingNote(tmp_path, "http://127.0.0.1:1", 7, files):
        (note,) = notes_of(tmp_path)
        assert (note.process, note.files, note.started_ms) == (os.getpid(), files, 7)
        place = next((tmp_path / FOLDER).iterdir())
        assert place.stat().st_mode & 0o077 == 0
        left = place.with_name("1-1.json")
        shutil.copy(place, left)
        assert len(notes_of(tmp_path)) == 1, "what nobody holds counts for nothing"
    assert notes_of(tmp_path) == ()
    os.mkfifo(place.with_name("2-2.json"))
    place.with_name("3-3.json").symlink_to("/dev/zero")
    with ServingNote(tmp_path, "http://127.0.0.1:1", 8, files):
        assert len(notes_of(tmp_path)) == 1
        assert not left.exists(), "what a killed server left is taken away"
        for number in range(NOTES_MAX + 1):
            (tmp_path / FOLDER / f"9-{number}.json").touch()
        assert notes_of(tmp_path) == ()
    with ServingNote(tmp_path, "http://127.0.0.1:1", 9, files):
        assert [note.started_ms for note in notes_of(tmp_path)] == [9], (
            "however many were left, the next start clears them"
        )


def test_status_tells_an_agent_the_files_and_no_more(tmp_path):
    scene = prepared(tmp_path / "scene", telemetry={"metrics": {"open": True}})
    with served(scene) as gateway:
        config, workspace = gateway.gateway.config, gateway.gateway.workspace
        fresh = {"stale": False, "files": [], "fault": "", "next_step": ""}
        assert gateway.send("GET", "/v1/status").json["config"] == fresh
        (scene.operator / "contracts" / "shop.yaml").write_text("version: 1\nupstream: [secret-name\n")
        for _ in range(2):
            config.look(lambda: start_fault(workspace))
        answer = gateway.send("GET", "/v1/status")
        assert answer.json["config"] == {
            "stale": True,
            "files": [{"file": "contracts/shop.yaml", "state": "changed"}],
            "fault": "yaml_invalid",
            "next_step": "correct it, then restart bywire serve: until then it would not start",
        }
        assert str(scene.operator).encode() not in answer.body
        assert "shop.yaml:" in config.stale.fault["message"]
        assert b"\nbywire_config_stale 1.0\n" in gateway.send("GET", "/metrics", token="").body
        assert (
            gateway.post("/v1/permit", {"tool": "shop.restart", "parameters": {"job": "a"}, "key": "k"}).status == 200
        )
        (scene.operator / "contracts" / "shop.yaml").write_text(yaml.safe_dump(CONTRACTS))
        config.look(lambda: start_fault(workspace))
        assert gateway.send("GET", "/v1/status").json["config"] == fresh
        assert b"\nbywire_config_stale 0.0\n" in gateway.send("GET", "/metrics", token="").body
    scene.close()


def test_a_running_server_says_it_in_its_log_and_the_operators_commands_say_it_too(tmp_path):
    scene = prepared(tmp_path / "scene", telemetry={"metrics": {"open": True}})

    def stale(url):
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            return b"\nbywire_config_stale 1.0\n" in answer.read()

    child = scene.spawn("serve", "--json")
    try:
        told = json.loads("".join(iter(child.stdout.readline, "}\n")) + "}")
        assert json.loads(scene.bywire("status", "--json").out)["serving"][0]["stale"] is False
        document = yaml.safe_load((scene.operator / "gateway.yaml").read_text())
        (scene.operator / "gateway.yaml").write_text(yaml.safe_dump({**document, "api_keys": {"allowed": True}}))
        until(lambda: stale(told["url"]))
        said = scene.bywire("status")
        assert f"serving  {told['url']}, process {child.pid}" in said.out
        assert "stale    gateway.yaml changed since it started; it goes on with what it read then" in said.out
        assert "next   restart bywire serve" in said.out
        found = check(scene.bywire("doctor", "--json"))
        assert (found["health"], found["fix"]) == ("limit", "restart bywire serve")
        (scene.operator / "gateway.yaml").write_text("version: 2\n")
        broken = check(scene.bywire("doctor", "--json"))
        assert broken["health"] == "broken"
        assert broken["fix"].startswith("correct it, then restart")
        (scene.operator / "gateway.yaml").write_text(yaml.safe_dump(document))
        until(lambda: not stale(told["url"]))
    finally:
        child.terminate()
        _, err = child.communicate(timeout=30)
    assert child.returncode == 0
    lines = err.splitlines()
    assert lines[0] == (
        "configuration: gateway.yaml changed since this server started; it goes on with what it read then;"
        " next: restart bywire serve"
    )
    assert lines[-1] == "configuration: the files are again what this server started with"
    assert json.loads(scene.bywire("status", "--json").out)["serving"] == []
    scene.close()


def check(ran):
    return next(one for one in json.loads(ran.out)["checks"] if one["name"] == "configuration")
