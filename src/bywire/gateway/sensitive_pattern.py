"""Linear-time patterns over bytes: google-re2 behind two questions, is it there and where.

Texts are matched as bytes (Latin-1), so that a broken encoding is no way round, and no pattern has captures: then RE2
answers with its automata alone, whose time grows with the text and with nothing else.
"""

import re
from collections.abc import Iterator, Sequence

import re2  # type: ignore[import-untyped]

PROGRAM_BYTES_MAX = 64 * 2**20
# What an operator may add: RE2 unrolls a counted repeat, so its program is bounded as well as its text.
PATTERN_CHARS_MAX = 512
PROGRAM_SIZE_MAX = 20_000
_TEXT_ENDS = re.compile(r"\\[AzZ]|\(\?[a-zA-Z]*-[a-zA-Z]*m")
# Texts in which a pattern that is true of nothing mostly shows it.
_PROBES = (b"", b"a 0-_.", b"a 0-_.a")


def _options() -> "re2.Options":
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.never_capture = True
    options.max_mem = PROGRAM_BYTES_MAX
    return options


class PatternError(ValueError):
    """A pattern that RE2 refuses, or that we refuse; the message says why."""


class Pattern:
    """One expression in RE2 syntax. Raises PatternError."""

    def __init__(self, expression: str) -> None:
        try:
            self._compiled = re2.compile(encoded(expression), _options())
        except re2.error as error:
            reason = error.args[0] if error.args else error
            raise PatternError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from error

    @property
    def size(self) -> int:
        """How many instructions its program has."""
        return int(self._compiled.programsize)

    def found(self, text: bytes) -> bool:
        """Whether it occurs in `text`."""
        return self._compiled.search(text) is not None

    def first(self, text: bytes, start: int = 0) -> tuple[int, int] | None:
        """Where it occurs first at or after `start`; what stands before `start` is still context."""
        match = self._compiled.search(text, start)
        return None if match is None else match.span()

    def spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Where it occurs, from left to right, without overlap."""
        for match in self._compiled.finditer(text):
            yield match.span()


class Which:
    """Which of several expressions are all of a short text."""

    def __init__(self, expressions: Sequence[str]) -> None:
        self._set = re2.Set.FullMatchSet(_options())
        for expression in expressions:
            self._set.Add(encoded(expression))
        self._set.Compile()

    def of(self, piece: bytes) -> list[int]:
        """Their indexes, the earliest first."""
        return sorted(self._set.Match(piece) or ())


def either(expressions: Sequence[str]) -> str:
    """One expression for any of several; where two begin together, the earlier one counts."""
    return "|".join(f"(?:{expression})" for expression in expressions)


def encoded(text: str) -> bytes:
    """The bytes under which texts are matched; a lone surrogate has some, too."""
    return text.encode("utf-8", "surrogatepass")


def decoded(data: bytes) -> str:
    """The text again; what is no text becomes replacement characters."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def operators_pattern(expression: str) -> Pattern:
    """A pattern from configuration, bounded in length and program, and never true of nothing. Raises PatternError."""
    if len(expression) > PATTERN_CHARS_MAX:
        raise PatternError(f"it is longer than {PATTERN_CHARS_MAX} characters")
    if not expression.isascii():
        raise PatternError("it has characters outside ASCII; texts are matched as UTF-8 bytes")
    if _TEXT_ENDS.search(expression.replace("\\\\", " ")):
        raise PatternError("it asks where the text begins or ends; ^ and $ do for a line")
    Pattern(expression)  # whole by itself, so that no parenthesis of it ends ours
    pattern = Pattern(f"(?m:{expression})")
    if pattern.size > PROGRAM_SIZE_MAX:
        raise PatternError("its repeats make it too large")
    if any(start == end for text in _PROBES for start, end in pattern.spans(text)):
        raise PatternError("it matches the empty text")
    return pattern
