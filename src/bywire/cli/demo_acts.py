"""The acts of the demo. Each runs real commands and checks what they must have done; the first surprise ends it."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bywire.adapters.clock import HighWaterClock
from bywire.adapters.demo_scene import Scene, flip_byte
from bywire.adapters.local_target_client import LocalTarget
from bywire.cli.output import EXIT_DENIED, EXIT_OK, EXIT_PENDING, console
from bywire.model.errors import BywireError, WorkError
from bywire.wiring.demo_attack import Attempt, probe_sandbox, reuse_approval
from bywire.wiring.workspace import DATABASE_FILE, open_workspace

RATE_PER_SECOND = 900
APPROVER = "oncall"
ADAPTER = "assistant-adapter"
# The demo watches second by second what production would watch minute by minute; `_known_good` says each difference.
SETTINGS = {
    "criticality": "payment",
    "canary_lease_seconds": "10",
    "interval_seconds": "1",
    "intervals_min": "3",
    "verify_intervals": "3",
    "dispersion": "1.0",
}
PEOPLE = {"mara": "mara@payments.example", "tomas": "tomas@payments.example", "casey": "casey@elsewhere.example"}
HASTY_PLAN = "version: 1\norigin: somebody in a hurry\nsteps: [{weight: 5}, {weight: 100}]\n"
WARM_PLAN = """\
version: 1
origin: written by hand after the first rollout was rolled back
warm: true            # fill the cache before any exposure
steps:                # and segment by device: mobile-web joins at the second step
  - {weight: 5, segments: [desktop, ios, android]}
  - {weight: 25}
  - {weight: 50}
  - {weight: 100}
