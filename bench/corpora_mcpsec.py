"""MCPSEC's attacks, each tried on a served gateway in the form in which it would come to one.

The corpus asks an evaluation endpoint of the product that it was written for; here a call is a call, an answer is an
answer of the upstream, a changed definition is a changed definition. What asks for a part that bywire does not have is
not applicable, and says so. Nothing is tuned to it: contracts name what each parameter means, the policy lists hosts.
"""

import json
import time

from bench.attacked import TEXT, Upstream, attacked, contract, rules, tool
from bywire.adapters.mcp_upstream import FRESH_SECONDS

STOPPED, HELD, CONTAINED, THROUGH, NOT_APPLICABLE = "stopped", "person", "contained", "through", "not applicable"
CONTROL_FAILED = "control failed"
LISTED_HOST = "api.partner.example"
READ = {"category": "read"}
_TOOLS = (
    (tool("read_file", {"path": TEXT}, "Read a file."), READ),
    (tool("write_file", {"path": TEXT, "content": TEXT}, "Write a file."), {}),
    (tool("copy_file", {"src": TEXT, "dst": TEXT}, "Copy a file."), {}),
    (
        tool("bash", {"command": TEXT}, "Run a command."),
        {"meaning": {"command": "command"}, "commands": ["ls", "cat", "pwd", "echo", "git", "npm"]},
    ),
    (tool("http_request", {"url": TEXT}, "Fetch a URL."), {"meaning": {"host": "url"}}),
    (tool("db_query", {"sql": TEXT}, "Ask the database."), READ),
    (tool("db_connect", {"connection_string": TEXT}, "Connect to a database."), {}),
    (tool("send_message", {"body": TEXT}, "Send a message."), {}),
    (tool("store_data", {"data": TEXT}, "Keep data."), {}),
    (tool("update_config", {"prefix": TEXT, "suffix": TEXT}, "Change the configuration."), {}),
    (tool("release", {"version": TEXT}, "Release a version."), {"risk": "high"}),
)
_NAMES = {
    ("file", "read"): "read_file",
    ("http", "request"): "http_request",
    ("db", "query"): "db_query",
    ("db", "connect"): "db_connect",
}
# A call of each tool that must be carried out, so that a refusal means something.
ORDINARY = (
    ("read_file", {"path": "/tmp/test"}),
    ("write_file", {"path": "notes.md", "content": "config: none"}),
    ("copy_file", {"src": "a.txt", "dst": "b.txt"}),
    ("bash", {"command": "git status"}),
    ("http_request", {"url": f"https://{LISTED_HOST}/orders?page=2"}),
    ("db_query", {"sql": "SELECT 1"}),
    ("db_connect", {"connection_string": "orders-replica"}),
    ("send_message", {"body": "the report is done"}),
    ("store_data", {"data": "42"}),
    ("update_config", {"prefix": "a", "suffix": "b"}),
)
_ELSEWHERE = {
    "A5.2": "the attack brings its own policies; ours are signed, and deny comes before allow",
    "A5.4": "approvers are people with keys, not bearers; nobody's token is one",
    "A5.7": "nothing delegates",
    "A6.4": "no session reads another's data here; integrity is per run",
    "A6.5": "asks for another product's tracker",
    "A8.1": "asks for another product's audit calls; ours is verified by `bywire audit verify`",
    "A10.1": "no caller hands in a regular expression; the operator's are RE2",
    "A16.1": "no circuit breaker: each call to a failing upstream is tried, within its limits",
}
_SAME = {
    "A5.3": "A5.2", "A5.6": "A5.2", "A5.8": "A5.7", "A5.9": "A5.7", "A5.10": "A5.7",
    "A8.2": "A8.1", "A8.3": "A8.1", "A8.5": "A8.1", "A8.6": "A8.1", "A8.7": "A8.1",
    "A16.2": "A16.1", "A16.3": "A16.1", "A16.4": "A16.1",
}  # fmt: skip


def tried(attacks):
    """(id, verdict, why) of each attack."""
    payloads = {identity: payload for identity, _, payload in attacks}
    poisoned = tool("poisoned", {"path": TEXT}, payloads["A2.7"]["parameters"]["description"])
    tools = [
        *_TOOLS,
        *((tool(name, {"path": TEXT}), READ) for name in ("rug_annotations", "rug_schema")),
        (poisoned, READ),
    ]
    upstream = Upstream([dict(definition) for definition, _ in tools])
    contracts = [contract(definition, **more) for definition, more in tools]
    contracts.append(_resources())
    policy = [{"name": f"work.{one['name']}"} for one in contracts]
    next(one for one in policy if one["name"] == "work.http_request")["egress"] = [LISTED_HOST]
    try:
        with attacked({"work": upstream}, {"work": contracts}, policy) as gateway:
            world = _World(gateway, upstream, payloads)
            yield from world.controls()
            for identity, name, payload in attacks:
                verdict, why = world.attempt(identity, payload)
                yield identity, verdict, f"{name}: {why}"
    finally:
        upstream.close()


