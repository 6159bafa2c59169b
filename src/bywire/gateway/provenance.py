"""Which values of an action repeat what its run has read of untrusted output: a person who approves is shown it.

Marks can lower trust and never raise it (RULES 22): a value without one may come from anywhere. What was read is kept
as hashes, in the memory of one process and within bounds; what repeats by chance, a few characters, is left out.
"""

import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

RUNS_MAX = 256
WORDS_MAX = 20_000
CHARS_MAX = 262_144
WORD_CHARS_MIN = 6
MARKS_MAX = 16
REPEATS = "repeats untrusted output that this run has read"
FORGOT = "this run has read more untrusted output than is remembered: other values may repeat it, too"
_WORDS = re.compile(r"[^\s\"'`,;()\[\]{}<>]{6,512}")


@dataclass
class _Known:
    """Hashes of words in the order in which they were told last, and whether older ones were left out."""

    words: dict[int, None]
    forgot: bool = False


class Heard:
    """Words of untrusted output by run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, _Known] = OrderedDict()

    def note(self, run: str, answer: Any) -> None:
        """What a run is about to be told by somebody else; the words that were told longest ago make room."""
        words = dict.fromkeys(hash(word) for _, text in _texts(answer, "") for word in _words(text))
        with self._lock:
            known = self._runs.setdefault(run, _Known({}))
            self._runs.move_to_end(run)
            for word in words:
                known.words.pop(word, None)
            known.words.update(words)
            surplus = list(itertools.islice(known.words, max(0, len(known.words) - WORDS_MAX)))
            for word in surplus:
                del known.words[word]
            known.forgot |= bool(surplus)
            while len(self._runs) > RUNS_MAX:
                self._runs.popitem(last=False)

    def marks(self, run: str, parameters: dict[str, Any]) -> tuple[str, ...]:
        """What an approver is told: which values (`a.b[0]`) repeat untrusted output, and whether more may do so."""
        asked = [(place, {hash(word) for word in _words(text)}) for place, text in _texts(parameters, "")]
        with self._lock:
            known = self._runs.get(run)
            if known is None:
                return ()
            found = [f"{place} {REPEATS}" for place, words in asked if any(word in known.words for word in words)]
            return (*found[:MARKS_MAX], *((FORGOT,) if known.forgot else ()))


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
