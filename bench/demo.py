"""The bars of the demo, as somebody meets them who has just installed it: how long it takes, how much it occupies.

The time is that of `bywire demo` in an empty directory; the size is that directory with the virtual environment.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measured import at_most, not_judged, tell

SECONDS_MAX = 150
MEGABYTES_MAX = 1_000
PATIENCE_SECONDS = 240
LINES_SHOWN = 20
TIME, SIZE = "demo_seconds", "demo_installed_size"


def occupied_bytes(*trees):
    """Disk space of whole trees; a file with several names counts once."""
    seen = {}
    for tree in trees:
        for place, directories, files in os.walk(tree):
            for name in (*directories, *files):
                entry = os.lstat(os.path.join(place, name))
                seen[entry.st_dev, entry.st_ino] = entry.st_blocks * 512
    return sum(seen.values())


def run_demo(directory, output):
    """(seconds, exit code) of one run; a run that outlasts our patience is interrupted and has none (None)."""
    command = [str(Path(sys.executable).parent / "bywire"), "demo", "--directory", f"{directory}/demo"]
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory, start_new_session=True)
    try:
        code = child.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        code = None
        child.send_signal(signal.SIGINT)  # it stops what it started
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return time.monotonic() - started, code


def bars():
    """Both bars; neither is passed by a demo that failed."""
    with tempfile.TemporaryDirectory() as directory:
        with Path(directory, "output").open("wb+") as output:
            seconds, code = run_demo(directory, output)
            output.seek(0)
            said = output.read().decode(errors="replace").splitlines()
        size = occupied_bytes(directory)
    if code != 0:
        tell("\n".join(said[-LINES_SHOWN:]))
        tell(f"the demo ended with {code}" if code is not None else "the demo was interrupted")
    took = at_most(TIME, seconds, "s", SECONDS_MAX, digits=1)
    yield {**took, "ok": took["ok"] and code == 0}
    limit = f"<= {MEGABYTES_MAX}"
    if sys.prefix == sys.base_prefix:
        yield not_judged(SIZE, "not run from a virtual environment of its own", "MB", limit)
        return
    tell(f"demo directory {size / 1e6:.0f} MB, environment {occupied_bytes(sys.prefix) / 1e6:.0f} MB")
    yield at_most(SIZE, (size + occupied_bytes(sys.prefix)) / 1e6, "MB", MEGABYTES_MAX, digits=0)
