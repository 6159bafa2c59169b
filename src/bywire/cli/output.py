"""How every command speaks: JSON on request, three lines for a denial, one clear message for an error."""

import json
import re
import sys
from typing import Any

import click
from rich.console import Console

from bywire.model.decision import Sanitized
from bywire.model.errors import BywireError
from bywire.wiring.telling import explained

# Begun nowhere inside a run of backslashes: each of them would be followed to its end.
_TAG = re.compile(r"(?<!\\)(\\*+)(\[(?=[a-z#/@]|$)|$)")
EXIT_OK, EXIT_DENIED, EXIT_ERROR, EXIT_PENDING = 0, 1, 2, 3
STYLES = {"good": "green", "bad": "bold red", "info": "default", "warn": "yellow"}


def console() -> Console:
    """The console for people; plain text when not a terminal."""
    return Console(highlight=False, soft_wrap=True, emoji=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, sort_keys=True, default=str))


def denial(reason: dict[str, Any], next_command: str = "") -> tuple[str, str, str]:
    """Rule, fact and next command of one reason (policy input version 1, `reasons`)."""
    rule, facts = str(reason.get("rule", "unknown")), dict(reason.get("facts") or {})
    said, following = explained(rule, facts)
    return rule, said, next_command or following


def print_denials(reasons: list[dict[str, Any]], next_command: str = "", *, word: str = "denied") -> None:
    """Three lines for each reason; `word` says how it ended, in at most seven letters."""
    out = console()
    for reason in reasons:
        rule, fact, following = denial(reason, next_command)
        out.print(f"[bold red]{word:<7}[/] {literal(rule)}")
        out.print(f"  fact  {literal(fact)}")
        out.print(f"  next  [cyan]{literal(following)}[/]")


def print_error(error: BywireError, *, as_json: bool) -> None:
    """What happened, why, and what to do next."""
    if as_json:
        print_json({"error": error.as_json()})
        return
    err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    first, *more = error.message.splitlines() or [""]
    err.print(f"[bold red]error[/]  {error.code}: {literal(first)}")
    for text in more:
        err.print(f"       {literal(text)}")
    if error.next_step:
        err.print(f"  next  [cyan]{literal(error.next_step)}[/]")


def print_refused_policy(error: BywireError) -> None:
    """That the operator's copy of the policy is not what decides, and why; on standard error, beside any answer."""
    err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    first, *more = error.message.splitlines() or [""]
    err.print(f"[yellow]policy[/]  the operator's copy is not in force ({error.code}): {literal(first)}")
    for text in more:
        err.print(f"        {literal(text)}")
    err.print("        the last good policy decides")
    err.print(f"  next  [cyan]{literal(error.next_step)}[/]")


def line(text: str, entry: int = -1, level: str = "info") -> None:
    """One line of a story; names its ledger entry."""
    place = f"#{entry}" if entry >= 0 else ""
    console().print(f"[dim]{place:>6}[/]  [{STYLES[level]}]{literal(text)}[/]")


def changes(sanitized: Sanitized) -> str:
    """What was changed of an action before it was decided for good; kinds and counts, never values."""
    said = [f"{count} {kind} taken out" for kind, count in sorted(sanitized.masked.items())]
    if sanitized.replaced:
        said.append(f"{sanitized.replaced} parameter{'s' if sanitized.replaced > 1 else ''} given another value")
    return ", ".join(said) or "nothing was found to take out"


def finish(code: int) -> None:
    """End the command with an exit code."""
    sys.stdout.flush()
    raise SystemExit(code)


def literal(text: str) -> str:
    """Text from outside as one line of text: never markup, never terminal control."""
    flat = " | ".join(part for part in text.splitlines() if part.strip())
    printable = "".join(character if character.isprintable() else "?" for character in flat)
    # A bracket that may open a tag is escaped; backslashes before it, or before a tag of ours, stand for themselves.
    return _TAG.sub(lambda found: found[1] * 2 + (r"\[" if found[2] else ""), printable)
