"""`bywire hook`: answers coding agents' hosts before their tools run, and puts itself into their configuration."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import click

from bywire.adapters.process_deadline import ends_within, say_last
from bywire.adapters.token_file import read_token
from bywire.cli.main import Place
from bywire.cli.output import console, literal, print_json
from bywire.config.hook_answers import BLOCKED, Reply, answer, blocked
from bywire.config.hook_files import MANAGED, PROGRAM, managed
from bywire.config.hook_input import BEFORE, BYTES_MAX, CLAUDE_CODE, CODEX, CURSOR, OTHER, HookCall, parse_hook_input
from bywire.config.packs import HOSTS
from bywire.model.errors import BywireError, ConfigError
from bywire.wiring.hook_installing import install_hook, uninstall_hook
from bywire.wiring.hooks import Hook, There

NOT_REPORTED = 1
# Hosts let the tool run after TIMEOUT_SECONDS of config/hook_files.py; starting and ending a process take their share.
DEADLINE_SECONDS = 40.0


@click.group()
def hook() -> None:
    """Hooks: advice that a host heeds. Where it fails or is taken out, the host goes on; the gateway does not."""


def _host_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--as", "agent", required=True, metavar="AGENT", help="The agent that the host is."),
        click.option("--url", default="", help="A gateway that serves, in place of one in this process."),
        click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Its token, with --url."),
        click.option("--through", multiple=True, metavar="SERVER", help="An MCP server that is the gateway already."),
        click.option("--decide", is_flag=True, help="Say `allow` as well, which skips the host's own question."),
    ):
        command = option(command)
    return click.pass_obj(command)


@hook.command(CLAUDE_CODE)
@_host_options
def claude_code(
    place: Place, agent: str, url: str, token_file: Path | None, through: tuple[str, ...], decide: bool
) -> None:
    """Answer Claude Code: PreToolUse, PostToolUse, PostToolUseFailure, on standard input."""
    _answer(CLAUDE_CODE, place, agent, url, token_file, through, decide=decide)


@hook.command(CURSOR)
@_host_options
def cursor(place: Place, agent: str, url: str, token_file: Path | None, through: tuple[str, ...], decide: bool) -> None:
    """Answer Cursor: preToolUse, beforeMCPExecution, beforeShellExecution and what comes after."""
    _answer(CURSOR, place, agent, url, token_file, through, decide=decide)


@hook.command(CODEX)
@_host_options
def codex(place: Place, agent: str, url: str, token_file: Path | None, through: tuple[str, ...], decide: bool) -> None:
    """Answer Codex: PreToolUse and PostToolUse."""
    _answer(CODEX, place, agent, url, token_file, through, decide=decide)


@hook.command()
@click.argument("host", type=click.Choice(HOSTS))
@click.option("--as", "agent", default="", metavar="AGENT", help="The agent that the host is.")
@click.option("--dir", "root", type=click.Path(exists=True, file_okay=False, path_type=Path), default=None,
              help="Where the host's configuration lies (default: the repository).")  # fmt: skip
@click.option("--url", default="", help="Ask a gateway that serves.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Its token, with --url.")
@click.option("--through", multiple=True, metavar="SERVER", help="An MCP server that is the gateway already.")
@click.option("--uninstall", is_flag=True, help="Take it out again.")
@click.option("--managed", "is_managed", is_flag=True,
              help="Print what the machine's owner adds to the host's managed settings; change nothing.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def install(
    place: Place,
    host: str,
    agent: str,
    root: Path | None,
    url: str,
    token_file: Path | None,
    through: tuple[str, ...],
    *,
    uninstall: bool,
    is_managed: bool,
    as_json: bool,
) -> None:
    """Put the hook into a host's configuration; other hooks and settings stay. Safe to run again."""
    where = (root or place.repo).resolve()
    if uninstall:
        path, changed = uninstall_hook(where, host)
        command = ""
    else:
        if not agent:
            raise click.UsageError("bywire hook install HOST --as AGENT")
        command = _command(place, host, agent, url, token_file, through)
        if is_managed:
            _print_managed(host, command, as_json=as_json)
            return
        path, changed = install_hook(where, host, command)
    if as_json:
        print_json({"host": host, "file": str(path), "changed": changed, "command": command})
        return
    done = ("removed from" if uninstall else "installed in") if changed else "nothing to do in"
    console().print(f"[green]{done}[/] {literal(str(path))}")
    if not uninstall:
        console().print("  it advises: a host whose settings somebody changes goes on without it (--managed)")
        if host == CODEX:
            console().print("  [yellow]Codex skips it, and says nothing,[/] until a person trusts it: start codex in")
            console().print(
                f"  {literal(str(where))}, trust the folder, then /hooks; and again after each change of it"
            )


