"""The whole door with every port in memory, and what each port was asked: for the tests of its ways through."""

import msgspec
from gateway_doubles import (
    ALICE,
    CATALOGUE,
    KEYS,
    LAST_GOOD,
    LOG_KEY,
    NOW,
    OPERATOR,
    TRUST,
    WORKSPACE_KEY,
    FixedClock,
    MemoryApprovals,
    MemoryCredentials,
    MemoryRecords,
    MemorySessions,
    MemoryState,
    MemoryTarget,
    ask,
    decision,
)

from bywire.approvals.candidate import Candidate
from bywire.approvals.packet import sign_verdict
from bywire.gateway.door import Door
from bywire.gateway.ports import IntentRow
from bywire.seal.dsse import unverified_statement

ALLOW = decision()
RETREAT = {"last_good": LAST_GOOD, "authorised": True}


class MemoryJournal(MemoryRecords):
    """`gateway.ports.Journal`: rows by key, and what was recorded, in order. `misses` refuses the next intent."""

    def __init__(self):
        super().__init__()
        self.rows = {}
        self.intents = []
        self.settled = []
        self.reads = []
        self.misses = None
        self.race = None

    def find(self, key):
        return self.rows.get(key)

    def commit_intent(self, intent):
        self.intents.append(intent)
        if self.race is not None:
            self.rows[intent.key] = self.race(intent)
        if self.misses is not None:
            return self.misses
        shared = {field.name for field in msgspec.structs.fields(IntentRow)}
        told = {name: getattr(intent, name) for name in intent.__struct_fields__ if name in shared}
        self.rows[intent.key] = IntentRow(state="intended", epoch=4, at_ms=intent.now_ms, outcome=None, **told)
        return self.rows[intent.key]

    def settle(self, key, outcome, envelope, now_ms):
        entry = 40 + len(self.settled)
        self.settled.append((key, outcome, unverified_statement(envelope), now_ms))
        if key in self.rows:
            kept = msgspec.structs.replace(outcome, entry=entry)
            self.rows[key] = msgspec.structs.replace(self.rows[key], state=str(outcome.status), outcome=kept)
        return entry

    def note_read(self, document, now_ms):
        self.reads.append((document, now_ms))

    def decision_of(self, key):
        intent = next((item for item in self.intents if item.key == key), None)
        return (5, intent.decision_envelope) if intent is not None else None


class TaintingState(MemoryState):
    def __init__(self):
        super().__init__()
        self.tainted = []

    def taint(self, session_id):
        self.tainted.append(session_id)


class Asking(MemoryApprovals):
    def __init__(self):
        super().__init__()
        self.packets = []

    def pending(self, packet):
        self.packets.append(packet)
        self.candidates = (Candidate(packet), *self.candidates)
        return 60 + len(self.packets)

    def approve(self, packet):
        signed = sign_verdict(packet, "approved", ALICE, "sre-oncall", "looked at it", NOW, KEYS[ALICE][1])
        self.candidates = (Candidate(packet, (signed,), uses_left=1, settled="approved"),)


class Stands:
    unseen = None

    def registration(self, principal):
        return None

    def shadows(self, now_ms):
        return []

    def break_glass(self, principal, tool, now_ms):
        return None

    def unwitnessed(self):
        return self.unseen


class Facts:
    retreat = RETREAT

    def facts_for(self, change):
        return {}, {}, self.retreat


class Engine:
    answer = ALLOW

    def __init__(self):
        self.asked = []

    def decide(self, entrypoint, policy_input):
        self.asked.append(policy_input)
        return self.answer(policy_input) if callable(self.answer) else self.answer


class Steps:
    def __init__(self):
        self.seen = []
        self.hooks = {}

    def reached(self, step):
        self.seen.append(step)
        self.hooks.pop(step, lambda: None)()


class World:
    """One door with all of its ports; `call` asks it for one action."""

    def __init__(self, catalogue=CATALOGUE):
        self.engine, self.journal, self.approvals, self.state = Engine(), MemoryJournal(), Asking(), TaintingState()
        self.standing, self.facts, self.clock, self.steps = Stands(), Facts(), FixedClock(), Steps()
        self.target, self.ci = MemoryTarget(), MemoryTarget()
        self.executors = {"target": self.target, "ci": self.ci}
        self.door = Door(
            catalogue=catalogue,
            engine=lambda: self.engine,
            trust=lambda: TRUST,
            sessions=MemorySessions(),
            operator=OPERATOR,
            journal=self.journal,
            approvals=self.approvals,
            state=self.state,
            standing=self.standing,
            facts=self.facts,
            executors=self.executors,
            credentials=MemoryCredentials(),
            clock=self.clock,
            steps=self.steps,
            workspace_key=WORKSPACE_KEY,
            log_key=LOG_KEY,
        )

    def call(self, tool="set_canary_weight", values=None, key="k1", **changes):
        return self.door.call("1", ask(tool, values, key, **changes))

    def note(self, text="hello", key="k1", **changes):
        return self.call("send_note", {"text": text}, key, **changes)
