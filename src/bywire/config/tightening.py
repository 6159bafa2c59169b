"""What a branch's own bywire.yaml may change about its own judgement: more scrutiny, never less (RULES 1).

`tighten` is a meet: the result is at least as strict as the base in every field, and whatever the branch asked beyond
that is named. It is idempotent, and a branch equal to the base changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from bywire.model.intent import Command, Segments, ServiceIntent, Sli, StartCommand, WarmUp

T = TypeVar("T")
COMMANDS = ("build", "lint", "test", "evaluate")


class _Loosened:
    """Collects the names of fields by which the branch asked for less."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def keep(self, name: str, base: T, branch: T) -> T:
        """Base wins; any difference is an attempt."""
        if branch != base:
            self.names.append(name)
        return base

    def lower(self, name: str, base: int, branch: int) -> int:
        """The smaller of two limits."""
        if branch > base:
            self.names.append(name)
        return min(base, branch)

    def higher(self, name: str, base: float, branch: float) -> float:
        """The larger of two objectives."""
        if branch < base:
            self.names.append(name)
        return max(base, branch)

    def union(self, name: str, base: Sequence[str], branch: Iterable[str]) -> tuple[str, ...]:
        """Everything of the base, then what the branch adds."""
        added = tuple(branch)
        if not set(base) <= set(added):
            self.names.append(name)
        return (*base, *(item for item in added if item not in base))

    def same_set(self, name: str, base: tuple[str, ...], branch: tuple[str, ...]) -> tuple[str, ...]:
        """Base wins; order says nothing."""
        return base if set(base) == set(branch) else self.keep(name, base, branch)

    def added(self, name: str, base: T | None, branch: T | None) -> bool:
        """Whether base has nothing to defend or the branch dropped it; then `base or branch` is the answer."""
        if base is not None and branch is None:
            self.names.append(name)
        return base is None or branch is None


def tighten(base: ServiceIntent, branch: ServiceIntent) -> tuple[ServiceIntent, tuple[str, ...]]:
    """Return (the intent in force, names of fields the branch tried to loosen, in the file's order).

    A branch may add dependencies, commands, asset manifests, indicators, segments and a warm-up; lower time limits and
    latency thresholds; raise objectives; take smaller or more rollout steps. The base wins elsewhere.
    """
    seen = _Loosened()
    intent = ServiceIntent(
        service=seen.keep("service", base.service, branch.service),
        # A new owner might approve this very change; a new or missing path changes what evidence is about.
        owners=seen.same_set("owners", base.owners, branch.owners),
        dependencies=seen.union("dependencies", base.dependencies, branch.dependencies),
        build=_command(seen, "commands.build", base.build, branch.build),
        lint=_command(seen, "commands.lint", base.lint, branch.lint),
        test=_command(seen, "commands.test", base.test, branch.test),
        evaluate=_command(seen, "commands.evaluate", base.evaluate, branch.evaluate),
        start=_start(seen, base.start, branch.start),
        warm=_warm(seen, base.warm, branch.warm),
        artifact_include=seen.same_set("artifact.include", base.artifact_include, branch.artifact_include),
        manifests=_only_add(seen, "manifests", base.manifests, branch.manifests),
        assets=seen.union("assets", base.assets, branch.assets),
        slis=_slis(seen, base.slis, branch.slis),
        segments=_segments(seen, base.segments, branch.segments),
        rollout_steps=_steps(seen, base.rollout_steps, branch.rollout_steps),
    )
    return intent, tuple(seen.names)


def _only_add(seen: _Loosened, name: str, base: str, branch: str) -> str:
    return seen.keep(name, base, branch) if base else branch


def _command(seen: _Loosened, name: str, base: Command | None, branch: Command | None) -> Command | None:
    if seen.added(name, base, branch) or base is None or branch is None:
        return base or branch
    return Command(
        run=seen.keep(f"{name}.run", base.run, branch.run),
        timeout_seconds=seen.lower(f"{name}.timeout_seconds", base.timeout_seconds, branch.timeout_seconds),
        junit=_only_add(seen, f"{name}.junit", base.junit, branch.junit),
        coverage=_only_add(seen, f"{name}.coverage", base.coverage, branch.coverage),
    )


def _start(seen: _Loosened, base: StartCommand | None, branch: StartCommand | None) -> StartCommand | None:
    name = "commands.start"
    if seen.added(name, base, branch) or base is None or branch is None:
        return base or branch
    seconds = seen.lower(f"{name}.ready_timeout_seconds", base.ready_timeout_seconds, branch.ready_timeout_seconds)
    return StartCommand(
        run=seen.keep(f"{name}.run", base.run, branch.run),
        ready=seen.keep(f"{name}.ready", base.ready, branch.ready),
        ready_timeout_seconds=seconds,
        port_env=seen.keep(f"{name}.port_env", base.port_env, branch.port_env),
    )


def _warm(seen: _Loosened, base: WarmUp | None, branch: WarmUp | None) -> WarmUp | None:
    name = "commands.warm"
    if seen.added(name, base, branch) or base is None or branch is None:
        return base or branch
    return WarmUp(
        path=seen.keep(f"{name}.path", base.path, branch.path),
        timeout_seconds=seen.lower(f"{name}.timeout_seconds", base.timeout_seconds, branch.timeout_seconds),
    )


def _slis(seen: _Loosened, base: tuple[Sli, ...], branch: tuple[Sli, ...]) -> tuple[Sli, ...]:
    theirs = {sli.name: sli for sli in branch}
    names = {sli.name for sli in base}
    return (
        *(_sli(seen, sli, theirs.get(sli.name)) for sli in base),
        *(sli for sli in branch if sli.name not in names),
    )


def _sli(seen: _Loosened, base: Sli, branch: Sli | None) -> Sli:
    name = f"slis.{base.name}"
    if branch is None or branch.kind != base.kind:
        return seen.keep(name, base, branch) or base
    return Sli(
        name=base.name,
        kind=base.kind,
        objective=seen.higher(f"{name}.objective", base.objective, branch.objective),
        threshold_ms=seen.lower(f"{name}.threshold_ms", base.threshold_ms, branch.threshold_ms),
    )


def _segments(seen: _Loosened, base: Segments | None, branch: Segments | None) -> Segments | None:
    if seen.added("segments", base, branch) or base is None or branch is None:
        return base or branch
    if branch.header != base.header:
        return seen.keep("segments.header", base, branch)
    return Segments(base.header, seen.union("segments.values", base.values, branch.values))


def _steps(seen: _Loosened, base: tuple[int, ...], branch: tuple[int, ...]) -> tuple[int, ...]:
    """Tighter: starts no higher, and stops wherever the base stops after its first step."""
    if branch[0] <= base[0] and set(base[1:]) <= set(branch):
        return branch
    return seen.keep("rollout.steps", base, branch)
