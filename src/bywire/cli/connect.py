"""`bywire connect`: put an MCP server or an API behind the gateway, and say what to do next."""

import json
import re
import shlex
from pathlib import Path
from typing import Any, TypeAlias

import click
import msgspec

from bywire.cli.approval_page import moment
from bywire.cli.approvals import as_json_option, key_option, signs
from bywire.cli.connect_check import show
from bywire.cli.hook import program
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.cli.workspace import workspace
from bywire.config.contract_drafts import CHANGED, DRAFTED, GONE, KEPT, KNOWN, QUARANTINED, REFUSED, Draft
from bywire.config.gateway_upstreams import CREDENTIAL_NAME, PLACE_NAME, UPSTREAM_NAME, URL, VARIABLE, secret_named
from bywire.config.operator_config import ENVIRONMENTS
from bywire.config.packs import HOST
from bywire.config.reading import Node
from bywire.model.connected import PRODUCTION
from bywire.model.gateway import Upstream
from bywire.policy.shadow import Shadow
from bywire.wiring.drafting import Drafting, try_drafts
from bywire.wiring.drafting import connect as draft_connection
from bywire.wiring.drifting import compare
from bywire.wiring.packs import pack, packs
from bywire.wiring.workspace import Workspace

LISTED_MAX = 40
# (shadow, ledger index) of each rule that was put on trial.
Trials: TypeAlias = tuple[tuple[Shadow, int], ...]
_STYLE = {KNOWN: "green", KEPT: "dim", DRAFTED: "yellow", QUARANTINED: "bold red", REFUSED: "red", CHANGED: "bold red"}


@click.command()
@click.argument("name", default="")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--url", default="", help="An MCP server over HTTP, or the API that --pack describes.")
@click.option("--pack", "pack_name", default="", metavar="PACK", help="Contracts that ship with bywire.")
@click.option("--private", is_flag=True, help="The URL may lead to this host or a private network.")
@click.option("--service", default="", help="What it belongs to (default: the operator's service).")
@click.option("--environment", default="", type=click.Choice(("", *ENVIRONMENTS)), help="Where it acts.")
@click.option("--credential", default="", metavar="NAME", help="One of `credentials` of gateway.yaml.")
@click.option(
    "--as", "person", default="", metavar="PERSON", help="Try what was drafted for a week: signed, in shadow."
)
@click.option(
    "--set", "variables", multiple=True, metavar="NAME=VALUE", help="A variable for COMMAND, which gets few of ours."
)
@click.option("--credential-variable", default="", metavar="NAME", help="Where COMMAND finds the credential.")
@click.option("--check", is_flag=True, help="Compare with the server, write nothing; exit 1 when something stops.")
@click.option("--list-packs", is_flag=True, help="Which packs there are.")
@key_option
@as_json_option
@click.pass_obj
def connect(
    place: Place,
    name: str,
    command: tuple[str, ...],
    url: str,
    pack_name: str,
    service: str,
    environment: str,
    credential: str,
    person: str,
    variables: tuple[str, ...],
    credential_variable: str,
    key: Path | None,
    *,
    private: bool,
    check: bool,
    list_packs: bool,
    as_json: bool,
) -> None:
    """Draft contracts/NAME.yaml from a server's tools, and add it to gateway.yaml: `bywire connect NAME -- COMMAND...`.

    Safe to run again: contracts are only ever added. A server's own annotations are shown and not believed. Before a
    server is upgraded, `bywire connect NAME --check -- NEW-COMMAND...` says which tools would stop.
    """
    if list_packs:
        _list_packs(as_json=as_json)
        return
    if not name or (url and command):
        raise click.UsageError("bywire connect NAME -- COMMAND..., or --url URL, or --pack PACK")
    wanted = _wanted(
        name=name, command=command, url=url, private=private, service=service, environment=environment,
        credential=credential, variables=_variables(variables), credential_variable=credential_variable,
    )  # fmt: skip
    chosen = pack(pack_name) if pack_name else None
    with workspace(place) as opened:
        if check:
            show(compare(opened, wanted, chosen), as_json=as_json)
            return
        found = draft_connection(opened, wanted, chosen)
        tried: Trials = ()
        if person and found.place[1] != PRODUCTION:
            tried = try_drafts(opened, found, person, signs(opened, key))
        following = next_steps(opened, found, person)
    if as_json:
        print_json(_plain(found, tried, following))
        return
    _print(found)
    if person:
        _print_shadow(found, tried)
    for line in following:
        console().print(f"  next  [cyan]{literal(line)}[/]")


def _wanted(**given: Any) -> Upstream:
    """The upstream of the command line, held to what gateway.yaml may hold."""
    node = Node({}, "bywire connect")
    node.at("NAME", given["name"]).text("lower-case letters, digits and '-'", pattern=UPSTREAM_NAME)
    patterns = {"url": URL, "service": PLACE_NAME, "credential": CREDENTIAL_NAME, "credential_variable": VARIABLE}
    for field, pattern in patterns.items():
        if given[field]:
            node.at(f"--{field}", given[field]).text(f"what {field} may be in gateway.yaml", pattern=pattern)
    return Upstream(kind="mcp", **given)


