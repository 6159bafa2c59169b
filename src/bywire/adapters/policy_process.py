"""Examine a policy in a process of its own, which is bounded and can be killed (RULES 8).

No unexamined Rego is parsed or evaluated in the process that decides: a list of twenty nested brackets keeps regorus's
parser busy for half a minute, and no thread can be stopped while it holds the interpreter lock.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bywire.adapters.policy_child import REQUEST_BYTES_MAX, ProcessLimits
from bywire.model.errors import PolicyError
from bywire.policy.examination import Examination, Request

ANSWER_BYTES_MAX = 256 * 1024 * 1024
_SOURCE_ROOT = str(Path(__file__).resolve().parents[2])
_CHILD = "import sys; sys.path.append(sys.argv[1]); from bywire.adapters.policy_child import main; main()"
_LAST_WORDS = 300


def examine_apart(request: Request, limits: ProcessLimits | None = None) -> Examination:
    """`policy.examination.examine` in a child process.

    Raises PolicyError `policy_timeout` when it ran out of wall or processor time, `policy_crashed` when it died of
    anything else (memory, stack, a panic of the engine), `bundle_too_large` when there is more than it may read.
    """
    limits = limits or ProcessLimits()
    asked = msgspec.json.encode(request)
    if len(asked) > REQUEST_BYTES_MAX:
        raise PolicyError(
            f"the policy and its questions are {len(asked)} bytes; at most {REQUEST_BYTES_MAX}",
            code="bundle_too_large",
            next_step="ask about fewer recorded decisions: a later --since",
        )
    with tempfile.TemporaryDirectory(prefix="bywire-policy-") as scratch:
        child = subprocess.Popen(
            [sys.executable, "-I", "-c", _CHILD, _SOURCE_ROOT, str(limits.cpu_seconds), str(limits.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"LANG": "C.UTF-8", "TMPDIR": scratch},
            cwd=scratch,
            start_new_session=True,
        )
        try:
            out, err = child.communicate(asked, timeout=limits.wall_seconds)
        except subprocess.TimeoutExpired as error:
            raise _timeout(f"within {limits.wall_seconds:g} seconds") from error
        finally:
            # Also when this thread is interrupted: what it started does not outlive it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    return _answer(child.returncode, out, err, limits)


def _answer(code: int, out: bytes, err: bytes, limits: ProcessLimits) -> Examination:
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and not out):
        raise _timeout(f"within {limits.cpu_seconds} seconds of processor time")
    if code != 0 or len(out) > ANSWER_BYTES_MAX:
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        lines = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        said = f": {lines[-1][:_LAST_WORDS]}" if lines else ""
        raise PolicyError(
            f"evaluating the policy crashed its process ({ended}{said})",
            code="policy_crashed",
            next_step="look for very large values and long chains of rules; the policy in force is untouched",
        )
    try:
        return msgspec.json.decode(out, type=Examination)
    except msgspec.DecodeError as error:
        raise PolicyError("the policy process gave no answer", code="policy_crashed", next_step="try again") from error


def _timeout(within: str) -> PolicyError:
    return PolicyError(
        f"the policy was not evaluated {within}",
        code="policy_timeout",
        next_step="look for nested brackets, iterations and comprehensions; the policy in force is untouched",
    )
