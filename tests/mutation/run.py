"""python tests/mutation/run.py [ROOM...]: how many single changes of each room its tests notice, one JSON bar a room.

Works on a copy of the tree, so that the tree may change meanwhile. 1. One run under coverage says which test reaches
which line. 2. A process that has collected the tests forks once for every change inside a function, puts the changed
code into the function and runs the tests that reach it, cheapest first. 3. What acts at import (constants, bounds of
structs, defaults) is imported afresh with the change in it. A change is killed when a test fails, the import fails, or
the time limit passes. What survives is shown; what no test can see is listed in equivalent.txt with its reason, and an
entry there that fits no surviving change any more fails the run.

--only TEXT judges only the changes whose name contains it; --show lists them; --workers N (default 2).
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mutants import Mutant, Mutated
from rooms import KILLED_MIN, ROOMS, expanded
from trial import Trial

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
LEFT_OUT = shutil.ignore_patterns(".venv", ".git", ".demo", "__pycache__", ".mypy_cache", ".ruff_cache", "*.db")


def main(arguments: list[str]) -> int:
    """Judge the named rooms (all of them when none is named); 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", choices=[[], *ROOMS], metavar="ROOM")
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    missed = False
    with tempfile.TemporaryDirectory(prefix="bywire-mutation-") as place:
        copy = Path(place) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
        for room in given.rooms or ROOMS:
            missed |= not _judge(room, copy, given)
    return int(missed)


def _judge(room: str, copy: Path, given: argparse.Namespace) -> bool:
    began = time.monotonic()
    sources, tests = (expanded(copy, patterns) for patterns in ROOMS[room])
    modules = {path: Mutated((copy / path).read_text(), str(copy / path)) for path in sources}
    wanted = {
        path: [mutant for mutant in module.mutants if given.only in mutant.name(_short(path))]
        for path, module in modules.items()
    }
    if given.show:
        for path, mutants in wanted.items():
            for mutant in mutants:
                _tell(f"{path}:{mutant.line}: {mutant.name(_short(path))}")
        return True
    trial = Trial(copy, tests, modules, given.workers)
    survived = trial.survivors(wanted)
    accepted = _accepted(room)
    named = {mutant.name(_short(path)): (path, mutant) for path, mutant in survived}
    total = sum(map(len, wanted.values()))
    left = {name: found for name, found in named.items() if name not in accepted}
    stale = [] if given.only else sorted(set(accepted) - set(named))
    _report(left.values(), stale, trial.reached)
    judged = total - (len(named) - len(left))
    value = (judged - len(left)) / judged if judged else 1.0
    bar = {
        "bar": f"mutation_killed_{room}",
        "value": round(value, 4),
        "unit": "ratio",
        "limit": KILLED_MIN,
        "ok": value >= KILLED_MIN and not stale,
        "changes": total,
        "survived": len(left),
        "equivalent": len(named) - len(left),
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(bar), flush=True)
    return bool(bar["ok"])


def _accepted(room: str) -> dict[str, str]:
    """name of the change: why no test can see it. Entries are pairs of lines in the section of their room."""
    found: dict[str, str] = {}
    section = name = ""
    for line in EQUIVALENT.read_text().splitlines() if EQUIVALENT.exists() else []:
        if line.startswith("["):
            section = line.strip("[]")
        elif line.startswith("    "):
            found.update({name: line.strip()} if section == room else {})
        elif line and not line.startswith("#"):
            name = line.strip()
    return found


def _report(left: Iterable[tuple[str, Mutant]], stale: list[str], reached: set[tuple[str, int]]) -> None:
    for path, mutant in sorted(left, key=lambda found: (found[0], found[1].line)):
        alone = "" if (path, mutant.number) in reached else "   (no test reaches it)"
        _tell(f"{path}:{mutant.line} in {mutant.owner or '<module>'}{alone}")
        _tell(f"  - {mutant.before}\n  + {mutant.after}{f' #{mutant.nth}' if mutant.nth > 1 else ''}")
    for name in stale:
        _tell(f"equivalent.txt names a change that is killed or gone: {name}")


def _short(path: str) -> str:
    return path.removeprefix("src/bywire/").removesuffix(".py")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
