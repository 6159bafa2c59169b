"""The steps that the code names, read from the code itself, so that a new one is in the matrix without being told."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "bywire"
# Steps that every request passes are worth a death at a few of them; any other step at each request that reaches it.
NARROWED = {
    r"tick\.sent": "start_rollout|promote_release",
    r"tick\.committed": "audit|settle_release",
    r"work\.\w+\.recorded": "plan|verdict",
}


@cache
def declared() -> dict[str, str]:
    """Pattern of a step's name: where it is reached. Part of a name that the code computes is `\\w+`."""
    return {
        name: f"{path.relative_to(SOURCE)}:{line}"
        for path in sorted(SOURCE.rglob("*.py"))
        for name, line in named_in(path.read_text())
    }


def named_in(source: str) -> Iterator[tuple[str, int]]:
    """(pattern, line) of each `….reached(…)` in one module, but for one that passes a step on in its own `reached`."""
    tree = ast.parse(source)
    passed_on = {
        id(node)
        for own in ast.walk(tree)
        if isinstance(own, ast.FunctionDef) and own.name == "reached"
        for node in ast.walk(own)
    }
    for node in ast.walk(tree):
        if id(node) in passed_on:
            continue
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reached"
        if called:
            if len(node.args) != 1:
                raise ValueError(f"line {node.lineno}: reached() takes one name")
            yield _pattern(node.args[0], node.lineno), node.lineno


def _pattern(node: ast.expr, line: int) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = (re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in node.values)
        return "".join(parts)
    raise ValueError(f"line {line}: a step is named by a text, so that this reader can know it")


def chosen() -> str:
    """The regular expression over `step@request` by which the short run chooses where a process dies."""
    rows = (f"{name}@(?:{NARROWED[name]})$" if name in NARROWED else f"{name}@" for name in declared())
    return f"^(?:{'|'.join(rows)})"


def unkilled(deaths: list[str]) -> dict[str, str]:
    """The declared steps that nobody died at."""
    died = [death.partition("@")[0] for death in deaths]
    return {name: place for name, place in declared().items() if not any(re.fullmatch(name, step) for step in died)}
