"""Reads in regorus's virtual machine: a quarter of the interpreter's time, and on the thread that asks.

Its yes is the interpreter's yes; anything else that it says is no answer, and the interpreter is asked. A test compares
the two, and both with Open Policy Agent, on generated questions. See `read_path` for what may be asked of it at all.
What it said yes to is remembered under all that it was asked: a decision is a function of that (RULES 7).
"""

import threading
from typing import Any

import msgspec
import regorus

from bywire.policy.engine.interpreter import UNDEFINED, Compiled
from bywire.policy.engine.read_path import ASKED, ENTRYPOINT, ShortWay

# For each bundle and thread; a question with longer lists in it is asked each time.
ANSWERS_MAX = 4_096
REMEMBERED_CHARS_MAX = 4_096
# What turns on the time is asked once only: an agent that ends would fill this with answers that nobody asks for again.
_TIMED = '"now_ms":'
_AGENT = "agent:"
# Only a hint: what looks like a read and is none gets no answer here.
_HINT = '"category":"read"'


class _Reads(msgspec.Struct, frozen=True):
    """The machine of one bundle on one thread, which is the only one that may ask or drop it, and what it said."""

    compiled: Compiled
    machine: Any
    answers: dict[str, str] = msgspec.field(default_factory=dict)


_HERE = threading.local()


def answer_read(compiled: Compiled, entrypoint: str, question: str) -> str | None:
    """The decision's document, JSON, when the short way allows this read; None when it says anything else.

    None also for a bundle without a short way, for another entrypoint, and for an agent that has a policy of its own.
    """
    way = compiled.reads
    if way is None or entrypoint != ENTRYPOINT or _HINT not in question:
        return None
    asked = way.question(question)
    if asked is None or (compiled.agents and asked[0].removeprefix(_AGENT) in compiled.agents):
        return None
    here: _Reads | None = getattr(_HERE, "reads", None)
    if here is None or here.compiled is not compiled:
        here = _HERE.reads = _made(compiled, way)
    known = here.answers.get(asked[1])
    return known if known is not None else _answered(here, asked[1])


def _answered(here: _Reads, asked: str) -> str | None:
    try:
        here.machine.set_input_json(asked)
        found: str = here.machine.execute_entry_point(ASKED)
    except RuntimeError:
        return None
    except BaseException:
        _HERE.reads = None  # a machine that panicked is not asked again
        raise
    if found == UNDEFINED:
        return None
    if len(asked) <= REMEMBERED_CHARS_MAX and _TIMED not in asked:
        if len(here.answers) >= ANSWERS_MAX:
            here.answers.clear()
        here.answers[asked] = found
    return found


def _made(compiled: Compiled, way: ShortWay) -> _Reads:
    machine = regorus.Rvm()
    machine.load_program(regorus.Program.compile_from_modules(compiled.data_json, list(way.modules), [ASKED]))
    machine.set_data_json(compiled.data_json)
    return _Reads(compiled, machine)
