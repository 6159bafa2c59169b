"""Drafts of contracts, from what an MCP server says of its tools.

A server's word is no promise: what no pack knows is an unreviewed write of high risk, whatever its annotations say.
They are shown to whoever reviews it, and decide nothing. A definition that talks to the model keeps its digest and
loses its words, so that nothing of it is shown; a pack that knows the tool has words of its own, and a person who has
looked at what the server says takes it as the pack describes it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from bywire.config import contract_files
from bywire.config.contract_schema import problem_of
from bywire.config.packs import Pack, cut_to
from bywire.config.reading import FieldError
from bywire.config.yaml_text import items_text
from bywire.gateway.tool_definition import suspicions

KNOWN, DRAFTED, QUARANTINED, REFUSED = "known", "drafted", "quarantined", "refused"
KEPT, CHANGED, GONE = "kept", "changed", "gone"
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,95}")
_FIRST_TOOL = re.compile(r"^tools:[^\n]*\n(?:[ ]*(?:#[^\n]*)?\n)*([ ]*)- ", re.MULTILINE)
_WORDS = frozenset({"title", "description", "examples", "default", "$comment"})
# Keywords by which a schema has a word on parameters beside its `properties` (JSON Schema 2020-12, 10.2 and 11.3).
_SAYS_OF_OTHERS = frozenset(
    ("additionalProperties", "patternProperties", "unevaluatedProperties", "propertyNames", "allOf", "anyOf", "oneOf",
     "if", "$ref", "$dynamicRef", "dependentSchemas", "dependencies")
)  # fmt: skip
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "additionalProperties": False}


class Draft(msgspec.Struct, frozen=True):
    """One tool and what became of it.

    `state`: known (a pack's contract), drafted, quarantined (it talks to the model), refused (no contract can be made),
    or, of a contract that is there already, kept, changed (the server defines it otherwise now), gone. `why` in words;
    `entry` is the contract to be added, None where there is none; `hints` are the server's annotations.
    """

    tool: str
    state: str
    why: str = ""
    entry: dict[str, Any] | None = None
    hints: dict[str, bool] = {}
    reviewed: bool = False


def draft(definition: Mapping[str, Any], digest: str, pack: Pack | None) -> Draft:
    """The contract of a tool that has none. `definition` is as `tools/list` gives it, `digest` pins it."""
    name = str(definition.get("name", ""))
    hints = _hints(definition)
    if _NAME.fullmatch(name) is None or not digest.startswith("sha256:"):
        why = "the server lists two tools of that name" if _NAME.fullmatch(name) else "this is no name of a tool"
        return Draft(name[:95], REFUSED, why, hints=hints)
    schema = definition.get("inputSchema")
    known = pack.tools.get(name) if pack is not None else None
    fitting = cut_to(known, schema) if known is not None else None
    talks = suspicions(dict(definition))
    if talks:
        entry = _unknown(name, digest, "", _bare(schema))
        if fitting is not None and not suspicions({"name": name, **_words_beside(definition)}):
            entry = {**_pinned(fitting[0], digest), "reviewed": False}
        return Draft(name, QUARANTINED, f"{talks[0].kind} in {talks[0].where}", entry, hints)
    if fitting is not None:
        entry, cut = _pinned(fitting[0], digest), fitting[1]
        # What a write can no longer be told may have been what bounded it: a person looks.
        entry["reviewed"] = entry["reviewed"] and (not cut or entry["category"] == "read")
        why = f"the server has no {', '.join(cut)}" if cut else ""
        return Draft(name, KNOWN, why, entry, hints, reviewed=entry["reviewed"])
    problem = problem_of(schema)
    if problem:
        return Draft(name, REFUSED, problem, hints=hints)
    description = str(definition.get("description") or "")[: contract_files.DESCRIPTION_MAX]
    entry = _unknown(name, digest, description, dict(schema or {}))
    if known is None:
        return Draft(name, DRAFTED, "", entry, hints)
    if known["category"] != "read":
        entry |= {"category": known["category"], "risk": max(known["risk"], "high", key=contract_files.RISKS.index)}
    return Draft(name, DRAFTED, "the pack knows a tool of this name with other parameters", entry, hints)


def compared(existing: Mapping[str, Any], digest: str | None) -> Draft:
    """What is to be said of a contract that is there; it stays as it is. `digest` is None when the tool is gone."""
    name, pinned, reviewed = str(existing["name"]), existing.get("definition"), existing.get("reviewed") is True
    if digest is None:
        return Draft(name, GONE, "the server does not offer it any more", reviewed=reviewed)
    if pinned is not None and pinned != digest:
        return Draft(name, CHANGED, "its definition is not the one that the contract pins", reviewed=reviewed)
    return Draft(name, KEPT, reviewed=reviewed)


def contract_text(before: str, upstream: str, head: Mapping[str, Any], entries: Iterable[dict[str, Any]]) -> str:
    """The text of a contract file with `entries` added at its end; what is there, comments too, stays as it is."""
    said = "".join(f"{key}: {value}\n" for key, value in head.items())
    start = before or f"# What the tools of {upstream} do. Set `reviewed: true` for what you have looked at.\n"
    start = start if before else f"{start}version: 1\nupstream: {upstream}\n{said}tools:\n"
    found = _FIRST_TOOL.search(start)
    return f"{start.rstrip()}\n{items_text(list(entries), len(found[1]) if found else 2)}"


def parse_draft(entry: dict[str, Any], upstream: str) -> str:
    """What is wrong with a drafted entry; empty when a contract file may hold it."""
    document = {"version": 1, "upstream": upstream, "tools": [entry]}
    try:
        contract_files.parse(document, f"the draft of {upstream}", upstream=upstream)
    except FieldError as error:
        return error.message
    return ""


def _unknown(name: str, digest: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    worded = {"description": description} if description else {}
    return {
        "name": name,
        "category": contract_files.UNKNOWN_WRITE,
        "risk": "high",
        "reviewed": False,
        "definition": digest,
        **worded,
        "schema": _closed(schema),
    }


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that says nothing of other parameters takes none: nobody would look at what is smuggled beside."""
    said = schema.keys() & _SAYS_OF_OTHERS or not isinstance(schema.get("properties"), dict)
    return schema if said else {**schema, "additionalProperties": False}


def _pinned(known: Mapping[str, Any], digest: str) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for key, value in known.items():
        entry[key] = value
        if key == "reviewed":
            entry["definition"] = digest
    return entry


def _words_beside(definition: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of a definition although the contract has words of its own for the rest."""
    return {name: definition[name] for name in ("outputSchema", "annotations") if definition.get(name) is not None}


def _bare(schema: Any) -> dict[str, Any]:
    """A schema without words; without parameters when it cannot be used, or still talks."""
    bare = _without_words(schema, 0)
    fit = isinstance(bare, dict) and not problem_of(bare) and not suspicions({"inputSchema": bare})
    return bare if fit else dict(_NO_PARAMETERS)


def _without_words(value: Any, depth: int) -> Any:
    if depth > contract_files.TOOLS_MAX // 16:
        return None
    if isinstance(value, dict):
        return {key: _without_words(item, depth + 1) for key, item in value.items() if key not in _WORDS}
    return [_without_words(item, depth + 1) for item in value] if isinstance(value, list) else value


def _hints(definition: Mapping[str, Any]) -> dict[str, bool]:
    said = definition.get("annotations")
    return {name: said[name] for name in HINTS if isinstance(said.get(name), bool)} if isinstance(said, dict) else {}
