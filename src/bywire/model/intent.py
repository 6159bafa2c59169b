"""Service intent: what `bywire.yaml` says about a service. Read from the protected base revision (RULES 1)."""

import msgspec


class Command(msgspec.Struct, frozen=True):
    """One declared command: an argument list, a time limit, and where its reports land (relative paths)."""

    run: tuple[str, ...]
    timeout_seconds: int = 120
    junit: str = ""
    coverage: str = ""


class StartCommand(msgspec.Struct, frozen=True):
    """How an instance is started: `ready` is the path answering 200 once it can serve; the port comes in `port_env`."""

    run: tuple[str, ...]
    ready: str = "/healthz"
    ready_timeout_seconds: int = 20
    port_env: str = "PORT"


class WarmUp(msgspec.Struct, frozen=True):
    """A path POSTed to a new instance before it meets traffic."""

    path: str
    timeout_seconds: int = 20


class Sli(msgspec.Struct, frozen=True):
    """One service level indicator. `kind` is `errors` (5xx share) or `slow` (share above `threshold_ms`)."""

    name: str
    kind: str
    objective: float
    threshold_ms: int = 0


class Segments(msgspec.Struct, frozen=True):
    """How requests are told apart: a header and its known values."""

    header: str
    values: tuple[str, ...]


class ServiceIntent(msgspec.Struct, frozen=True):
    """A parsed and validated bywire.yaml. Optional commands are None."""

    service: str
    owners: tuple[str, ...]
    dependencies: tuple[str, ...] = ()
    build: Command | None = None
    lint: Command | None = None
    test: Command | None = None
    evaluate: Command | None = None
    start: StartCommand | None = None
    warm: WarmUp | None = None
    artifact_include: tuple[str, ...] = ("**",)
    manifests: str = ""
    assets: tuple[str, ...] = ()
    slis: tuple[Sli, ...] = ()
    segments: Segments | None = None
    rollout_steps: tuple[int, ...] = (5, 25, 50, 100)