"""


class Acts:
    """Plays on one scene."""

    def __init__(self, scene: Scene, *, quiet: bool) -> None:
        self._scene = scene
        self._quiet = quiet
        self._clock = HighWaterClock()
        self._started_ms = self._clock.now_ms()
        self._commands: list[dict[str, Any]] = []
        self._out = console()

    def whole(self) -> dict[str, Any]:
        """Known good, denied, repaired, rolled back, tried again, promoted, proved."""
        self._known_good()
        told = self._scene.branch("compact-quotes")
        goal = told["goal"]
        self._act("3", "A feature branch: the auditor denies it, and says how to repair it")
        self._run("deliver", "--goal", goal, "--change", told["branch"], expect=EXIT_DENIED)
        fix = str(self._newest()["recourse"]["fix_branch"])
        self._run("assets", "attest", ADAPTER, "--change", fix)
        self._act("4", "Repaired: approved once as a bounded plan, canaried, judged by segment, rolled back")
        self._approve(goal, fix)
        self._say("the approval is for that plan; with one argument changed it no longer fits:")
        hasty = self._scene.directory / "faster.yaml"
        hasty.write_text(HASTY_PLAN)
        self._run("deliver", "--goal", goal, "--change", fix, "--plan", str(hasty), expect=EXIT_PENDING)
        rolled = self._run("deliver", "--goal", goal, "--change", fix, expect=EXIT_DENIED)
        self._check("rolled_back" in self._phases(), "the canary was rolled back", rolled)
        self._run("rollout", "report", "-o", str(self._scene.directory / "rollback.html"))
        self._act("5", "Again, by a plan written by hand: warm the cache, segment by device")
        plan = self._scene.directory / "plan.yaml"
        plan.write_text(WARM_PLAN)
        self._approve(goal, fix, "--plan", str(plan))
        self._run("deliver", "--goal", goal, "--change", fix, "--plan", str(plan))
        self._run("rollout", "report", "-o", str(self._scene.directory / "promoted.html"))
        self._run("status")
        self._proof("6")
        return self._end()

    def healthy(self) -> dict[str, Any]:
        """A change without the bug: promoted at the first try."""
        self._known_good()
        told = self._scene.branch("healthy")
        self._act("3", "A healthy change: promoted at the first try")
        self._approve(told["goal"], told["branch"])
        self._run("deliver", "--goal", told["goal"], "--change", told["branch"])
        self._run("rollout", "report", "-o", str(self._scene.directory / "promoted.html"))
        self._proof("4")
        return self._end()

    def attack(self) -> dict[str, Any]:
        """A branch that tries to get round the envelope; every attempt must fail."""
        self._known_good()
        target = self._target().status()
        targets = {
            "operator_dir": str(self._scene.operator),
            "ledger": str(self._scene.operator / DATABASE_FILE),
            "router_admin_socket": str(self._scene.operator / "target" / "target.sock"),
            "ports": [target["router_port"], target["stable"]["port"]],
            "outside": [str(self._scene.directory), str(self._scene.repo)],
        }
        told = self._scene.branch("attack", {"probe_targets.json": json.dumps(targets)})
        self._act("3", "A hostile branch. Its author knows every path and port")
        workspace = open_workspace(self._scene.repo, self._scene.operator)
        try:
            attempts = (*probe_sandbox(workspace, told["branch"]), *reuse_approval(workspace))
        finally:
            workspace.close()
        self._show(attempts)
        self._act("4", "The same branch, delivered: it cannot lower its own bar")
        self._run("deliver", "--goal", told["goal"], "--change", told["branch"], expect=EXIT_DENIED)
        self._run("audit", "verify")
        reached = [attempt.tried for attempt in attempts if attempt.reached]
        self._check(not reached, "every attempt failed", "; ".join(reached))
        return {**self._end(), "attempts": [{"tried": item.tried, "reached": item.reached} for item in attempts]}

    def close(self) -> None:
        """End what the demo started."""
        self._scene.stop_traffic()
        if (self._scene.operator / "target").exists():
            try:
                self._target().shutdown()
            except BywireError as error:
                self._out.print(f"the target was gone already: {error.code}")

    def _known_good(self) -> None:
        scene = self._scene
        self._act("1", "A small payment service with an assistant, in a git repository of its own")
        scene.clear()
        scene.plant()
        self._run("init", "--approver", APPROVER)
        scene.configure(SETTINGS)
        scene.list_people(PEOPLE)
        self._say(
            "for the demo's sake operator.yaml says: intervals of 1 s instead of 60, 3 of them to bake instead of 5,"
        )
        self._say("a canary lease of 10 s instead of 30, and independent requests (dispersion 1.0 instead of 1.6)")
        self._run("assets", "attest", ADAPTER)
        self._act("2", "The known-good version goes through the same gates")
        goal = "First release of the storefront"
        self._approve(goal, "main")
        scene.start_traffic(self._router_port(), RATE_PER_SECOND)
        self._say(f"{RATE_PER_SECOND} requests a second now come from desktop, ios, android and mobile-web users")
        self._run("deliver", "--goal", goal, "--change", "main")

    def _approve(self, goal: str, branch: str, *more: str) -> None:
        self._run("deliver", "--goal", goal, "--change", branch, *more, expect=EXIT_PENDING)
        approval = str(self._newest()["approval_id"])
        self._say("the demo now plays the person on call, with a key of their own")
        self._run("approvals", "approve", approval, "--as", APPROVER, "--yes", "--reason", "read the packet")

    def _proof(self, act: str) -> None:
        scene = self._scene
        self._act(act, "Proof: verified, replayed, and checked by a stranger")
        self._run("audit", "verify")
        self._run("audit", "replay")
        proof, trust = scene.directory / "proof.json", scene.operator / "trust.json"
        self._run("audit", "export", "-o", str(proof))
        self._say("a stranger, in an empty directory with an empty environment:")
        code, said = self._as_stranger("audit", "verify", str(proof), "--trust", str(trust))
        self._check(code == EXIT_OK, "the stranger verifies the file", said)
        flipped = proof.with_name("flipped.json")
        flipped.write_bytes(proof.read_bytes())
        self._say(f"one bit flipped at byte {flip_byte(flipped):,} of a copy:")
        code, said = self._as_stranger("audit", "verify", str(flipped), "--trust", str(trust))
        self._check(code == EXIT_DENIED, "the flipped byte is found", said)

    def _as_stranger(self, *arguments: str) -> tuple[int, str]:
        self._say(f"$ bywire {shlex.join(arguments)}", style="cyan")
        code, said = self._scene.stranger(arguments)
        lines = said.splitlines()
        for line in [*lines[:4], *([f"        ... {len(lines) - 4} more entries"] if len(lines) > 4 else [])]:
            self._say(line)
        return code, said

    def _run(self, *arguments: str, expect: int = EXIT_OK) -> str:
        shown = shlex.join(str(Path(item).name) if item.startswith("/") else item for item in arguments)
        self._say(f"\n$ bywire {shown}", style="cyan")
        began = self._clock.now_ms()
        code, said = self._scene.bywire(arguments, quiet=self._quiet)
        seconds = (self._clock.now_ms() - began) / 1000
        self._commands.append({"command": list(arguments), "exit_code": code, "seconds": seconds})
        self._check(code == expect, f"exit code {expect}, got {code}", said)
        return said

    def _phases(self) -> list[str]:
        _, said = self._scene.bywire(("status", "--json"), quiet=True)
        return [str(delivery["phase"]) for delivery in json.loads(said)["deliveries"]]

    def _newest(self) -> dict[str, Any]:
        code, said = self._scene.bywire(("status", "--json"), quiet=True)
        self._check(code == EXIT_OK, "status answers", said)
        newest = json.loads(said)["deliveries"][-1]["id"]
        _, story = self._scene.bywire(("status", newest, "--json"), quiet=True)
        delivery: dict[str, Any] = json.loads(story)
        return delivery

    def _router_port(self) -> int:
        """The router's port; starts the target, so that users can come before the first release is up."""
        workspace = open_workspace(self._scene.repo, self._scene.operator)
        try:
            return int(workspace.target.ensure_running()["router_port"])
        finally:
            workspace.close()

    def _target(self) -> LocalTarget:
        return LocalTarget(self._scene.operator / "target", search_path=())

    def _show(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            style, word = ("bold red", "REACHED") if attempt.reached else ("green", "refused")
            self._say(f"{word:<8} {attempt.tried}: {attempt.detail}"[:200], style=style)

    def _act(self, number: str, title: str) -> None:
        if not self._quiet:
            self._out.rule(f"[bold]{number}  {title}[/]", align="left")

    def _say(self, text: str, style: str = "default") -> None:
        if not self._quiet:
            self._out.print(text.replace("[", r"\["), style=style)

    def _check(self, true: bool, what: str, said: str) -> None:
        if not true:
            raise WorkError(
                f"the demo expected: {what}. {said[-600:]}",
                code="demo_surprise",
                next_step="report this with its output",
            )

    def _end(self) -> dict[str, Any]:
        seconds = (self._clock.now_ms() - self._started_ms) / 1000
        self._act("*", f"Done in {seconds:.0f} s")
        self._say(f"the scene stays in {self._scene.directory} for you to look at; open the .html pages there")
        return {"ok": True, "seconds": seconds, "directory": str(self._scene.directory), "commands": self._commands}
