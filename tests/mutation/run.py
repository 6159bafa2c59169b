"""python tests/mutation/run.py [ROOM...]: how many single changes of each room its tests notice, one JSON bar a room.

Works on a copy of the tree, so that the tree may change meanwhile. 1. One run under coverage says which test reaches
which line. 2. A process that has collected the tests forks once for every change inside a function, puts the changed
code into the function and runs the tests that reach it: those that noticed its neighbours, then the cheapest. 3. What
acts at import (constants, bounds of structs, defaults) is imported afresh with the change in it, and asked are the
tests that have to do with what it names. A change is killed when a test fails, the import fails, or the time limit
passes. 4. What is left is asked of all other tests, too, but only when the bar would be missed without that: leaving
it out can only count a noticed change as unnoticed. What survives is shown; what no test can see is listed in
equivalent.txt with its reason, and an entry there that fits no surviving change any more fails the run.

--only TEXT judges only the changes whose name contains it; --show lists them; --workers N (default 2); --continue FILE
keeps the judgements there and takes over those of an earlier run that still hold (see judgements.py).
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Container, Iterable, Sized
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from judgements import Digests, Judgement, Judgements
from mutants import Mutant, Mutated
from progress import Progress
from rooms import KILLED_MIN, ROOMS, expanded
from trial import Found, Trial

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
    parser.add_argument("--continue", dest="judgements", type=Path)
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the copy and the children go, too
    missed = False
    with tempfile.TemporaryDirectory(prefix="bywire-mutation-", ignore_cleanup_errors=True) as place:
        copy = Path(place) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
        for room in given.rooms or ROOMS:
            missed |= not _judge(room, copy, given)
    return int(missed)


def _judge(room: str, copy: Path, given: argparse.Namespace) -> bool:
    began = time.monotonic()
    sources, tests = (expanded(copy, patterns) for patterns in ROOMS[room])
    modules = {path: Mutated((copy / path).read_text(), str(copy / path)) for path in sources}
    wanted = [
        (path, mutant)
        for path, module in modules.items()
        for mutant in module.mutants
        if given.only in mutant.name(_short(path))
    ]
    if given.show:
        for path, mutant in wanted:
            _tell(f"{path}:{mutant.line}: {mutant.name(_short(path))}")
        return True
    accepted = _accepted(room)
    trial = Trial(copy, tests, modules, given.workers)
    earlier = Judgements(given.judgements, Digests(copy, tests))
    named = _survivors(trial, wanted, accepted, Progress(room, len(wanted), _tell), earlier)
    left = {name: found for name, found in named.items() if name not in accepted}
    stale = [] if given.only else sorted(set(accepted) - set(named))
    _report(left.values(), stale, trial)
    value = _killed(len(wanted), named, left)
    bar = {
        "bar": f"mutation_killed_{room}",
        "value": round(value, 4),
        "unit": "ratio",
        "limit": KILLED_MIN,
        "ok": value >= KILLED_MIN and not stale,
        "changes": len(wanted),
        "survived": len(left),
        "equivalent": len(named) - len(left),
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(bar), flush=True)
    return bool(bar["ok"])


def _survivors(
    trial: Trial, wanted: list[Found], accepted: Container[str], progress: Progress, earlier: Judgements
) -> dict[str, Found]:
    """name: change, of what nothing noticed, after a second look when the bar would be missed without."""
    named = {mutant.name(_short(path)): (path, mutant) for path, mutant in wanted}
    held = {name: judged for name, (path, _) in named.items() if (judged := earlier.held(name, path))}
    progress.took_over(len(held), sum(judged.killer is None for judged in held.values()))
    open_ = {name: found for name, found in named.items() if name in held and held[name].killer is None}
    for (path, mutant), killer in trial.first_look([found for name, found in named.items() if name not in held]):
        name = mutant.name(_short(path))
        earlier.note(name, path, Judgement(killer))
        progress.judged(_shown(path, mutant) if killer is None and name not in accepted else "", noticed=bool(killer))
        if killer is None:
            open_[name] = path, mutant
    left = {name: found for name, found in open_.items() if name not in accepted}
    if _killed(len(wanted), open_, left) >= KILLED_MIN:
        return open_
    again = [found for name, found in left.items() if name not in held or not held[name].by_all]
    _tell(f"{progress.room}: below {KILLED_MIN}, so all other tests are asked about {len(again)} changes left")
    progress.begins_again(len(again))
    for (path, mutant), killer in trial.second_look(again):
        name = mutant.name(_short(path))
        earlier.note(name, path, Judgement(killer, by_all=True))
        progress.judged("", noticed=bool(killer))
        if killer is not None:
            del open_[name]
    return open_


def _killed(total: int, unnoticed: Sized, left: Sized) -> float:
    """The share of noticed changes; `left` are the unnoticed that are not accepted as equivalent."""
    judged = total - (len(unnoticed) - len(left))
    return (judged - len(left)) / judged if judged else 1.0


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


def _report(left: Iterable[Found], stale: list[str], trial: Trial) -> None:
    for path, mutant in sorted(left, key=lambda found: (found[0], found[1].line)):
        _tell(_shown(path, mutant, "" if trial.reached(path, mutant) else "   (no test reaches it)"))
    for name in stale:
        _tell(f"equivalent.txt names a change that is killed or gone: {name}")


def _shown(path: str, mutant: Mutant, alone: str = "") -> str:
    where = f"{path}:{mutant.line} in {mutant.owner or '<module>'}{alone}"
    return f"{where}\n  - {mutant.before}\n  + {mutant.after}{f' #{mutant.nth}' if mutant.nth > 1 else ''}"


def _short(path: str) -> str:
    return path.removeprefix("src/bywire/").removesuffix(".py")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
