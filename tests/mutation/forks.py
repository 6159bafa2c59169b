"""Forked processes, a few at a time: each leads a process group of its own, has a time limit, and says what noticed.

What noticed a change is the test that ran when its process failed or was ended. A child marks each test as it begins.
"""

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Processor time counts; the clock on the wall only for what waits for ever, so that a busy machine kills nothing.
WALL_FACTOR = 6.0
POLL_SECONDS = 0.002
# What noticed a change when no test had begun: the import or the collection failed.
IMPORT = "import"


@dataclass(frozen=True)
class Job:
    """Work that answers 0 when nothing noticed; `seconds` of processor time end it."""

    number: int
    work: Callable[["Mark"], int]
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What noticed the change of a job: a test's node id, IMPORT, or None when nothing did."""

    number: int
    killer: str | None


class Mark:
    """A pytest plugin that writes down which test begins."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._path.write_text(nodeid)


class Forks:
    """Runs jobs in forked children, at most `workers` at once, with their marks in `scratch`."""

    def __init__(self, workers: int, scratch: Path) -> None:
        self._workers = workers
        self._scratch = scratch

    def run(self, jobs: Iterator[Job]) -> Iterator[Answer]:
        """Each job's answer as it ends. A job is drawn only when a worker is free, so what ended may order it."""
        parent = os.getppid()
        running: dict[int, tuple[Job, float]] = {}
        more = True
        try:
            while more or running:
                while more and len(running) < self._workers:
                    job = next(jobs, None)
                    more = job is not None
                    if job is not None:
                        running[self._start(job)] = job, time.monotonic() + WALL_FACTOR * job.seconds
                for child, (job, deadline) in list(running.items()):
                    done, status = os.waitpid(child, os.WNOHANG)
                    if done:
                        del running[child]
                        end(child)  # what a test forked may still wait
                        yield Answer(job.number, self._killer(job, noticed=status != 0))
                    elif time.monotonic() > deadline:
                        end(child)
                time.sleep(POLL_SECONDS)
                if os.getppid() != parent:
                    raise SystemExit("nobody waits for the answers any more")
        finally:
            for child in running:
                end(child)

    def _start(self, job: Job) -> int:
        mark = self._mark(job)

        def work() -> int:
            resource.setrlimit(resource.RLIMIT_CPU, (int(job.seconds) + 1, int(job.seconds) + 2))
            return job.work(Mark(mark))

        return fork(work)

    def _mark(self, job: Job) -> Path:
        return self._scratch / f"mark-{job.number}"

    def _killer(self, job: Job, *, noticed: bool) -> str | None:
        mark = self._mark(job)
        last = mark.read_text() if mark.exists() else ""
        mark.unlink(missing_ok=True)
        return (last or IMPORT) if noticed else None


def end(group: int) -> None:
    """Kill a child and what it forked."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def fork(work: Callable[[], int], *, keep_output: bool = False) -> int:
    """Run `work` in a child that leads a process group of its own; its answer is the exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if keep_output:
            os.dup2(2, 1)
        else:
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nothing, descriptor)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