def _print_managed(host: str, command: str, *, as_json: bool) -> None:
    text = managed(host, command)
    if as_json:
        print_json({"host": host, "file": MANAGED[host], "text": text, "command": command})
        return
    click.echo(text)
    click.echo(f"for {MANAGED[host]}, which only the machine's owner may write", err=True)


def _answer(
    host: str, place: Place, agent: str, url: str, token_file: Path | None, through: tuple[str, ...], *, decide: bool
) -> None:
    late = blocked(f"no answer within {DEADLINE_SECONDS:.0f} s; nothing was allowed")
    with ends_within(DEADLINE_SECONDS, late.err, BLOCKED):
        reply = _reply(host, place, agent, url, token_file, through, decide=decide)
        try:
            _say(reply)
        except BaseException:  # noqa: BLE001  a host that cannot be told must not go on
            say_last(blocked("the answer could not be written; nothing was allowed").err)
            reply = Reply(code=BLOCKED)
    raise SystemExit(reply.code)


def _reply(
    host: str, place: Place, agent: str, url: str, token_file: Path | None, through: tuple[str, ...], *, decide: bool
) -> Reply:
    before = True
    try:
        call = parse_hook_input(sys.stdin.buffer.read(BYTES_MAX + 1), host)
        before = call.event == BEFORE
        if call.event == OTHER:
            return Reply()
        return _asked(host, place, _principal(agent), url, token_file, through, call, decide=decide)
    except BywireError as error:
        reply = blocked(f"{error.message}. Next: {error.next_step}")
    except BaseException as error:  # noqa: BLE001  any other exit code than 2 lets the tool run
        reply = blocked(f"the hook failed ({type(error).__name__}); nothing was allowed")
    return reply if before else Reply(err=reply.err, code=NOT_REPORTED)


def _say(reply: Reply) -> None:
    if reply.err:
        click.echo(reply.err, err=True)
    if reply.out:
        click.echo(reply.out)


def _asked(
    host: str, place: Place, principal: str, url: str, token_file: Path | None, through: tuple[str, ...],
    call: HookCall, *, decide: bool,
) -> Reply:  # fmt: skip
    if bool(url) != (token_file is not None):
        raise ConfigError("--url and --token-file go together", code="usage", next_step="bywire hook --help")
    if url and token_file is not None:
        there = There(url, read_token(token_file))
        try:
            return _through(Hook(host, principal, there, through), host, call, decide=decide)
        finally:
            there.close()
    # Before every tool of a session: a gateway that serves is asked without loading one.
    from bywire.cli.workspace import workspace  # noqa: PLC0415
    from bywire.wiring.gateway import Gateway  # noqa: PLC0415
    from bywire.wiring.gateway_settings import read_gateway  # noqa: PLC0415
    from bywire.wiring.hooks_here import Here  # noqa: PLC0415

    with workspace(place) as opened:
        gateway = Gateway(opened, read_gateway(opened))
        try:
            here = Here(gateway, opened.token(principal, call.run(host)))
            return _through(Hook(host, principal, here, through), host, call, decide=decide)
        finally:
            gateway.close()


def _through(asked: Hook, host: str, call: HookCall, *, decide: bool) -> Reply:
    if call.event == BEFORE:
        return answer(host, asked.before(call), decide=decide)
    asked.after(call)
    return Reply()


def _principal(agent: str) -> str:
    return agent if agent.startswith("agent:") else f"agent:{agent}"


def _command(place: Place, host: str, agent: str, url: str, token_file: Path | None, through: tuple[str, ...]) -> str:
    """The command line, with absolute places: the host's working directory decides nothing."""
    from bywire.cli.workspace import workspace  # noqa: PLC0415

    words = [program(), "--repo", str(place.repo)]
    with workspace(place) as opened:
        words += ["--operator", str(opened.directory.path)]
    words += ["hook", host, "--as", agent]
    if url and token_file is not None:
        words += ["--url", url, "--token-file", str(token_file.resolve())]
    for server in through:
        words += ["--through", server]
    return shlex.join(words)


def program() -> str:
    """This program, as others start it."""
    beside = Path(sys.executable).with_name(PROGRAM)
    return str(beside) if beside.is_file() else PROGRAM
