"""What a rule says of its facts, in the words of the knowledge base: for a terminal, a payload and a page alike."""

import json
import re
from collections.abc import Mapping
from typing import Any

from bywire.adapters.knowledge_base import denial_messages

_DIGEST = re.compile(r"[0-9a-f]{40,64}")


class _MissingFacts(dict[str, Any]):
    """Leaves a placeholder readable when a rule gave no such fact."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def explained(rule: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    """(what a rule says of these facts, what to do next), in the words of the knowledge base."""
    known = denial_messages().get(rule)
    if known is None:
        said = str(facts.get("explanation") or facts.get("message") or facts.get("says") or json.dumps(dict(facts)))
        return said, str(facts.get("next_step") or "bywire status")
    values = _MissingFacts({name: plain(value) for name, value in facts.items()})
    return known["says"].format_map(values), known["next"].format_map(values)


def plain(value: Any) -> str:
    """A fact for a person: digests shortened, structures without braces."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return "; ".join(plain(item) for item in value)
    text = str(value)
    return text[:12] if _DIGEST.fullmatch(text) else text
