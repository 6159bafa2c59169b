"""The shape of JSON as Python values, named once so that signatures can say it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

# Recursive aliases cost mypy more than they give at this rim; values are validated where they enter.
JsonObject: TypeAlias = Mapping[str, Any]
JsonArray: TypeAlias = Sequence[Any]
