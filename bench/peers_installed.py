"""Where a peer is installed, and a process of it.

A peer lives in a virtual environment of its own that an environment variable names, never among this project's
dependencies. Its process gets an environment that says nothing of this machine, and a folder that goes with it.
"""

import contextlib
import dataclasses
import http.client
import os
import socket
import subprocess
import time
from pathlib import Path

import psutil

START_SECONDS = 120
END_SECONDS = 30
SAID_CHARACTERS = 400


class NotInstalledError(LookupError):
    """No environment was named, or the peer is not in it."""


class NotStartedError(RuntimeError):
    """An installed peer that ended, or did not answer as it should."""


@dataclasses.dataclass(frozen=True)
class Installed:
    """A peer's virtual environment."""

    folder: Path
    version: str

    def program(self, name):
        return str(self.folder / "bin" / name)


def installed(variable, distribution, environment):
    """The virtual environment that `variable` names, with the version of the distribution in it."""
    named = environment.get(variable, "")
    if not named:
        raise NotInstalledError(f"{variable} names no virtual environment")
    stem = distribution.replace("-", "_")
    found = sorted(Path(named).glob(f"lib/python*/site-packages/{stem}-[0-9]*.dist-info"))
    if not found:
        raise NotInstalledError(f"{variable} names {named}, where {distribution} is not installed")
    return Installed(Path(named).absolute(), found[-1].name.removeprefix(f"{stem}-").removesuffix(".dist-info"))


def surroundings(directory):
    """The environment of a peer's process before its own settings."""
    return {"PATH": os.defpath, "HOME": str(directory), "LANG": "C.UTF-8"}


def free_port():
    """A loopback port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def listens(port):
    """Whether somebody takes connections on a loopback port."""
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


@contextlib.contextmanager
def running(command, directory, settings, ready):
    """The process of a command, once `ready()` is true; it ends with all that it started."""
    said = directory / "said.txt"
    environment = surroundings(directory) | settings
    with said.open("wb") as out:
        try:
            process = subprocess.Popen(
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise NotStartedError(str(error)) from error
    try:
        await_ready(process, ready, said)
        yield psutil.Process(process.pid)
    finally:
        end(process)


def await_ready(process, ready, said):
    """Return once `ready()` is true, or raise with the last words of the process."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotStartedError(f"ended with {process.returncode}: {last_words(said)}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ready():
                return
        time.sleep(0.1)
    raise NotStartedError(f"did not answer within {START_SECONDS} s: {last_words(said)}")


def last_words(said):
    return said.read_text(errors="replace").strip()[-SAID_CHARACTERS:]


def end(process):
    """End a process and what it started."""
    tree = []
    with contextlib.suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    for one in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.terminate()
    _, alive = psutil.wait_procs(tree, END_SECONDS)
    for one in alive:
        one.kill()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(process):
    """CPU that a process and what it started have used so far."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total
