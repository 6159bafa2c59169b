"""Runs commands of a judged repository out of reach of keys, the ledger, other processes and the network (RULES 2, 3).

Three levels, probed once and never claimed higher than found: `own_uid` (namespaces and a uid that owns nothing),
`namespaces` (namespaces, the caller's uid without any capability) and `none` (scrubbed environment, resource limits
and a process group only). What a command sees: the system read-only, its working directory, a fresh HOME and TMPDIR, a
private /tmp, /dev and /proc, its own loopback. Homes, /run and everything in `hide` are covered, and the covers cannot
be lifted from inside.
"""

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bywire.adapters import sandbox_hidden, sandbox_launch
from bywire.adapters.sandbox_result import IsolationLevel, IsolationReport, SandboxCommand, SandboxLimits, SandboxResult
from bywire.adapters.sandbox_spec import LaunchSpec
from bywire.model.errors import WorkError

# systemd's range for dynamic users: no account on the host owns files under these ids.
_UID_FIRST, _UID_COUNT = 61_184, 4_336
_PROBE_TIMEOUT_SECONDS = 20.0
_PROBE_OUTPUT_BYTES = 4096
_SENTENCES = {
    IsolationLevel.OWN_UID: (
        "Commands run in their own namespaces under a uid that owns nothing; homes and secrets are covered."
    ),
    IsolationLevel.NAMESPACES: (
        "Commands run in their own namespaces without capabilities but under your uid; homes and secrets are covered. "
        "If you are root, the process limit is not enforced."
    ),
    IsolationLevel.NONE: (
        "This host cannot isolate commands: they can read your files and reach the network. "
        "Only the environment is scrubbed and resources are limited."
    ),
}


