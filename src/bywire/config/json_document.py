"""The strict reader of JSON files: bounded, no duplicate keys, no NaN or infinity, errors with line and column."""

import json
import math
from collections.abc import Iterable
from typing import Any

from bywire.config.reading import printable
from bywire.model.errors import ConfigError

BYTES_MAX = 262_144
DEPTH_MAX = 32


def load(data: bytes, source: str, *, bytes_max: int = BYTES_MAX) -> Any:
    """Decode one JSON document. Raises ConfigError `json_invalid` with what is wrong and where."""
    if len(data) > bytes_max:
        raise _invalid(source, f"is {len(data)} bytes, more than {bytes_max}", "make the file smaller")
    if _depth(data) > DEPTH_MAX:
        raise _invalid(source, f"nests deeper than {DEPTH_MAX}", "flatten the file")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise _invalid(source, f"is not UTF-8 at byte {error.start}", "save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        problem = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise _invalid(source, problem, f"correct line {error.lineno} of {source}") from error
    except ValueError as error:
        raise _invalid(source, printable(str(error)), f"edit {source}") from error


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key '{key}' appears twice in one object")
        found[key] = value
    return found


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not a number JSON can carry")


def _depth(data: bytes) -> int:
    """The deepest nesting, counted outside strings, so that the decoder's own recursion is never tried."""
    deepest = depth = 0
    inside = escaped = False
    for byte in data:
        if inside:
            inside = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            inside = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _invalid(source: str, problem: str, next_step: str) -> ConfigError:
    return ConfigError(f"{source}: {problem}", code="json_invalid", next_step=next_step)
