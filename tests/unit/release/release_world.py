"""A world for the rollout to act in: a router, a fleet and a clock, all in memory."""

import msgspec
from release_fleet import ARTIFACT, LAST_GOOD, SEGMENTS, binomial, row, seeded, traffic

from bywire.model.decision import OutcomeStatus
from bywire.model.rollout_plan import RolloutPlan, RolloutStep
from bywire.release.judge_policy import JudgePolicy
from bywire.release.rollout import transition
from bywire.release.rollout_state import FINAL, ActionOutcome, RolloutLimits, Telemetry, Tick, begin

JUDGE = JudgePolicy(bake_intervals_min=3, requests_min=20, hold_intervals_max=60)
LIMITS = RolloutLimits(
    judge=JUDGE, interval_seconds=1, lease_seconds=10, settle_timeout_seconds=20, verify_timeout_intervals=10
)
BASELINE = traffic(seeded(1), range(-20, 0), 0)


def plan(weights=(5, 25, 50, 100), ceiling=100, last_good=LAST_GOOD, warm=True):
    steps = tuple(RolloutStep(weight) for weight in weights)
    return RolloutPlan("storefront", "production", ARTIFACT, last_good, steps, ceiling, warm, "test")


class World:
    """Answers the rollout's requests: a router, a fleet and a clock. `answers` overrides the outcome of a tool."""

    def __init__(self, the_plan=None, answers=None, harmed=None, limits=LIMITS, per_segment=500, silent=False):
        self.now_ms = 0
        self.state = begin("rollout-1", the_plan or plan(), limits, BASELINE)
        self.answers = answers or {}
        self.harmed = harmed
        self.per_segment = per_segment
        self.silent = silent
        self.weight, self.serving = 0, LAST_GOOD
        self.rows, self.asked, self.keys = [], [], {}
        self.rng = seeded(3)

    def run(self, seconds=400):
        for _ in range(seconds):
            if self.state.phase in FINAL:
                break
            self.step(Tick())
            interval = self.now_ms // 1000
            self.now_ms += 1000
            if self.silent:
                continue
            if self.weight < 100 or self.serving == ARTIFACT:
                fresh = traffic(self.rng, [interval], self.weight, per_segment=self.per_segment, harmed=self.harmed)
                self.rows += [
                    msgspec.structs.replace(r, digest=self.serving if r.arm == "stable" else ARTIFACT) for r in fresh
                ]
            else:
                self.rows += [
                    row(
                        interval, "canary", s, self.per_segment, binomial(self.rng, self.per_segment, 0.002), weight=100
                    )
                    for s in SEGMENTS
                ]
        return self

    def step(self, observation):
        self.state, requests = transition(self.state, observation, self.now_ms)
        for request in requests:
            self.answer(request)

    def answer(self, request):
        self.asked.append(request)
        if request.tool == "read_telemetry":
            since, through = request.parameters["since_interval"], request.parameters["through_interval"]
            self.step(Telemetry(tuple(r for r in self.rows if since <= r.interval <= through)))
            return
        status = self.answers.get(request.tool, OutcomeStatus.COMMITTED)
        status = status.pop(0) if isinstance(status, list) and len(status) > 1 else status
        status = status[0] if isinstance(status, list) else status
        if status is OutcomeStatus.COMMITTED:
            self.act(request)
        self.step(ActionOutcome(request.key, status))

    def act(self, request):
        if request.tool == "set_canary_weight":
            self.weight = request.parameters["weight"]
        if request.tool in {"promote_release", "rollback_release"}:
            self.weight, self.serving = 0, request.parameters["artifact"]

    def tools(self):
        """What was asked for, without repeats and without reading and renewing."""
        seen = dict.fromkeys((r.key, r.tool, r.parameters.get("weight")) for r in self.asked)
        return [(tool, weight) if weight else tool for _, tool, weight in seen if tool not in QUIET]


QUIET = {"read_telemetry", "renew_canary_lease"}
