"""Whether the files that a server read when it started still say what they said then. It tells, and reads none again.

gateway.yaml, the contract files and operator.yaml are one configuration, in force from a start to the next: half of a
change, or a wrong one, never decides anything. So that nobody waits for a change that is not in force, a server looks
at them now and then and says so: in its log, in `/v1/status`, in its metrics, in `bywire status` and `bywire doctor`.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters import yaml_file
from bywire.adapters.git_repository import GitRepository
from bywire.adapters.operator_dir import NAMES_MAX, operator_path
from bywire.adapters.serving_notes import Note, ServingNote, serving
from bywire.adapters.watched_files import FileState, Found, Watched, WatchedFiles, listed
from bywire.config import contract_files, gateway_config
from bywire.config.reading import printable
from bywire.model.errors import BywireError, ConfigError
from bywire.wiring.catalogue import connected_tools
from bywire.wiring.gateway_settings import read_gateway
from bywire.wiring.workspace import OPERATOR_FILE, Workspace, read_operator

FILES_TOLD_MAX = 16
_logger = logging.getLogger("bywire.gateway")
_RESTART = "restart bywire serve"
_STATES = {FileState.MISSING: "removed", FileState.READ: "changed"}
_SAID = {"unreadable": "cannot be read", "too_large": "grew too large"}
_UNKNOWN = frozenset({FileState.UNREADABLE, FileState.TOO_LARGE})
_ABSENT = Found(FileState.MISSING)


class Stale(msgspec.Struct, frozen=True):
    """What differs from what a server read, and, once it rests, why none would start with it.

    `files`: {file, state} each, where `state` is changed, added, removed, unreadable or too_large.
    """

    files: tuple[dict[str, str], ...] = ()
    fault: dict[str, str] = {}

    @property
    def next_step(self) -> str:
        """What to do; empty when nothing is stale."""
        if not self.files:
            return ""
        return f"correct it, then {_RESTART}: until then it would not start" if self.fault else _RESTART

    @property
    def says(self) -> str:
        """The files, for one line of text."""
        return ", ".join(f"{one['file']} {_SAID.get(one['state'], one['state'])}" for one in self.files)

    def told(self) -> dict[str, Any]:
        """The fields of `/v1/status`; the fault's code alone, since its message quotes the operator's files."""
        fault = self.fault.get("code", "")
        return {"stale": bool(self.files), "files": list(self.files), "fault": fault, "next_step": self.next_step}


class ConfigInForce:
    """What one server started with. Make it before anything of it is read; `look` belongs to one thread."""

    def __init__(self, directory: Path) -> None:
        self._files = WatchedFiles(lambda: watched(directory))
        self.started_with = self._now = self._files.look()
        self._said = Stale()
        self._examined: dict[str, Found] = self._now
        self._lock = threading.Lock()

    @property
    def stale(self) -> Stale:
        """As of the last look."""
        with self._lock:
            return self._said

    def look(self, fault: Callable[[], BywireError | None]) -> None:
        """Compare, and log what is new. `fault` is asked once of each content, when it has rested for one look."""
        before, self._now = self._now, self._files.look()
        files = differing(self.started_with, self._now)
        said = Stale(files, self._said.fault if self._now == self._examined and files else {})
        if files and self._now == before and self._now != self._examined:
            self._examined = self._now
            found = fault()
            said = Stale(files, found.as_json() if found is not None else {})
        if not files:
            self._examined = self._now
        with self._lock:
            known, self._said = self._said, said
        if said != known:
            _tell(said)


def before_start(repo: Path, operator: Path | None) -> ConfigInForce:
    """What a server of this repository is about to read."""
    return ConfigInForce(operator_path(GitRepository(repo).root, given=operator))


def watched(directory: Path) -> Mapping[str, Watched]:
    """The files of one configuration by name; links are followed where the file's reader follows them."""
    names = (OPERATOR_FILE, gateway_config.FILE_NAME)
    found = {name: Watched(directory / name, yaml_file.BYTES_MAX) for name in names}
    folder = directory / contract_files.DIRECTORY
    contracts = listed(folder, ("",), NAMES_MAX)
    if contracts is None:
        # No directory, or more in it than anybody reads: one file that cannot be read stands for all of it.
        return {**found, contract_files.DIRECTORY: Watched(folder, 0, readable=False)}
    # A file that is none would be refused by a start, so that it is looked at, too.
    for name in itertools.filterfalse(contract_files.is_left_over, contracts):
        shown = f"{contract_files.DIRECTORY}/{printable(name)}"
        found[shown] = Watched(folder / name, contract_files.BYTES_MAX, follow=False)
    return found


def differing(started_with: Mapping[str, Found], now: Mapping[str, Found]) -> tuple[dict[str, str], ...]:
    """The files that are not as they were, by name; what cannot be read may be anything, and always is one."""
    found = []
    for name in sorted({*started_with, *now}):
        was, is_now = started_with.get(name, _ABSENT), now.get(name, _ABSENT)
        if was != is_now or is_now.state in _UNKNOWN:
            added = was.state is FileState.MISSING and is_now.state is FileState.READ
            state = "added" if added else _STATES.get(is_now.state, str(is_now.state))
            found.append({"file": name, "state": state})
    return tuple(found[:FILES_TOLD_MAX])


def start_fault(workspace: Workspace) -> BywireError | None:
    """Why a server would not start with the files as they are now, as far as reading them tells."""
    try:
        read_operator(workspace.directory)
        faults = connected_tools(workspace, read_gateway(workspace)).faults
    except BywireError as error:
        return error
    except OSError as error:
        return ConfigError(
            f"the configuration cannot be read: {error.strerror}",
            code="file_unreadable",
            next_step="check the permissions of the operator directory",
        )
    return faults[0] if faults else None


def servers(workspace: Workspace) -> tuple[tuple[Note, Stale], ...]:
    """The servers that run now, each with what of its configuration is stale; asks none of them."""
    directory = workspace.directory.path
    notes = serving(directory)
    now = WatchedFiles(lambda: watched(directory)).look() if notes else {}
    found = [(note, differing(note.files, now)) for note in notes]
    fault = start_fault(workspace) if any(files for _, files in found) else None
    told = fault.as_json() if fault is not None else {}
    return tuple((note, Stale(files, told if files else {})) for note, files in found)


@contextmanager
def announced(workspace: Workspace, url: str, config: ConfigInForce) -> Iterator[None]:
    """While the block lasts, `bywire status` and `bywire doctor` know of this server."""
    with ExitStack() as held:
        try:
            now_ms = workspace.clock.now_ms()
            held.enter_context(ServingNote(workspace.directory.path, url, now_ms, config.started_with))
        except OSError as error:
            _logger.warning("bywire status will not know of this server: %s", error.strerror)
        yield


def _tell(said: Stale) -> None:
    """One line; contents and digests are in none."""
    if not said.files:
        _logger.warning("configuration: the files are again what this server started with")
        return
    fault = f" ({said.fault['code']}: {printable(said.fault['message'], 300)})" if said.fault else ""
    _logger.warning(
        "configuration: %s since this server started%s; it goes on with what it read then; next: %s",
        said.says,
        fault,
        said.next_step,
    )
