"""A process whose caller takes silence for a yes: it says no in time, whatever it hangs in and whoever ends it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STANDARD_ERROR = 2
_ENDS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ends_within(seconds: float, last_words: str, code: int) -> Iterator[None]:
    """Inside, the process ends after `seconds` with `last_words` on standard error and exit code `code`.

    SIGTERM and SIGHUP raise SystemExit with `code` in place of ending it by the signal. What holds the interpreter
    itself, or stops the process from outside, is not seen.
    """
    watch = threading.Timer(seconds, _end, (f"{last_words}\n".encode(), code))
    watch.daemon = True
    watch.start()
    before = {}
    if threading.current_thread() is threading.main_thread():

        def ended(_: int, __: FrameType | None) -> None:
            raise SystemExit(code)

        before = {number: signal.signal(number, ended) for number in _ENDS}
    try:
        yield
    finally:
        watch.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def say_last(words: str) -> None:
    """`words` on standard error, past the interpreter's own stream, which may be what failed."""
    with suppress(OSError):
        os.write(STANDARD_ERROR, f"{words}\n".encode())


def _end(last_words: bytes, code: int) -> None:
    try:
        os.write(STANDARD_ERROR, last_words)
    finally:
        os._exit(code)