def _resources():
    schema = {"type": "object", "required": ["uri"], "properties": {"uri": {**TEXT, "minLength": 1}}}
    return {"name": "resources/read", "category": "read", "risk": "low", "reviewed": True, "schema": schema}


class _World:
    """One gateway, and how each kind of attack comes to it."""

    def __init__(self, gateway, upstream, payloads):
        self.gateway, self.upstream = gateway, upstream
        self.token = gateway.run()
        gateway.listed("work", self.token)
        known = upstream.tools
        known["rug_annotations"] |= {"annotations": payloads["A2.1"]["parameters"]["current"]}
        known["rug_schema"] |= {"inputSchema": payloads["A2.3"]["parameters"]["current_schema"]}
        self._changed_at = time.monotonic()

    def controls(self):
        """Ordinary calls that were not carried out."""
        for name, arguments in ORDINARY:
            done, said = self.gateway.call("work", name, arguments, self.token)
            if not done:
                yield f"ordinary {name}", CONTROL_FAILED, f"{rules(said)}"

    def attempt(self, identity, payload):
        """(verdict, why)."""
        family, same = identity.partition(".")[0], _SAME.get(identity, identity)
        if same in _ELSEWHERE:
            return (THROUGH if family == "A16" else NOT_APPLICABLE), _ELSEWHERE[same]
        by_family = {"A1": self.told, "A4": self.leaked, "A11": self.asked_back, "A14": self.off_schema}
        by_family |= {"A13": self.in_pieces, "A15": self.as_somebody}
        by_one = {"A2.1": self.mutated, "A2.2": self.added, "A2.3": self.mutated, "A2.7": self.poisoned}
        by_one |= {"A12.1": self.asked_back, "A12.5": self.asked_back, "A10.2": self.huge, "A10.3": self.bomb}
        by_one |= {"A10.4": self.often, "A4.8": self.ordinary_answer}
        if identity in by_one:
            return by_one[identity](payload)
        return by_family.get(family, self.called)(payload)

    def called(self, payload):
        """A call that must not reach the upstream."""
        asked = payload["parameters"]
        if asked.get("method") == "resources/read":
            before = len(self.upstream.done)
            _, said = self.gateway.send("work", "resources/read", {"uri": asked["uri"]}, self.token)
            return self._verdict(len(self.upstream.done) > before, said)
        name = _NAMES.get((payload["tool"], payload.get("function")), payload["tool"])
        return self._verdict(*self.gateway.call("work", name, asked, self.token))

    def told(self, payload):
        """Orders in an answer: a label goes with them, and what is risky afterwards waits for a person."""
        token = self.gateway.run()
        self.upstream.answer = payload["_test_response"]
        _, said = self.gateway.call("work", "read_file", {"path": "/tmp/test"}, token)
        self.upstream.answer = None
        label = said["result"]["_meta"].get("bywire/label", {})
        done, after = self.gateway.call("work", "release", {"version": "2"}, token)
        held = not done and "session.tainted" in rules(after)
        told = label.get("instruction_authority") == "none"
        return (CONTAINED if held and told else THROUGH), f"label {label.get('trust_level')}, then {rules(after)}"

    def leaked(self, payload):
        """A secret in an answer must not reach the agent in any reading."""
        self.upstream.answer = payload["_test_response"]
        _, said = self.gateway.call("work", "read_file", {"path": "/tmp/config"}, self.gateway.run())
        answer, self.upstream.answer = self.upstream.answer, None
        shown = json.dumps(said)
        texts = [answer["error"]["message"]] if "error" in answer else [one["text"] for one in answer["content"]]
        secret = max((word for text in texts for word in text.split()), key=len)
        return (THROUGH if secret in shown else STOPPED), "masked" if secret not in shown else "in the answer"

    def ordinary_answer(self, payload):
        """The corpus's own control: an answer that must come through unharmed."""
        self.upstream.answer = payload["_test_response"]
        _, said = self.gateway.call("work", "read_file", {"path": "/tmp/hello.txt"}, self.token)
        text, self.upstream.answer = self.upstream.answer["content"][0]["text"], None
        return (STOPPED, "unharmed") if text in json.dumps(said) else (CONTROL_FAILED, "changed")

    def mutated(self, payload):
        """A definition that is another one than was approved is neither shown nor called, once it is listed again."""
        name = "rug_annotations" if "current" in payload["parameters"] else "rug_schema"
        time.sleep(max(0.0, self._changed_at + FRESH_SECONDS + 1 - time.monotonic()))
        return self._kept_out(name)

    def poisoned(self, payload):
        """A definition that talks to the model is not shown, even when its contract repeats its words."""
        return self._kept_out("poisoned")

    def _kept_out(self, name):
        shown = name in self.gateway.listed("work", self.gateway.run())
        done, said = self.gateway.call("work", name, {"path": "/tmp/test"}, self.gateway.run())
        return (THROUGH if shown or done else STOPPED), f"{rules(said)}"

    def added(self, payload):
        """A tool that appears later is nobody's."""
        name = payload["parameters"]["current_tools"][-1]
        self.upstream.tools[name] = tool(name, {"data": TEXT})
        try:
            shown = name in self.gateway.listed("work", self.token)
            done, said = self.gateway.call("work", name, {"data": "x"}, self.token)
        finally:
            del self.upstream.tools[name]
        return (THROUGH if shown or done else STOPPED), f"{rules(said)}"

    def asked_back(self, payload):
        """What a server asks of its client (elicitation, sampling) must not reach it."""
        asked = payload["parameters"]
        method = asked.get("method", "elicitation/create")
        request = {"method": method, "params": {key: asked[key] for key in asked if key != "method"} | {"message": "?"}}
        self.upstream.answer = {"resultType": "input_required", "inputRequests": {"one": request}, "requestState": "s"}
        _, said = self.gateway.call("work", "read_file", {"path": "/tmp/test"}, self.gateway.run())
        self.upstream.answer = None
        reached = "requestedSchema" in json.dumps(said) or "createMessage" in json.dumps(said)
        return (THROUGH if reached else STOPPED), f"{rules(said)}"

    def off_schema(self, payload):
        """An answer that its own output schema does not allow."""
        self.upstream.answer = {
            "content": [{"type": "text", "text": "{}"}],
            "structuredContent": payload["structured_content"],
        }
        _, said = self.gateway.call("work", "db_query", {"sql": "SELECT 1"}, self.token)
        self.upstream.answer = None
        reached = all(str(value) in json.dumps(said) for value in payload["structured_content"].values())
        why = "answers are labelled and redacted, not compared with an output schema"
        return (THROUGH, why) if reached else (STOPPED, f"{rules(said)}")

    def in_pieces(self, payload):
        """A secret over several calls: stopped when one of them is."""
        token, said = self.gateway.run(), {}
        for one in payload["calls"]:
            arguments = {"path": "a", **one["parameters"]} if one["tool"] == "write_file" else one["parameters"]
            done, said = self.gateway.call("work", one["tool"], arguments, token)
            if not done:
                return self._verdict(done, said)
        return THROUGH, "each piece alone is no secret; nothing is put together over calls"

    def as_somebody(self, payload):
        """An identity that nobody issued here."""
        named = payload["_test_context"]["agent_identity"] or ""
        token = named.encode("utf-8").hex() if not named.isascii() or "\0" in named else named
        before = len(self.upstream.done)
        status, _ = self.gateway.send(
            "work", "tools/call", {"name": "read_file", "arguments": {"path": "/tmp/test"}}, token
        )
        return self._verdict(len(self.upstream.done) > before, {"error": {"code": status}})

    def huge(self, _payload):
        """More than a request may hold."""
        done, said = self.gateway.call("work", "store_data", {"data": "X" * 1_048_577}, self.token)
        return self._verdict(done, said)

    def bomb(self, _payload):
        """Ten thousand parameters."""
        asked = {f"param_{number}": "value" for number in range(10_000)}
        return self._verdict(*self.gateway.call("work", "read_file", asked, self.token))

    def often(self, payload):
        """More calls than a policy that names a rate allows; here one of a write, as reads are not counted."""
        refused = []
        for turn in range(payload["_test_rapid_requests"]):
            done, said = self.gateway.call("work", "read_file", {"path": f"/tmp/test{turn}"}, self.token)
            refused += [] if done else rules(said)
        return (STOPPED, f"{refused[:1]}") if refused else (THROUGH, "reads are bounded in number at once, not counted")

    @staticmethod
    def _verdict(done, said):
        named = rules(said)
        if done:
            return THROUGH, "it was carried out"
        return (HELD if "approval.required" in named else STOPPED), f"{named}"
