"""Which values of an action repeat what its run has read of untrusted output: a person who approves is shown it.

Marks can lower trust and never raise it (RULES 22): a value without one may come from anywhere. What was read is kept
as hashes, in the memory of one process and within bounds; what repeats by chance, a few characters, is left out.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

RUNS_MAX = 256
WORDS_MAX = 20_000
CHARS_MAX = 262_144
WORD_CHARS_MIN = 6
MARKS_MAX = 16
_WORDS = re.compile(r"[^\s\"'`,;()\[\]{}<>]{6,512}")


class Heard:
    """Words of untrusted output by run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, set[int]] = OrderedDict()

    def note(self, run: str, answer: Any) -> None:
        """What a run is about to be told by somebody else."""
        words = {hash(word) for _, text in _texts(answer, "") for word in _words(text)}
        with self._lock:
            known = self._runs.pop(run, set())
            self._runs[run] = known if len(known) >= WORDS_MAX else known | words
            while len(self._runs) > RUNS_MAX:
                self._runs.popitem(last=False)

    def repeated(self, run: str, parameters: dict[str, Any]) -> tuple[str, ...]:
        """The places of values that hold such a word, as `a.b[0]`; at most MARKS_MAX."""
        with self._lock:
            known = self._runs.get(run, frozenset[int]())
        if not known:
            return ()
        found = (place for place, text in _texts(parameters, "") if any(hash(word) in known for word in _words(text)))
        return tuple(place for place, _ in zip(found, range(MARKS_MAX), strict=False))


def _words(text: str) -> list[str]:
    """The text itself and the words in it."""
    text = text[:CHARS_MAX].strip()
    return [text, *_WORDS.findall(text)] if len(text) >= WORD_CHARS_MIN else []


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """(place, text) of every string below a value."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, f"{place}[{index}]")