class Sandbox:
    """`search_path` becomes PATH.

    `hide` adds to the well-known secrets; `expose` stays visible below a cover, read-only.
    """

    def __init__(
        self,
        *,
        search_path: Sequence[str],
        hide: Sequence[Path] = (),
        expose: Sequence[Path] = (),
        limits: SandboxLimits | None = None,
        level_max: IsolationLevel = IsolationLevel.OWN_UID,
    ) -> None:
        environ = dict(os.environ)
        self._path = os.pathsep.join(search_path)
        self._hide = (*hide, *sandbox_hidden.secret_paths(environ))
        self._covers = sandbox_hidden.cover_paths(environ)
        self._expose = (*sandbox_hidden.tool_paths(self._path, self._covers), *map(os.path.realpath, expose))
        self._limits = limits or SandboxLimits()
        self._level_max = level_max
        self._report: IsolationReport | None = None

    def isolation(self) -> IsolationReport:
        """What this host allows, found by trying it once; at most `level_max`."""
        if self._report is None:
            self._report = self._probe()
        return self._report

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        timeout_seconds: float,
        env_allow: Mapping[str, str] | None = None,
        network: bool = False,
        hide: Sequence[Path] = (),
        writable: bool = True,
        limits: SandboxLimits | None = None,
    ) -> SandboxResult:
        """Run `argv` to its end, or kill it and everything that it forked when `timeout_seconds` are over.

        `env_allow` holds the only variables beside PATH, HOME, TMPDIR and LANG; `writable` concerns `cwd`. Raises
        `WorkError`: `command_not_found`, `command_not_started`, `sandbox_failed` (isolation could not be built and the
        command did not run), `sandbox_cwd_invalid`.
        """
        level = self.isolation().level
        ceilings = limits or self._limits
        with sandbox_launch.scratch_directory() as scratch, sandbox_launch.status_pipe() as (status_read, status_write):
            spec = self._spec(
                argv, cwd, scratch, level=level, env_allow=env_allow or {}, network=network, hide=hide,
                writable=writable, limits=ceilings, status_fd=status_write,
            )  # fmt: skip
            return sandbox_launch.run_to_end(
                spec,
                status_read,
                level=level,
                timeout_seconds=min(timeout_seconds, ceilings.timeout_seconds_max),
                stdout_limit_bytes=ceilings.stdout_limit_bytes,
            )

    def command(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env_allow: Mapping[str, str],
        network: bool,
        scratch_root: Path,
        writable: bool = False,
    ) -> SandboxCommand:
        """The same isolation for a long-running service that the caller starts. `cwd` is read-only by default.

        The caller owns `scratch_root`, where the service's HOME and TMPDIR are made.
        """
        scratch = sandbox_launch.new_scratch(scratch_root)
        spec = self._spec(
            argv, cwd, scratch, level=self.isolation().level, env_allow=env_allow, network=network, hide=(),
            writable=writable, limits=self._limits, status_fd=-1,
        )  # fmt: skip
        return SandboxCommand(sandbox_launch.launcher_argv(), sandbox_launch.launcher_env(), spec.to_bytes(), scratch)

    def _spec(
        self,
        argv: Sequence[str],
        cwd: Path,
        scratch: Path,
        *,
        level: IsolationLevel,
        env_allow: Mapping[str, str],
        network: bool,
        hide: Sequence[Path],
        writable: bool,
        limits: SandboxLimits,
        status_fd: int,
    ) -> LaunchSpec:
        hidden = sandbox_hidden.hidden_paths((*self._hide, *hide))
        fixed = {"PATH": self._path, "HOME": str(scratch / "home"), "TMPDIR": str(scratch / "tmp"), "LANG": "C.UTF-8"}
        return LaunchSpec(
            argv=tuple(argv),
            cwd=_checked_cwd(cwd, scratch, hidden),
            scratch=str(scratch),
            env={**env_allow, **fixed},
            namespaces=level is not IsolationLevel.NONE,
            network=network,
            writable=writable,
            uid=_UID_FIRST + secrets.randbelow(_UID_COUNT) if level is IsolationLevel.OWN_UID else 0,
            covers=self._covers,
            hide=hidden,
            expose=self._expose,
            memory_limit_bytes=limits.memory_limit_bytes,
            process_limit=limits.process_limit,
            file_limit_bytes=limits.file_limit_bytes,
            status_fd=status_fd,
            parent=os.getpid(),
        )

    def _probe(self) -> IsolationReport:
        levels = list(IsolationLevel)
        candidates = levels[levels.index(self._level_max) :]
        if sys.platform != "linux":
            candidates = [IsolationLevel.NONE]
        elif os.getuid() != 0:
            candidates = [level for level in candidates if level is not IsolationLevel.OWN_UID]
        reason = ""
        for level in candidates:
            if level is IsolationLevel.NONE:
                break
            try:
                found = self._try_level(level)
            except WorkError as error:
                reason = f" ({error.message})"
                continue
            return IsolationReport(found, _SENTENCES[found])
        return IsolationReport(IsolationLevel.NONE, _SENTENCES[IsolationLevel.NONE] + reason)

    def _try_level(self, level: IsolationLevel) -> IsolationLevel:
        """Run an empty program at `level`. Returns the level really reached."""
        argv = (sys.executable, "-I", "-S", "-c", "")
        with (
            sandbox_launch.scratch_directory() as work,
            sandbox_launch.scratch_directory() as scratch,
            sandbox_launch.status_pipe() as (status_read, status_write),
        ):
            spec = self._spec(
                argv, work, scratch, level=level, env_allow={}, network=False, hide=(), writable=True,
                limits=SandboxLimits(), status_fd=status_write,
            )  # fmt: skip
            result = sandbox_launch.run_to_end(
                spec,
                status_read,
                level=level,
                timeout_seconds=_PROBE_TIMEOUT_SECONDS,
                stdout_limit_bytes=_PROBE_OUTPUT_BYTES,
            )
        if result.exit_code != 0:
            raise WorkError(
                f"a probe ended with code {result.exit_code}: {result.stderr[-200:]}", code="sandbox_failed"
            )
        return result.isolation


def _checked_cwd(cwd: Path, scratch: Path, hidden: Sequence[str]) -> str:
    """The resolved working directory. Raises when it is none, is itself hidden, or would expose the whole host."""
    path = os.path.realpath(cwd)
    if not Path(path).is_dir() or path in hidden or Path(path) in scratch.parents:
        raise WorkError(
            f"{cwd} cannot be a working directory: it must exist, not be hidden, and not be / or a temporary directory",
            code="sandbox_cwd_invalid",
            next_step="Use a directory made for this command.",
        )
    return path
