"""Plain JSON values: what may be asked, taken as a private copy, and the idempotency key that follows from it.

The copy is made before anything is sent. What a caller, another thread or the function itself does to the original
afterwards changes neither what was decided nor what is run.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

from bywire_sdk.errors import BadAnswer, Invalid

INTEGER_MAX = 2**53 - 1


def copied(value: Any, depth_max: int, where: str = "parameters") -> Any:
    """A deep copy of exactly these types: dict with text keys, list, tuple, str, int, float, bool, None, Enum.

    Subclasses that could answer differently the next time they are asked are not taken. Raises Invalid.
    """
    if value is None or isinstance(value, bool | Enum):
        return value if not isinstance(value, Enum) else _member(value, where)
    if isinstance(value, str):
        return _text(value, where)
    if type(value) is int and abs(value) <= INTEGER_MAX:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if depth_max <= 0:
        raise Invalid.local(f"{where} is nested too deeply", "send a flatter value")
    if type(value) is list or type(value) is tuple:
        items = [copied(item, depth_max - 1, f"{where}[{place}]") for place, item in enumerate(value)]
        return tuple(items) if type(value) is tuple else items
    if type(value) is dict:
        return {_name(name, where): copied(item, depth_max - 1, f"{where}.{name}") for name, item in value.items()}
    raise Invalid.local(
        f"{where} is a {type(value).__name__} and not a plain JSON value",
        "pass text, numbers, lists and objects, or leave it out: exclude=, with identity=",
    )


def as_json(value: Any) -> Any:
    """What a copy looks like on the wire: tuples are lists, members of an Enum their value, 2.0 is 2."""
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= INTEGER_MAX:
        return int(value)
    return value


def canonical(value: Any) -> str:
    """One text for one value; equal texts mean equal values."""
    return json.dumps(as_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(run: str, tool: str, parameters: Mapping[str, Any], *more: str) -> str:
    """The idempotency key of one call of a run: the same run, tool and parameters always give the same key."""
    text = canonical([run, tool, dict(parameters), list(more)])
    return f"sdk-{hashlib.sha256(text.encode()).hexdigest()}"


def decoded(body: bytes, depth_max: int) -> dict[str, Any]:
    """The one JSON object in an answer. Raises BadAnswer for anything else, twice the same name included."""
    try:
        document = json.loads(body, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadAnswer.local("the answer is not JSON", "see that this is the gateway's URL") from error
    if not isinstance(document, dict) or _deeper(document, depth_max):
        raise BadAnswer.local(
            "the answer is not a JSON object of reasonable depth", "see that this is the gateway's URL"
        )
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return depth <= 0 or any(_deeper(item, depth - 1) for item in items)


def _text(value: str, where: str) -> str:
    exact = str.__str__(value)
    if not exact.isascii():
        try:
            exact.encode()
        except UnicodeEncodeError:
            raise Invalid.local(f"{where} is not valid Unicode", "remove lone surrogates") from None
    return exact


def _name(name: Any, where: str) -> str:
    if not isinstance(name, str):
        raise Invalid.local(f"{where} has a name that is not text", "use text as names")
    return _text(name, where)


def _member(member: Enum, where: str) -> Enum:
    copied(member.value, 1, where)
    return member
