"""The door against a small model of it, under any interleaving of calls, verdicts, stops, freezes, clocks and restarts.

The model knows what may happen, not how: which calls may take effect, how often a key does, what is used up. Whatever
happens between a decision and its intent is tried there, where it hurts most (RULES 11, 12, 16).
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from door_world import (
    BUNDLE,
    CONTROLLER,
    LAST_GOOD,
    NOW,
    OPERATOR,
    RESPONDER,
    ScriptedEngine,
    World,
    ask,
)
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bywire.model.decision import Effect, OutcomeStatus
from bywire.model.errors import ConflictError, TargetError

HOUR_MS = 3_600_000
TTL_MS = OPERATOR.limits.approval_ttl_seconds * 1_000
BUDGET = 4
CALLS_MAX = 14
STOPS = {"all": "", "agent": CONTROLLER, "service": "storefront"}
ATTEMPTED = {OutcomeStatus.COMMITTED, OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN}
STATE_OF = {OutcomeStatus.COMMITTED: "committed", OutcomeStatus.FAILED: "failed", OutcomeStatus.UNKNOWN: "unknown"}
KEYS = st.sampled_from(["k1", "k2", "k3"])
# A tool that needs nobody, one that needs an approval, and one that only takes back.
TOOLS = st.sampled_from(["send_note", "set_canary_weight", "rollback_release"])
WEIGHTS = st.sampled_from([5, 6])
WHO = st.sampled_from([CONTROLLER, RESPONDER])
MEANWHILE = st.sampled_from(["stop", "freeze", "expire", "spend", "revoke", "bundle", "blip", "use up"])
ANSWERS = st.sampled_from(["done", "done", "done", "refused", "silent"])


class Rules(ScriptedEngine):
    """The policy in four lines: taking back always, after an approval that fits, or what needs none."""

    def answer(self, question):
        grant, action, state = question["grant"], question["action"], question["state"]
        if action["tool"] != "set_canary_weight":
            return Effect.ALLOW
        if grant is None or question["now_ms"] >= grant["expires_at_ms"] or grant["uses_left"] < 1 or grant["revoked"]:
            return Effect.APPROVAL_NEEDED
        fits = grant["action_digest"] == action["digest"] and grant["bundle_digest"] == state["bundle_digest"]
        return Effect.ALLOW if fits else Effect.APPROVAL_NEEDED


@dataclass
class Asked:
    """An approval as the model knows it."""

    action: str
    bundle: str
    canary: str
    ends_ms: int
    verdict: str = ""
    revoked: bool = False
    uses: int = 0

    def alive(self, now_ms, *here):
        spent = self.revoked or not self.uses or now_ms >= self.ends_ms
        return self.verdict == "approved" and not spent and (self.bundle, self.canary) == here


@dataclass
class Called:
    """A key that took effect: for which action, and how it ended."""

    action: str
    state: str
    tool: str
    sent: int = 1


@dataclass
class Model:
    now_ms: int = NOW
    stops: set = field(default_factory=set)
    frozen: bool = False
    bundle: str = BUNDLE
    used: dict = field(default_factory=dict)
    asked: dict = field(default_factory=dict)
    called: dict = field(default_factory=dict)

    @property
    def hour(self):
        return self.now_ms // HOUR_MS

    def left(self, principal):
        return BUDGET - self.used.get((principal, self.hour), 0)

    def stopped(self, principal):
        return any(scope != "agent" or principal == CONTROLLER for scope in self.stops)


class DoorMachine(RuleBasedStateMachine):
    """Drives the real door on SQLite and the model side by side."""

    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="door-model-"))
        limits = msgspec.structs.replace(OPERATOR.limits, actions_per_hour=BUDGET)
        self.operator = msgspec.structs.replace(OPERATOR, limits=limits)
        self.model = Model()
        self.engine = Rules()
        self.effects = []
        self.observing = {"version": 7, "stable": LAST_GOOD, "canary": "", "weight": 0}
        self.open()

    def open(self):
        self.world = World(self.directory, engine=self.engine, operator=self.operator)
        self.world.clock.now = self.model.now_ms
        self.world.target.effects = self.effects
        self.world.target.observing = self.observing
        self.tokens = {who: self.world.token(who) for who in (CONTROLLER, RESPONDER)}

    def teardown(self):
        try:
            assert self.world.verify().ok
            assert [leaf["kind"] for leaf in self.world.entries("intent")] == ["intent"] * len(self.model.called)
        finally:
            self.world.close()
            shutil.rmtree(self.directory)

    # --- calls ---

    @precondition(lambda self: len(self.effects) < CALLS_MAX)
    @rule(tool=TOOLS, key=KEYS, weight=WEIGHTS, who=WHO, answer=ANSWERS)
    def call(self, tool, key, weight, who, answer):
        """One call with nothing in its way but what is there."""
        self.send(tool, key, weight, who, answer, "")

    @precondition(lambda self: len(self.effects) < CALLS_MAX)
    @rule(tool=TOOLS, key=KEYS, weight=WEIGHTS, who=WHO, answer=ANSWERS, meanwhile=MEANWHILE)
    def race(self, tool, key, weight, who, answer, meanwhile):
        """One call that would pass, and something that happens between its decision and its intent."""
        if self.model.stops or self.model.frozen:
            self.resume()
        self.engine.bundle = self.model.bundle
        self.agree(tool, weight, who)
        self.send(tool, key, weight, who, answer, meanwhile)
        self.engine.bundle = self.model.bundle

    def agree(self, tool, weight, who):
        """Have the approval that the call needs, unless its key is used already."""
        action = self.action_of(tool, weight, who)
        alive = any(it.action == action and it.alive(*self.here()) for it in self.newest())
        if tool == "set_canary_weight" and not alive:
            self.send(tool, "asking", weight, who, "done", "")
            for name, asked in self.model.asked.items():
                if asked.action == action and not asked.verdict:
                    self.settle(name, "approved")

    def here(self):
        return self.model.now_ms, self.model.bundle, self.world.target.observing["canary"]

    def newest(self):
        """The last decided approval of each action: an older one is not looked at when it fits no more."""
        return {it.action: it for it in self.model.asked.values() if it.verdict}.values()

    @staticmethod
    def action_of(tool, weight, who):
        return f"{tool}({'' if tool == 'rollback_release' else weight}) by {who}"

    def send(self, tool, key, weight, who, answer, meanwhile):
        self.later(1)  # two requests of one millisecond would be one packet
        changes = {"set_canary_weight": {"weight": weight}, "send_note": {"text": str(weight)}}.get(tool, {})
        action = self.action_of(tool, weight, who)
        full_key = f"{who}|{tool}|{key}"
        known = self.model.called.get(full_key)
        before, canary = len(self.effects), self.here()[2]
        answers = {"refused": TargetError("no", code="refused", next_step="x"), "silent": TimeoutError("nobody knows")}
        self.world.target.raises = answers.get(answer)
        if meanwhile:
            self.world.steps.hooks["door.decided"] = lambda: self.happen(meanwhile, tool, weight, who)
        epochs = self.epochs()
        try:
            outcome = self.world.door.call(self.tokens[who], ask(tool, key, **changes))
        except ConflictError:
            assert known is not None
            assert known.action != action
            assert len(self.effects) == before
            return
        finally:
            self.world.target.raises = None
            self.world.steps.hooks.pop("door.decided", None)
        if known is not None:
            self.repeated(known, outcome, action, before)
        elif outcome.status in ATTEMPTED:
            before += meanwhile == "use up"
            self.took_effect(full_key, tool, action, who, outcome, before, canary)
            assert epochs == self.epochs() or tool == "rollback_release", "a stop in between aborts"
        else:
            self.did_nothing(full_key, action, outcome, len(self.effects) if meanwhile == "use up" else before)
            if not meanwhile:
                self.was_right(tool, action, who)

    def epochs(self):
        """Everything that a stop or its end moves."""
        return self.world.rows("SELECT id, lifted_ms FROM stops")

    def repeated(self, known, outcome, action, before):
        """The same key again: the recorded answer, and nothing is sent."""
        assert known.action == action
        assert outcome.replayed or known.state == "unknown"
        assert STATE_OF[outcome.status] == known.state
        assert len(self.effects) == before

    def took_effect(self, key, tool, action, who, outcome, before, canary):
        """It may have happened only if everything allowed it, at the moment of the intent."""
        model, reducing = self.model, tool == "rollback_release"
        assert len(self.effects) == before + 1
        assert not model.frozen
        if not reducing:
            assert not model.stopped(who)
            assert model.left(who) > 0
            model.used[who, model.hour] = model.used.get((who, model.hour), 0) + 1
        if tool == "set_canary_weight":
            here = (model.now_ms, model.bundle, canary)
            used = [it for it in model.asked.values() if it.action == action and it.alive(*here)]
            assert used, "an approval that fits was alive"
            used[-1].uses -= 1
        model.called[key] = Called(action, STATE_OF[outcome.status], tool)

    def did_nothing(self, key, action, outcome, before):
        assert len(self.effects) == before
        assert self.world.rows("SELECT 1 FROM intents WHERE key = ?", key) == []
        if outcome.status is OutcomeStatus.PENDING:
            known = self.model.asked.setdefault(
                outcome.approval_id, Asked(action, self.engine.bundle, self.here()[2], self.model.now_ms + TTL_MS)
            )
            assert known.action == action
            assert not known.verdict, "what was decided is not asked again under the same name"

    def was_right(self, tool, action, who):
        """With nothing in the way, the door does not refuse."""
        model = self.model
        blocked = model.frozen or (model.stopped(who) or model.left(who) <= 0) * (tool != "rollback_release")
        if self.engine.bundle == model.bundle and not blocked:
            assert tool == "set_canary_weight"
            assert not any(it.action == action and it.alive(*self.here()) for it in self.newest())

    # --- what people and time do, between calls and in the middle of one ---

    def happen(self, what, tool, weight, who):
        model, world = self.model, self.world
        if what == "stop":
            self.stop("all")
        elif what == "freeze":
            self.freeze()
        elif what == "expire":
            self.later(TTL_MS + 1)
        elif what == "blip":
            self.stop("service")
            self.resume()
        elif what == "spend":
            limit, hour = BUDGET, model.hour
            world.change(
                "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT (scope, hour) DO UPDATE SET used = excluded.used",
                f"principal:{who}",
                hour,
                limit,
            )
            model.used[who, hour] = limit
        elif what == "revoke":
            world.change("UPDATE approvals SET revoked = 1")
            for asked in model.asked.values():
                asked.revoked = True
        elif what == "use up":
            self.send(tool, f"faster{len(self.effects)}", weight, who, "done", "")
        elif what == "bundle":
            revision = 1 + max(row[0] for row in world.rows("SELECT revision FROM bundles"))
            model.bundle = f"{revision:064x}"
            world.activate(model.bundle, revision)

    @precondition(lambda self: any(not it.verdict for it in self.model.asked.values()))
    @rule(number=st.integers(0, 9), verdict=st.sampled_from(["approved", "approved", "denied"]))
    def decide(self, number, verdict):
        waiting = [name for name, it in self.model.asked.items() if not it.verdict]
        self.settle(waiting[number % len(waiting)], verdict)

    def settle(self, name, verdict):
        asked = self.model.asked[name]
        try:
            self.world.approve(name, verdict=verdict)
        except ConflictError:
            assert asked.ends_ms <= self.model.now_ms or asked.revoked
            asked.verdict = "ended"
        else:
            asked.verdict, asked.uses = verdict, int(verdict == "approved")

    @rule(what=st.sampled_from(["revoke", "bundle"]))
    def change_of_mind(self, what):
        self.happen(what, "", 0, "")
        self.engine.bundle = self.model.bundle

    @rule(milliseconds=st.sampled_from([1, 1_000, TTL_MS - 1, TTL_MS, HOUR_MS]))
    def later(self, milliseconds):
        self.model.now_ms += milliseconds
        self.world.clock.now = self.model.now_ms

    @rule(scope=st.sampled_from(sorted(STOPS)))
    def stop(self, scope):
        self.world.stop(scope, STOPS[scope])
        self.model.stops.add(scope)

    def freeze(self):
        self.world.stop("freeze_all")
        self.model.frozen = True

    @precondition(lambda self: self.model.stops or self.model.frozen)
    @rule()
    def resume(self):
        self.world.writer.run(lambda tx: self.world.state.resume(tx, self.world.clock.now))
        self.model.stops, self.model.frozen = set(), False

    # --- crashes ---

    @rule()
    def restart(self):
        self.observing = self.world.target.observing
        self.world.close()
        self.open()

    @precondition(lambda self: any(called.state == "unknown" for called in self.model.called.values()))
    @rule(answer=ANSWERS, halt=st.sampled_from(["", "", "stop", "freeze"]))
    def recover(self, answer, halt):
        """Open intents are sent again under their own key, but never what was stopped or frozen."""
        if halt:
            self.happen(halt, "", 0, "")
        self.world.target.raises = TimeoutError("again") if answer == "silent" else None
        before = len(self.effects)
        self.world.recover()
        self.world.target.raises = None
        again = [row for row, _ in self.effects[before:]]
        for key, called in self.model.called.items():
            may = called.state == "unknown" and not self.model.frozen
            may = may and (called.tool == "rollback_release" or not self.model.stopped(key.partition("|")[0]))
            assert [row.key for row in again].count(key) == int(may), key
            called.sent += int(may)
            if may and answer != "silent":
                called.state = "committed"

    # --- always ---

    @invariant()
    def every_effect_has_one_intent_and_the_model_knows_it(self):
        assert self.world.intents() == {key: called.state for key, called in self.model.called.items()}
        sent = [row.key for row, _ in self.effects]
        assert {key: sent.count(key) for key in set(sent)} == {
            key: called.sent for key, called in self.model.called.items()
        }

    @invariant()
    def what_is_used_up_stays_used_up(self):
        rows = self.world.rows("SELECT scope, hour, used FROM usage WHERE scope LIKE 'principal:%'")
        assert {(scope.removeprefix("principal:"), hour): used for scope, hour, used in rows} == self.model.used
        left = dict(self.world.rows("SELECT id, uses_left FROM approvals WHERE verdict = 'approved'"))
        assert left == {name: it.uses for name, it in self.model.asked.items() if it.verdict == "approved"}

    @invariant()
    def nothing_was_served_that_nobody_asked_for(self):
        assert all(values.get("to", LAST_GOOD) == LAST_GOOD for _, values in self.effects)


TestDoorModel = DoorMachine.TestCase
TestDoorModel.settings = settings(
    max_examples=40,
    # Each step is a database's worth of work; the number of the failing example is enough to look closer.
    phases=(Phase.explicit, Phase.generate),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
