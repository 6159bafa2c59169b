"""Runs `git` so that nothing the repository's own configuration says can start a program.

The judged repository is untrusted, its `.git/config` included. Every way by which git starts a program that a read or a
plumbing write can reach is closed on the command line or in the environment, both of which win over the file: hooks,
fsmonitor, pager, editor, external diff, textconv, filters, credential and ssh commands, transports of any kind (a
partial clone fetches a missing object through one). Replace refs and grafts are ignored, path patterns are literal.
"""

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bywire.config.reading import printable
from bywire.model.errors import BywireError, ConfigError

TIMEOUT_SECONDS = 60
OUTPUT_BYTES_MAX = 64 * 2**20
STDERR_BYTES_MAX = 4096
READ_BYTES = 65_536

_OVERRIDES = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "core.sshCommand": "false",
    "core.askPass": "false",
    "core.attributesFile": "/dev/null",
    "core.alternateRefsCommand": "false",
    "core.commitGraph": "false",
    "core.splitIndex": "false",
    "core.untrackedCache": "false",
    "core.quotePath": "true",
    "credential.helper": "",
    "commit.gpgSign": "false",
    "gpg.program": "false",
    "log.showSignature": "false",
    "diff.external": "",
    "diff.submodule": "short",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "i18n.commitEncoding": "UTF-8",
    "protocol.allow": "never",
    "protocol.file.allow": "never",
    "submodule.recurse": "false",
    "status.submoduleSummary": "false",
}
_OPTIONS = ("--no-pager", "--no-replace-objects", "--literal-pathspecs", "--no-optional-locks")


class GitOutput:
    """The standard output of a running git: bounded, with a deadline, read as it comes."""

    def __init__(self, stream: IO[bytes], deadline: float, bytes_max: int) -> None:
        self._stream = stream
        self._deadline = deadline
        self._left = bytes_max
        self._buffer = b""

    def _more(self) -> bool:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0 or not select.select([self._stream], [], [], remaining)[0]:
            raise _timed_out()
        chunk = os.read(self._stream.fileno(), READ_BYTES)
        self._left -= len(chunk)
        if self._left < 0:
            raise ConfigError(
                "git's answer is larger than bywire accepts",
                code="git_output_too_large",
                next_step="split the change into smaller ones",
            )
        self._buffer += chunk
        return bool(chunk)

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end of the output."""
        while len(self._buffer) < count and self._more():
            pass
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def line(self) -> bytes:
        """The next line without its newline."""
        while b"\n" not in self._buffer and self._more():
            pass
        taken, _, self._buffer = self._buffer.partition(b"\n")
        return taken

    def rest(self) -> bytes:
        """Everything that is left."""
        chunks = [self._buffer]
        self._buffer = b""
        while self._more():
            chunks.append(self._buffer)
            self._buffer = b""
        return b"".join(chunks)


class GitFailedError(ConfigError):
    """git exited with a status other than zero; `status` is that number."""

    code = "git_failed"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, next_step="run 'git fsck' in the repository; if it is sound, report this")
        self.status = status


class GitCommand:
    """git, bound to one repository. `git_directory` and `work_tree` are explicit, so core.worktree is not believed."""

    def __init__(self, git_directory: Path, work_tree: Path | None) -> None:
        self._program = _find_git(git_directory)
        self._git_directory = git_directory
        self._work_tree = work_tree

    @contextmanager
    def stream(
        self,
        arguments: Sequence[str],
        *,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        bytes_max: int = OUTPUT_BYTES_MAX,
    ) -> Iterator[GitOutput]:
        """Run `git ARGUMENTS` and yield its output; on leaving, the process is over and its status was zero.

        `extra` adds environment variables, `settings` configuration values. Raises GitFailedError, or ConfigError
        `git_timeout` / `git_output_too_large`.
        """
        environment = self._environment({**_OVERRIDES, **(settings or {})}, extra or {})
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as complaints:
            asked.write(stdin)
            asked.seek(0)
            process = subprocess.Popen(
                [self._program, *_OPTIONS, *arguments],
                stdin=asked,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=environment,
                cwd=self._work_tree or self._git_directory,
                start_new_session=True,
            )
            try:
                if process.stdout is None:
                    raise BywireError("git was started without a pipe")
                deadline = time.monotonic() + TIMEOUT_SECONDS
                output = GitOutput(process.stdout, deadline, bytes_max)
                yield output
                output.rest()
                process.wait(timeout=max(deadline - time.monotonic(), 1))
            except subprocess.TimeoutExpired as error:
                raise _timed_out() from error
            finally:
                _end(process)
            if process.returncode != 0:
                complaints.seek(0)
                said = complaints.read(STDERR_BYTES_MAX).decode("utf-8", "replace").strip()
                raise GitFailedError(f"git {arguments[0]} failed: {printable(said, 400)}", process.returncode)

    def run(
        self,
        arguments: Sequence[str],
        *,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        bytes_max: int = OUTPUT_BYTES_MAX,
    ) -> bytes:
        """The whole output of `git ARGUMENTS`; parameters and errors as for `stream`."""
        with self.stream(arguments, stdin=stdin, extra=extra, settings=settings, bytes_max=bytes_max) as output:
            return output.rest()

    def filters_off(self) -> dict[str, str]:
        """Settings that disarm every content filter which the repository's configuration names."""
        names = (
            self.run(["config", "--includes", "--name-only", "-z", "--list"]).decode("utf-8", "replace").split("\x00")
        )
        drivers = {
            name[: name.rindex(".")] for name in names if name.lower().startswith("filter.") and name.count(".") > 1
        }
        return {
            f"{driver}.{key}": value
            for driver in sorted(drivers)
            for key, value in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
        }

    def _environment(self, settings: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
        pairs = list(settings.items())
        counted = {f"GIT_CONFIG_KEY_{index}": key for index, (key, _) in enumerate(pairs)}
        counted |= {f"GIT_CONFIG_VALUE_{index}": value for index, (_, value) in enumerate(pairs)}
        environment = {
            "PATH": _search_path(),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_DIR": str(self._git_directory),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": str(len(pairs)),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_GRAFT_FILE": os.devnull,
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "GIT_SSH_COMMAND": "false",
            "GIT_EDITOR": "false",
            "GIT_PAGER": "cat",
            **counted,
            **extra,
        }
        if self._work_tree is not None:
            environment["GIT_WORK_TREE"] = str(self._work_tree)
        return environment


def _search_path() -> str:
    """The caller's PATH without relative entries."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if entry.startswith("/"))


def _find_git(git_directory: Path) -> str:
    program = shutil.which("git", path=_search_path())
    if program is None:
        raise ConfigError("git is not installed", code="git_missing", next_step="install git 2.32 or later")
    if git_directory.resolve().parent in Path(program).resolve().parents:
        raise ConfigError(
            f"the git on PATH, {program}, lies inside the repository being judged",
            code="git_untrusted",
            next_step="take the repository's directories out of PATH",
        )
    return program


def _timed_out() -> ConfigError:
    return ConfigError("git did not answer in time", code="git_timeout", next_step="run 'git fsck' in the repository")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no process of the group behind."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
