"""JSON that two readers cannot take for two things: no member twice, no number that JSON has no word for.

Some readers keep the first of two equal members and others the last, so that what one checked another would act on.
"""

import json
from typing import Any, NoReturn


def one_reading(text: str) -> Any:
    """The value of a JSON document. ValueError for anything else, RecursionError for what nests too deeply."""
    return _DECODER.decode(text)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("an object has two members of one name")
    return found


def _refused(_: str) -> NoReturn:
    raise ValueError("it holds a number that JSON cannot carry")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refused)
