"""The process that evaluates a policy nobody has looked at yet: it bounds itself, then reads, examines and answers.

Started by `policy_process` with `-I` and an empty environment. The limits hold from before the first byte of the policy
is read. It writes one JSON document to standard output, or it dies: a hard limit, a stack that overflows and an engine
that aborts all end the process, and the parent reads that from how it ended.
"""

import os
import resource
import sys

import msgspec

from bywire.adapters.policy_opa import opa_at
from bywire.policy.examination import Request, examine

REQUEST_BYTES_MAX = 256 * 1024 * 1024
# What a person may wait for, what a policy may take; the largest bundles need about a tenth of either.
CPU_SECONDS = 120
WALL_SECONDS = 180.0
MEMORY_BYTES = 2 * 1024**3
# An `opa` binary reads the policy from files in the scratch directory; nothing else writes any.
FILE_BYTES = 64 * 1024**2


class ProcessLimits(msgspec.Struct, frozen=True):
    """How much the process may use. Memory is of data (RLIMIT_DATA), which macOS does not enforce."""

    wall_seconds: float = WALL_SECONDS
    cpu_seconds: int = CPU_SECONDS
    memory_bytes: int = MEMORY_BYTES


def main() -> None:
    """Bound this process by the limits in the arguments, then answer the request on standard input."""
    cpu_seconds, memory_bytes = (int(argument) for argument in sys.argv[2:4])
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_FSIZE, FILE_BYTES)
    _bound(resource.RLIMIT_CPU, cpu_seconds)
    _bound(resource.RLIMIT_DATA, memory_bytes)
    request = msgspec.json.decode(sys.stdin.buffer.read(REQUEST_BYTES_MAX), type=Request)
    answer = msgspec.json.encode(examine(request, opa_at(request.opa)))
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    # At once: the interpreter's own clean-up has nothing to add, and threads of an engine may be in its way.
    os._exit(0)


def _bound(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))
