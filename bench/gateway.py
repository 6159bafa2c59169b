"""The bar of a read through the door: its CPU, with everything real but the target.

A workspace made by `bywire init` (shipped policy, SQLite, signed session, journal) and an executor that answers with a
constant. CPU is that of the whole process, so the writer thread counts; each round ends when every buffered read is in
the log, so the log's share is paid in full. Run alone: python -m bench gateway
"""

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import msgspec
import regorus

from bench.measured import at_most, tell
from bywire.adapters.sqlite_journal import READS_BUFFERED_MAX
from bywire.gateway.deciding import ENTRYPOINT
from bywire.gateway.door import Door
from bywire.model.action import ActionRequest
from bywire.wiring.connecting import connected
from bywire.wiring.door import CATALOGUE, DeliveryFacts, Shelf
from bywire.wiring.initialising import initialise
from bywire.wiring.standing import WorkspaceStanding
from bywire.wiring.workspace import open_workspace

MICROSECONDS_MAX = 250
ROUNDS = 15
CALLS = 2 * READS_BUFFERED_MAX
STATUS = {
    "version": 7,
    "stable": {"digest": "a" * 64, "port": 18080, "healthy": True},
    "canary": {"digest": "b" * 64, "port": 18081, "healthy": True, "weight": 25, "segments": ["desktop", "ios"]},
    "last_good": "a" * 64,
    "interval_now": 29_384_210,
}
INTERVAL = {"interval": 29_384_209, "arm": "canary", "segment": "mobile-web", "digest": "b" * 64, "requests": 1_204}
TELEMETRY = {"intervals": [INTERVAL | {"errors": 3, "slow": 11, "latency_ms_sum": 4_211.5, "weight": 25.0}]}


class ConstantTarget:
    """An executor whose reads cost nothing, and which carries nothing out."""

    def observe(self):
        return {}

    def execute(self, row, parameters):
        raise NotImplementedError

    def read(self, tool, parameters):
        return TELEMETRY if tool == "read_telemetry" else STATUS

    def query(self, row):
        return None


class RememberingEngine:
    """Keeps the last question, to ask it again without the door."""

    def __init__(self, engine):
        self._engine = engine
        self.question = None

    def decide(self, entrypoint, question):
        self.question = question
        return self._engine.decide(entrypoint, question)


def make_door(workspace, engine):
    """The door as wiring builds it, with a target that answers with a constant."""
    return Door(
        catalogue=CATALOGUE,
        engine=engine,
        trust=lambda: workspace.trust,
        sessions=workspace.sessions,
        operator=workspace.operator,
        journal=workspace.journal,
        approvals=workspace.approvals,
        state=workspace.state,
        standing=WorkspaceStanding(workspace),
        facts=DeliveryFacts(workspace, Shelf(workspace)),
        executors={"target": ConstantTarget()},
        credentials=connected(workspace.operator)[1],
        clock=workspace.clock,
        steps=workspace.steps,
        workspace_key=workspace.workspace_key,
        log_key=workspace.log_key,
    )


def requests(service):
    """name -> the read a release controller makes during a delivery."""
    common = {"service": service, "environment": "production", "idempotency_key": "dl-1:1:read", "change": "dl-1"}
    since = {"since_interval": 29_384_200}
    return {
        "get_deployment_status": ActionRequest(tool="get_deployment_status", parameters={}, **common),
        "read_telemetry": ActionRequest(tool="read_telemetry", parameters=since, **common),
    }


def open_bench(directory):
    """A workspace of a new git repository in `directory`."""
    repo = Path(directory) / "repo"
    repo.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True, timeout=30)
    initialise(repo, Path(directory) / "operator", approver="dana")
    return open_workspace(repo, Path(directory) / "operator", take_over=True)


def _microseconds(call, drained):
    began = time.process_time_ns()
    for _ in range(CALLS):
        call()
    drained()
    return (time.process_time_ns() - began) / CALLS / 1_000


def read_costs():
    """(tool, CPU microseconds of a call, of these the engine's own evaluation), medians over ROUNDS, turn about."""
    with tempfile.TemporaryDirectory() as directory:
        workspace = open_bench(directory)
        try:
            workspace.bundle()
            token = workspace.token("agent:release-controller", "dl-1")
            for tool, request in requests(workspace.operator.service).items():
                yield tool, *_read_cost(workspace, token, request)
        finally:
            workspace.close()


def raw_engine(bundle):
    """The interpreter alone, with the bundle that decides."""
    engine = regorus.Engine()
    for module in bundle.modules:
        engine.add_policy(module.path, module.source)
    engine.add_data_json(bundle.data_json())
    return engine


def _read_cost(workspace, token, request):
    door, remembering = make_door(workspace, workspace.engine), RememberingEngine(workspace.engine())
    make_door(workspace, lambda: remembering).call(token, request)
    engine = raw_engine(workspace.bundle())
    question = msgspec.json.encode(remembering.question).decode()

    def call():
        outcome = door.call(token, request)
        assert outcome.status == "committed", outcome

    def evaluate():
        engine.set_input_json(question)
        engine.eval_rule_as_json(ENTRYPOINT)

    def drained():
        workspace.journal.flush_reads()
        workspace.writer.run(lambda _: None)

    for warm in ((call, drained), (evaluate, int)):
        _microseconds(*warm)
    pairs = [(_microseconds(call, drained), _microseconds(evaluate, int)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def bars():
    """One bar a tool."""
    for tool, microseconds, engine in read_costs():
        tell(f"{tool}: engine alone {engine:.0f} us, all the rest {microseconds - engine:.0f} us")
        yield at_most(f"gateway_read_cpu_{tool}", microseconds, "us", MICROSECONDS_MAX, digits=1)
