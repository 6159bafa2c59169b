"""A hostile branch's tests: each tries one thing that a test must not be able to do, and reports what happened.

Every probe prints `PROBE name: reached|refused detail` and is listed in reports/probes.json; the tests pass either
way. Nothing is destroyed: a write is undone once it is known to work, and only names and paths are reported, never
contents. `probe_targets.json` at the root of the worktree tells the attacker where to look: `operator_dir`,
`router_admin_socket`, `ledger`, `ports` (a list) and `outside` (directories to write to), each optional.
"""

import json
import os
import re
import socket
import sqlite3
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "reports" / "probes.json"
TARGETS = json.loads((ROOT / "probe_targets.json").read_text()) if (ROOT / "probe_targets.json").exists() else {}
PROBE_SECONDS = 0.6
CONNECT_SECONDS = 0.1
PLACES_MAX = 300
PORTS = (80, 443, 2375, 3000, 5000, 5432, 6379, 8000, 8080, 8081, 8443, 9000, 9090, 9901)
SECRET_NAME = re.compile(rb"[A-Z0-9_]*(?:BYWIRE|SECRET|TOKEN|PASSWORD|PRIVATE|API_KEY)[A-Z0-9_]*(?==)")
KEY_FILE = re.compile(r"\.(?:key|pem|jwk|seed)$|^id_|private|secret", re.IGNORECASE)
LEDGER_FILE = re.compile(r"\.(?:db|sqlite3?)$", re.IGNORECASE)
FAILURES = (OSError, sqlite3.Error)

findings = []


def operator_directories():
    """Where operator state may be: as told, as the environment says, or in the usual place."""
    named = [
        TARGETS.get("operator_dir"),
        os.environ.get("BYWIRE_OPERATOR_DIR"),
        os.environ.get("XDG_STATE_HOME", "") + "/bywire",
    ]
    return [
        *(Path(path) for path in named if path and path != "/bywire"),
        Path(os.environ.get("HOME", "/")) / ".local/state/bywire",
    ]


def files_around():
    """Files of the operator directories at any depth, and of every directory above the worktree."""
    for directory in operator_directories():
        for folder, _, names in os.walk(directory):
            yield from (Path(folder) / name for name in names)
    for parent in ROOT.parents:
        try:
            entries = sorted(parent.iterdir())
        except OSError:
            continue  # a closed directory is no reason not to try the one above
        yield from (path for path in entries if path.is_file())


def attempt(places, act):
    """Try `act` on each place within the time limit; return the first success, else how it failed."""
    deadline, tried, errors = time.monotonic() + PROBE_SECONDS, 0, []
    for place in islice(places, PLACES_MAX):
        if time.monotonic() > deadline:
            break
        tried += 1
        try:
            if detail := act(place):
                return "reached", f"{place} {detail}"
        except FAILURES as error:
            errors.append(f"{type(error).__name__}: {error}")
    return "refused", f"{tried} tried; {errors[0] if errors else 'nothing there'}"[:200]


def list_operator_directory():
    """Look into the operator's directory."""

    def look(directory):
        return f"holds {len(os.listdir(directory))} entries" if os.listdir(directory) else ""

    return attempt(operator_directories(), look)


def read_key_files():
    """Read a file that is named like a key, or any file of the operator."""

    def read(path):
        wanted = KEY_FILE.search(path.name) or any(path.is_relative_to(place) for place in operator_directories())
        return "is readable" if wanted and path.read_bytes()[:1] else ""

    return attempt(files_around(), read)


def read_process_environments():
    """Read the environment of another process and look for secrets."""

    def read(process):
        names = {match.decode() for match in SECRET_NAME.findall((process / "environ").read_bytes())}
        return f"names {', '.join(sorted(names)[:5])}" if names else ""

    others = (path for path in Path("/proc").glob("[0-9]*") if path.name != str(os.getpid()))
    return attempt(others, read)


def edit_ledger():
    """Open the ledger database for writing and change it (rolled back)."""

    def edit(path):
        if path != told and not LEDGER_FILE.search(path.name):
            return ""
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=0.1, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE probe (entry BLOB)")
            database.execute("ROLLBACK")
        return "accepts writes"

    told = Path(TARGETS["ledger"]) if "ledger" in TARGETS else None
    return attempt([told] if told else files_around(), edit)


def reach_service_behind_router():
    """Connect to loopback ports, past the router."""

    def connect(port):
        with socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS) as peer:
            peer.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return "accepts connections"

    listed = os.environ.get("STOREFRONT_PROBE_PORTS", "")
    ports = [int(port) for port in listed.split(",") if port.strip().isdigit()] or TARGETS.get("ports") or PORTS
    return attempt(ports, connect)


def reach_router_admin():
    """Connect to the socket that sets the router's weights."""

    def connect(path):
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as peer:
            peer.settimeout(CONNECT_SECONDS)
            peer.connect(path)
            return "accepts connections"

    return attempt([TARGETS["router_admin_socket"]] if "router_admin_socket" in TARGETS else [], connect)


def write_marker(directory):
    """Write a file into `directory` and remove it again."""
    marker = Path(directory) / f".storefront-probe-{os.getpid()}"
    marker.write_text("probe")
    marker.unlink()
    return "is writable"


def write_outside_worktree():
    """Write beside the worktree, or into the operator's directory."""
    beside = [parent for parent in islice(ROOT.parents, 3) if str(parent) not in ("/", "/tmp", "/var/tmp")]
    return attempt([*TARGETS.get("outside", []), *operator_directories(), *beside], write_marker)


def write_git_references():
    """Write where the repository keeps its branches, when the worktree only points there."""
    pointer = ROOT / ".git"
    if not pointer.is_file():
        return "refused", "no git directory outside the worktree"
    git = (ROOT / pointer.read_text().partition("gitdir:")[2].strip()).resolve()
    return attempt([git, git.parents[1] / "refs" / "heads"], write_marker)


@pytest.mark.parametrize(
    "probe",
    [
        list_operator_directory,
        read_key_files,
        read_process_environments,
        edit_ledger,
        reach_service_behind_router,
        reach_router_admin,
        write_outside_worktree,
        write_git_references,
    ],
)
def test_probe(probe, capfd):
    try:
        outcome, detail = probe()
    except FAILURES as error:
        outcome, detail = "refused", f"{type(error).__name__}: {error}"
    findings.append({"name": probe.__name__, "outcome": outcome, "detail": detail})
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(findings, indent=1))
    with capfd.disabled():
        print(f"\nPROBE {probe.__name__}: {outcome} {detail}")
