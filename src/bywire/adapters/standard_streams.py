"""Standard input and output as lines of bytes, for faces that speak a protocol there and nothing else."""

import os
import sys
import threading
from typing import Protocol

LINE_BYTES_MAX = 8 * 1024 * 1024


class Lines(Protocol):
    """A client's end of a connection of lines."""

    def read(self) -> bytes | None:
        """The next line; None at the end."""
        ...

    def write(self, line: bytes) -> None:
        """One line. OSError when nobody reads."""
        ...


class StandardLines:
    """Lines in, lines out. Whatever else this process prints goes to standard error from now on."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._in = os.fdopen(os.dup(0), "rb")
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._writing = threading.Lock()

    def read(self) -> bytes | None:
        """The next line without its end; None at the end of the input, or when a line is longer than LINE_BYTES_MAX."""
        line = self._in.readline(LINE_BYTES_MAX + 1)
        return None if not line or len(line) > LINE_BYTES_MAX else line.strip()

    def write(self, line: bytes) -> None:
        """One line, whole. OSError when nobody reads."""
        left = memoryview(line + b"\n")
        with self._writing:
            while left:
                left = left[self._out.write(left) or 0 :]
