"""What `bywire connect --check` prints: how far a server has moved from its contracts. Exit 1 when something stops."""

import msgspec

from bywire.cli.output import EXIT_DENIED, EXIT_OK, console, finish, literal, print_json
from bywire.config.contract_drift import CHANGED, FITS, GONE, MOVED, NEW, STATES, Drift
from bywire.wiring.drifting import Compared

LISTED_MAX, LINES_MAX = 60, 6
_STYLE = {MOVED: "bold red", CHANGED: "bold red", GONE: "yellow", NEW: "cyan", FITS: "green"}


def show(found: Compared, *, as_json: bool) -> None:
    """Print and end."""
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print(found)
    finish(EXIT_DENIED if found.drifted else EXIT_OK)


def _print(found: Compared) -> None:
    out = console()
    counts = {state: sum(one.state == state for one in found.tools) for state in STATES}
    told = ", ".join(f"{number} {state}" for state, number in counts.items() if number) or "no tools"
    server = f" ({literal(found.server)})" if found.server else ""
    word = "[bold red]drifted[/]   " if found.drifted else "[green]compared[/]  "
    out.print(f"{word} {literal(found.upstream)}{server} with {literal(found.against)}: {told}")
    shown = [one for one in found.tools if one.state != FITS or one.notes]
    for one in sorted(shown, key=lambda each: STATES.index(each.state))[:LISTED_MAX]:
        _print_tool(one)
    if len(shown) > LISTED_MAX:
        out.print(f"  ... {len(shown) - LISTED_MAX} more tools: --json")
    for line in _following(found, counts):
        out.print(f"  next  [cyan]{literal(line)}[/]")


def _print_tool(one: Drift) -> None:
    lines = [*one.why, *(f"note: {note}" for note in one.notes)]
    console().print(
        f"  [{_STYLE[one.state]}]{one.state:<8}[/] {literal(one.tool):<32} {literal(lines[0] if lines else '')}"
    )
    for line in lines[1:LINES_MAX]:
        console().print(f"           {'':<32} {literal(line)}")
    if len(lines) > LINES_MAX:
        console().print(f"           {'':<32} ... {len(lines) - LINES_MAX} more: --json")


def _following(found: Compared, counts: dict[str, int]) -> list[str]:
    if found.against.startswith("pack "):
        return []
    steps = []
    if counts[MOVED]:
        steps.append(f"take what moved out of {found.against}, and bywire connect {found.upstream} once it is upgraded")
    if counts[CHANGED]:
        steps.append(f"once it is upgraded, bywire mcp definitions {found.upstream} shows what to approve")
    if counts[GONE]:
        steps.append(f"take what is gone out of {found.against}")
    if counts[NEW]:
        steps.append(f"bywire connect {found.upstream}, for what is new")
    return steps
