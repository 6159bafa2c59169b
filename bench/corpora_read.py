"""Published attacks, read from where somebody has checked them out; nothing of them is kept here.

MCPSEC writes its payloads as `json!` literals in Rust, mcp-defense-bench as JSON files, and AgentDojo's calls are told
by `python bench/agentdojo_calls.py`, which runs in the environment that has it.
"""

import json
import re
from pathlib import Path

_TEST = re.compile(r'id: "(A[0-9]+\.[0-9]+)",\s*name: "((?:[^"\\]|\\.)*)",.*?payload: (.*?)check_fn:', re.DOTALL)
_TOKEN = re.compile(
    r'//[^\n]*|"((?:[^"\\]|\\.)*)"(?:\.repeat\(([0-9_]+)\))?|(u64::MAX)|([{}\[\]:,]|true|false|null|-?[0-9.]+)|\s+',
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\u\{([0-9A-Fa-f]+)\}|\\(.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


def mcpsec(directory):
    """(id, name, payload) of each attack of `mcpsec/`, by its number; a payload that is computed is None."""
    found = []
    for path in sorted(Path(directory).glob("src/attacks/a[0-9]*.rs")):
        for identity, name, text in _TEST.findall(path.read_text()):
            found.append((identity, name, _literal(text.removeprefix("json!(")) if text.startswith("json!(") else None))
    return sorted(found, key=lambda one: [int(part) for part in one[0][1:].split(".")])


def defense_bench(directory):
    """(id, the attack, its benign control) of each test case."""
    paths = sorted(Path(directory).glob("testcases/*/*.json"))
    cases = [json.loads(path.read_text()) for path in paths]
    return [(case["id"], case["fixture"], case["benignControl"]) for case in cases]


def agentdojo(file):
    """suite -> {"tools", "user": {task: calls}, "injection": {task: {"goal", "calls"}}}."""
    return json.loads(Path(file).read_text())


def _literal(text):
    """The JSON of a literal: comments go, strings are unescaped as Rust does, a comma may stand before a bracket."""
    pieces, depth = [], 0
    for match in _TOKEN.finditer(text):
        string, times, largest, plain = match.groups()
        if string is not None:
            pieces.append(json.dumps(_ESCAPE.sub(_char, string) * int((times or "1").replace("_", ""))))
        elif largest:
            pieces.append(str(2**64 - 1))
        elif plain:
            if plain in "]}" and pieces[-1] == ",":
                pieces.pop()
            pieces.append(plain)
            depth += (plain in "[{") - (plain in "]}")
            if depth == 0:
                break
    return json.loads("".join(pieces))


def _char(match):
    return chr(int(match[1], 16)) if match[1] else _PLAIN.get(match[2], match[2])