def _variables(given: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` each; what is wrong with a value is said when gateway.yaml is read. A secret is not repeated."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or re.fullmatch(VARIABLE, name) is None:
            raise click.UsageError("--set NAME=VALUE")
        if secret_named(name):
            raise click.UsageError(f"{name} is a secret: name it in gateway.yaml, and --credential-variable {name}")
        found[name] = value
    return found


def next_steps(opened: Workspace, found: Drafting, person: str = "") -> list[str]:
    """What to do now, as commands and lines to copy. Whose word tries drafts is better no owner of who calls them."""
    operator_dir, name = opened.directory.path, found.upstream
    steps = [f"look at {operator_dir}/contracts/{name}.yaml, and set `reviewed: true` for what you have looked at"]
    tools = " ".join(f"--tool {tool}" for tool in found.tools[:LISTED_MAX])
    more = f" ... ({len(found.tools) - LISTED_MAX} more)" if len(found.tools) > LISTED_MAX else ""
    people = [one.id.removeprefix("person:") for one in opened.operator.people]
    others = [one for one in people if one != person.removeprefix("person:")]
    owner = (others or people or ["PERSON"])[0]
    steps.append(
        f"bywire agents register AGENT --owner {owner} --pattern constrained-executor "
        f"--environment {found.place[1]} {tools}{more}"
    )
    if person and found.place[1] != PRODUCTION:
        trial = "--as {} --days 7 --service {} --environment {}".format(person.removeprefix("person:"), *found.place)
        steps.append(
            "calls after an answer of an unreviewed tool still wait for a person; to try these too: "
            f"bywire policy shadow begin contract.tainted {trial} --reason TEXT"
        )
    if found.kind == HOST:
        return [*steps, f"bywire hook install {name} --as AGENT"]
    steps.append("bywire serve")
    if found.kind == "mcp":
        steps += [f"Claude Code: claude mcp add {name} -- {shlex.join(client_command(opened, name))}"]
        steps += [f"Cursor, .cursor/mcp.json: {json.dumps(client_config(opened, name))}"]
    return steps


def client_command(opened: Workspace, name: str) -> list[str]:
    """The program that a client starts in place of the server: it knows the agent's key, the client no token."""
    where = ["--repo", str(opened.repo), "--operator", str(opened.directory.path)]
    return [program(), *where, "mcp", "--as", "AGENT", "--upstream", name]


def client_config(opened: Workspace, name: str) -> dict[str, Any]:
    """The same as clients with a configuration file spell it."""
    program, *arguments = client_command(opened, name)
    return {"mcpServers": {name: {"command": program, "args": arguments}}}


def _list_packs(*, as_json: bool) -> None:
    found = packs()
    if as_json:
        print_json([{"name": one.name, **msgspec.to_builtins(one.kind), "tools": len(one.tools)} for one in found])
        return
    for one in found:
        console().print(f"{one.name:<13} {one.kind.kind:<5} {len(one.tools):>4} tools  {literal(one.kind.says)}")


def _plain(found: Drafting, tried: Trials, following: list[str]) -> dict[str, Any]:
    return {
        "upstream": found.upstream,
        "kind": found.kind,
        "service": found.place[0],
        "environment": found.place[1],
        "wrote_contracts": found.wrote_contracts,
        "wrote_upstream": found.wrote_upstream,
        "tools": [
            {
                "tool": one.tool,
                "state": one.state,
                "why": one.why,
                "category": (one.entry or {}).get("category", ""),
                "risk": (one.entry or {}).get("risk", ""),
                "reviewed": one.reviewed,
                "hints": one.hints,
            }
            for one in found.drafts
        ],
        "shadows": [{"rule": one.rule, "expires_at_ms": one.expires_at_ms, "entry": entry} for one, entry in tried],
        "next": following,
    }


def _print(found: Drafting) -> None:
    out = console()
    counts = {state: sum(one.state == state for one in found.drafts) for state in (*_STYLE, GONE)}
    told = ", ".join(f"{number} {state}" for state, number in counts.items() if number) or "no tools"
    where = f"{found.place[0]} in {found.place[1]}"
    out.print(f"[green]connected[/]  {literal(found.upstream)} ({found.kind}), {literal(where)}: {told}")
    shown = sorted((one for one in found.drafts if one.state != KEPT), key=lambda one: one.state == KNOWN)
    for one in shown[:LISTED_MAX]:
        out.print(f"  [{_STYLE.get(one.state, 'dim')}]{one.state:<11}[/] {literal(one.tool):<32} {literal(_said(one))}")
    wrote = [
        name
        for name, done in (
            (f"contracts/{found.upstream}.yaml", found.wrote_contracts),
            ("gateway.yaml", found.wrote_upstream),
        )
        if done
    ]
    out.print(f"  wrote {', '.join(wrote) if wrote else 'nothing: it is all there'}")


def _said(one: Draft) -> str:
    entry = one.entry or {}
    parts = [f"{entry['category']}, {entry['risk']} risk"] if entry else []
    parts += [one.why] if one.why else []
    says = [f"{name} {str(value).lower()}" for name, value in one.hints.items()]
    parts += [f"the server says {', '.join(says)}; not believed"] if says and one.state == DRAFTED else []
    return "; ".join(parts)


def _print_shadow(found: Drafting, tried: Trials) -> None:
    if found.place[1] == PRODUCTION:
        console().print("  nothing is tried in production: unreviewed tools stay denied there")
    elif not tried:
        console().print("  unreviewed tools are tried there already: bywire policy shadow list")
    else:
        (first, entry), rules = tried[0], ", ".join(one.rule for one, _ in tried)
        console().print(
            f"[yellow]shadowed[/]   {rules} until {moment(first.expires_at_ms)}, from ledger entry #{entry} on; "
            f"owner {literal(first.owner)}, whose own agents still wait for a person"
        )
