"""Reads in regorus's virtual machine: a quarter of the interpreter's time, and on the thread that asks.

Its yes is the interpreter's yes; anything else that it says is no answer, and the interpreter is asked. A test compares
the two, and both with Open Policy Agent, on generated questions. See `read_path` for what may be asked of it at all.
"""

import threading
from typing import Any

import msgspec
import regorus

from bywire.policy.agent_policies import asking_agent
from bywire.policy.engine.interpreter import UNDEFINED, Compiled
from bywire.policy.engine.read_path import ASKED, ENTRYPOINT

# Only a hint: what looks like a read and is none gets no answer here.
_HINT = '"category":"read"'


class _Reads(msgspec.Struct, frozen=True):
    """The machine of one bundle on one thread, which is the only one that may ask or drop it."""

    compiled: Compiled
    machine: Any


_HERE = threading.local()


def answer_read(compiled: Compiled, entrypoint: str, question: str) -> str | None:
    """The decision's document, JSON, when the short way allows this read; None when it says anything else.

    None also for a bundle without a short way, for another entrypoint, and for an agent that has a policy of its own.
    """
    if entrypoint != ENTRYPOINT or not compiled.reads or _HINT not in question:
        return None
    if compiled.agents and asking_agent(question) in compiled.agents:
        return None
    here: _Reads | None = getattr(_HERE, "reads", None)
    if here is None or here.compiled is not compiled:
        here = _HERE.reads = _made(compiled)
    try:
        here.machine.set_input_json(question)
        found: str = here.machine.execute_entry_point(ASKED)
    except RuntimeError:
        return None
    except BaseException:
        _HERE.reads = None  # a machine that panicked is not asked again
        raise
    return None if found == UNDEFINED else found


def _made(compiled: Compiled) -> _Reads:
    machine = regorus.Rvm()
    machine.load_program(regorus.Program.compile_from_modules(compiled.data_json, list(compiled.reads), [ASKED]))
    machine.set_data_json(compiled.data_json)
    return _Reads(compiled, machine)
