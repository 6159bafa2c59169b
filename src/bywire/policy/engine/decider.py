"""One thread that holds one bundle's interpreter and answers questions, whoever asks.

Engines may not leave the thread they were built on, and the interpreter lock lets one of them work at a time anyway. So
there is one a bundle, not one a calling thread: a thousand agents' policies are in memory once, no caller ever builds,
and the next bundle gets ready on its own thread while this one still answers (RULES 8, ADR 11).
"""

import threading
import weakref
from queue import SimpleQueue

from bywire.policy.engine.interpreter import Compiled, Interpreter
from bywire.policy.engine.reads import answer_read


class _Question:
    __slots__ = ("answer", "done", "entrypoint", "error", "text")

    def __init__(self, entrypoint: str, text: str) -> None:
        self.entrypoint = entrypoint
        self.text = text
        self.answer = ""
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class _Worker:
    """A thread and its queue. The thread ends when its owner says so or is collected."""

    def __init__(self, compiled: Compiled) -> None:
        self._questions: SimpleQueue[_Question | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=_serve, args=(compiled, self._questions), name="bywire-decider", daemon=True
        )
        self._thread.start()
        # The thread refers to the queue alone, so that the last reference to this object ends it.
        weakref.finalize(self, self._questions.put, None).atexit = False

    @property
    def is_alive(self) -> bool:
        """False also in a forked child, which inherits no threads."""
        return self._thread.is_alive()

    def put(self, question: _Question) -> None:
        """Queue a question."""
        self._questions.put(question)

    def end(self) -> None:
        """Answer what is queued, drop the interpreter where it was built, and stop."""
        self._questions.put(None)
        self._thread.join()


class Decider:
    """Answers under one bundle. Safe to share between threads; the thread starts with the first question."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def ask(self, entrypoint: str, text: str) -> str:
        """The interpreter's answer, JSON. Whatever it raised is raised here; the next question gets a new one."""
        read = answer_read(self.compiled, entrypoint, text)
        if read is not None:
            return read
        question = _Question(entrypoint, text)
        with self._lock:
            worker = self._worker
            if worker is None or not worker.is_alive:
                worker = self._worker = _Worker(self.compiled)
            worker.put(question)
        question.done.acquire()
        if question.error is not None:
            raise question.error
        return question.answer

    def prepare(self) -> None:
        """Build the interpreter and let it analyse its modules, ahead of the first question."""
        self.ask(_WARM, "{}")

    def release(self) -> None:
        """End the thread; a later question starts another."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()


# No entrypoint is called so: those start with `data.bywire.`.
_WARM = ""


def _serve(compiled: Compiled, questions: "SimpleQueue[_Question | None]") -> None:
    interpreter: Interpreter | None = None
    while (question := questions.get()) is not None:
        try:
            if interpreter is None:
                interpreter = Interpreter(compiled, ahead=question.entrypoint == _WARM)
            if question.entrypoint == _WARM:
                interpreter.warm()
            else:
                question.answer = interpreter.answer(question.entrypoint, question.text)
        except BaseException as error:  # noqa: BLE001  panics are BaseExceptions; they belong to whoever asked
            interpreter = None
            # A traceback would carry engines to another thread, where they must not die.
            error.__traceback__ = error.__context__ = error.__cause__ = None
            question.error = error
        question.done.release()
        question = None  # not kept alive while waiting for the next
    if interpreter is not None:
        interpreter.drop()
