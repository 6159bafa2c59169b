"""Entry point: the `bywire` command. Commands are loaded when asked for, so that `--help` stays quick."""

import errno
import importlib
import sys
from pathlib import Path

import click
import msgspec

from bywire import __version__
from bywire.cli.output import EXIT_ERROR, print_error
from bywire.model.errors import BywireError

COMMANDS = {
    "init": ("bywire.cli.init", "Prepare a repository: bywire.yaml and an operator directory outside it."),
    "deliver": ("bywire.cli.deliver", "Carry a change from goal to production through every gate."),
    "status": ("bywire.cli.status", "What is running, what waits, what ended."),
    "approvals": ("bywire.cli.approval_sign_in", "Requests that need a person: list, show, approve, deny."),
    "break-glass": ("bywire.cli.break_glass", "Act without the usual approval: named, short, and answered for."),
    "agents": ("bywire.cli.agents", "Agents: who is registered for what, their tokens, and their end."),
    "keys": ("bywire.cli.keys", "Keys: list, rotate, revoke, and the token keys as a JWKS."),
    "call": ("bywire.cli.call", "One action through the door, for an agent or a script."),
    "connect": ("bywire.cli.connect", "Put a server behind the gateway: its tools, their contracts, what to do next."),
    "hook": ("bywire.cli.hook", "Answer the hooks of Claude Code, Cursor and Codex; install them."),
    "mcp": ("bywire.cli.mcp", "MCP on standard streams, governed; what upstreams say of their tools."),
    "serve": ("bywire.cli.serve", "The gateway: every agent, every tool, one door, over HTTP and MCP."),
    "costs": ("bywire.cli.costs", "What agents and teams spent, and what of their budgets is left."),
    "incident": ("bywire.cli.incident", "Incident mode: open, close, list."),
    "stop": ("bywire.cli.control", "Stop everything, one agent or one service; retreats stay possible."),
    "resume": ("bywire.cli.control", "Lift every stop."),
    "rollback": ("bywire.cli.control", "Give all traffic back to the last good release."),
    "rollout": ("bywire.cli.rollout", "Rollouts: report."),
    "audit": ("bywire.cli.audit", "Verify, replay and export what was decided."),
    "log": ("bywire.cli.log", "The transparency log: publish, prove, check, ask its witnesses."),
    "witness": ("bywire.cli.witness", "Remember a log for somebody else: cosign its checkpoints."),
    "explain": ("bywire.cli.explain", "Why a decision was what it was."),
    "policy": ("bywire.cli.policy", "The rules that decide: check, test, explain, diff, sign, activate, shadow."),
    "assets": ("bywire.cli.assets", "Assets of AI features: attest, as their producer."),
    "retention": ("bywire.cli.retention", "Erase the content of old entries by destroying its keys."),
    "backup": ("bywire.cli.backup", "Copy the workspace while it runs: signed, and verified after writing."),
    "restore": ("bywire.cli.backup", "Put a backup in place, unless it is behind what was published."),
    "reconcile": ("bywire.cli.reconcile", "Find changes made without bywire, and have a person answer for each."),
    "schema": ("bywire.cli.schema", "JSON Schemas of the files that people write, and a check of such files."),
    "doctor": ("bywire.cli.doctor", "What this installation can and cannot promise."),
    "demo": ("bywire.cli.demo", "A real service, a real change, every gate; about two minutes."),
}


class Place(msgspec.Struct, frozen=True):
    """Where a command works: the repository and, when given, the operator directory."""

    repo: Path
    operator: Path | None


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bywire")
@click.option(
    "--repo",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The service's git repository (default: here).",
)
@click.option(
    "--operator",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="The operator directory (default: found from the repository).",
)
@click.pass_context
def bywire(context: click.Context, repo: Path, operator: Path | None) -> None:
    """Fly-by-wire for software delivery. No evidence, no exposure.

    Exit codes: 0 allowed or done, 1 denied, 2 error, 3 pending.
    """
    context.obj = Place(repo=repo.resolve(), operator=operator.resolve() if operator else None)


def main() -> None:
    """Run the command line; no traceback for a person's mistake or a full disk."""
    as_json = "--json" in sys.argv
    try:
        sys.exit(bywire.main(standalone_mode=False) or 0)
    except BywireError as error:
        print_error(error, as_json=as_json)
    except click.ClickException as error:
        usage = BywireError(error.format_message(), code="usage", next_step="bywire --help")
        print_error(usage, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        stopped = BywireError("interrupted", code="interrupted", next_step="run the same command again to continue")
        print_error(stopped, as_json=as_json)
        sys.exit(130)
    except OSError as error:
        failed = BywireError(
            f"{error.strerror or error}: {error.filename or 'a file or socket'}",
            code="disk_full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "io_failed",
            next_step="check free space and permissions, then run the same command again",
        )
        print_error(failed, as_json=as_json)
    sys.exit(EXIT_ERROR)
