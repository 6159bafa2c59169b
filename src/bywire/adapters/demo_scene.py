"""The stage of `bywire demo`: a git repository made from the example, real traffic, and the command line itself."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from bywire.model.errors import ConfigError, WorkError

MARKER = ".bywire-demo"
COMMAND_SECONDS_MAX = 300
_GIT_ENV = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
_NEVER_COPIED = shutil.ignore_patterns("__pycache__", "reports", "change.json", ".coverage*", ".hypothesis")


def example(name: str) -> Path:
    """A directory of the shipped examples: beside the package when installed, in the source tree otherwise."""
    for place in (Path(str(resources.files("bywire"))) / "examples", Path(__file__).parents[3] / "examples"):
        if (place / name).is_dir():
            return place / name
    raise ConfigError(
        f"the example {name} is not installed", code="example_missing", next_step="reinstall bywire from its wheel"
    )


class Scene:
    """A directory with `repo`, `operator` and what the demo writes; made anew each time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.repo = directory / "repo"
        self.operator = directory / "operator"
        self._traffic: subprocess.Popen[bytes] | None = None

    def clear(self) -> None:
        """Remove an earlier demo. ConfigError `not_a_demo` for a directory that holds anything else."""
        if self.directory.exists():
            if any(self.directory.iterdir()) and not (self.directory / MARKER).exists():
                raise ConfigError(
                    f"{self.directory} holds something that is no demo",
                    code="not_a_demo",
                    next_step="choose an empty place: bywire demo --directory DIR",
                )
            shutil.rmtree(self.directory)
        self.directory.mkdir(mode=0o700, parents=True)
        (self.directory / MARKER).write_text("made by `bywire demo`; removed by the next one\n")

    def plant(self) -> None:
        """The known-good version on branch main."""
        shutil.copytree(example("storefront"), self.repo, ignore=_NEVER_COPIED)
        self._git("init", "-q", "-b", "main")
        self._git("config", "user.name", "Dana Developer")
        self._git("config", "user.email", "dana@storefront.example")
        self._commit("Storefront 1.4.0", "Dana Developer <dana@storefront.example>")

    def branch(self, change: str, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The branch of one example change; returns its description (branch, goal, author)."""
        overlay = example(f"storefront_changes/{change}")
        told: dict[str, Any] = json.loads((overlay / "change.json").read_text())
        self._git("switch", "-q", "-c", told["branch"], "main")
        shutil.copytree(overlay, self.repo, ignore=_NEVER_COPIED, dirs_exist_ok=True)
        for name, text in (extra or {}).items():
            (self.repo / name).write_text(text)
        self._commit(told["message"], f"{told['author']['name']} <{told['author']['email']}>")
        self._git("switch", "-q", "main")
        return told

    def configure(self, settings: Mapping[str, str]) -> None:
        """Change values of the operator's file, as an operator would with an editor."""
        place = self.operator / "operator.yaml"
        text = place.read_text()
        for name, value in settings.items():
            text, count = re.subn(rf"(?m)^(\s*){re.escape(name)}: \S+", rf"\g<1>{name}: {value}", text)
            if count != 1:
                raise WorkError(f"operator.yaml has no single {name}", code="demo_failed", next_step="report this")
        place.write_text(text)

    def list_people(self, people: Mapping[str, str]) -> None:
        """Add persons (name to e-mail) to the operator's file."""
        place = self.operator / "operator.yaml"
        rows = [f'  - {{id: "person:{name}", emails: [{email}], roles: []}}\n' for name, email in people.items()]
        place.write_text(place.read_text().replace("people:\n", "people:\n" + "".join(rows), 1))

    def bywire(self, arguments: Sequence[str], *, quiet: bool = False) -> tuple[int, str]:
        """Run the real command line. Returns exit code and, when `quiet`, what it printed."""
        command = [str(Path(sys.executable).with_name("bywire")), "--repo", str(self.repo)]
        command += ["--operator", str(self.operator), *arguments]
        done = subprocess.run(
            command,
            cwd=self.directory,
            check=False,
            timeout=COMMAND_SECONDS_MAX,
            stdout=subprocess.PIPE if quiet else None,
        )
        return done.returncode, (done.stdout or b"").decode()

    def stranger(self, arguments: Sequence[str]) -> tuple[int, str]:
        """Run the command line in an empty directory with an empty environment, as another user's machine would."""
        place = self.directory / "elsewhere"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        command = [str(Path(sys.executable).with_name("bywire")), *arguments]
        environment = {"PATH": os.defpath, "HOME": str(place), "USER": "stranger", "LANG": "C.UTF-8"}
        done = subprocess.run(
            command, cwd=place, env=environment, check=False, timeout=COMMAND_SECONDS_MAX, stdout=subprocess.PIPE
        )
        return done.returncode, done.stdout.decode()

    def start_traffic(self, port: int, rate: int) -> None:
        """Live users, until `stop_traffic`."""
        command = [sys.executable, "-I", "-m", "bywire.adapters.traffic", "--url", f"http://127.0.0.1:{port}"]
        command += ["--spec", str(example("storefront") / "traffic.json"), "--rate", str(rate), "--seed", "7"]
        with (self.directory / "traffic.json").open("wb") as summary:
            self._traffic = subprocess.Popen(command, stdout=summary, stderr=subprocess.DEVNULL)

    def stop_traffic(self) -> None:
        """End the users this scene started."""
        if self._traffic is None:
            return
        self._traffic.send_signal(signal.SIGTERM)
        try:
            self._traffic.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._traffic.kill()
            self._traffic.wait()
        self._traffic = None

    def head(self, branch: str) -> str:
        """The commit of a branch."""
        return self._git("rev-parse", branch).strip()

    def _commit(self, message: str, author: str) -> None:
        self._git("add", "-A")
        self._git("commit", "-q", "-m", message, "--author", author)

    def _git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory), **_GIT_ENV}
        done = subprocess.run(
            ["git", "-C", str(self.repo), *arguments], check=False, capture_output=True, env=environment, timeout=60
        )
        if done.returncode:
            raise WorkError(
                f"git {arguments[0]} failed: {done.stderr.decode().strip()}", code="git_failed", next_step="check git"
            )
        return done.stdout.decode()


def flip_byte(path: Path) -> int:
    """Flip the lowest bit of the byte in the middle of a file; returns its position."""
    data = bytearray(path.read_bytes())
    position = len(data) // 2
    data[position] ^= 1
    path.write_bytes(data)
    return position
