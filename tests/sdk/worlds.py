"""The same small world behind two gateways: the SDK's scripted one and `bywire serve`.

`jobs.restart` is allowed, `jobs.deploy` needs a person, `jobs.show` is a read, `jobs.notify` has its text masked, and
`jobs.nothing` does not exist. None of them has an upstream: what they do is done by whoever uses the SDK.
"""

from contextlib import contextmanager

import yaml
from bywire_sdk import Client
from bywire_sdk.testing import FakeGateway, Served
from bywire_sdk.testing.gateway import TOKEN
from bywire_sdk.testing.plugin import QUICK
from flow.serving import prepared, register, served

ALLOWED, PERSON, READ, MASKED = "jobs.restart", "jobs.deploy", "jobs.show", "jobs.notify"
TOOLS = (ALLOWED, PERSON, READ, MASKED)
UNKNOWN = "jobs.nothing"
OTHER = "other-token"
MAIL, SECRET = "dana@example.com", "AKIAIOSFODNN7EXAMPLE"


def _tool(name, category, parameter, **more):
    schema = {"type": "object", "additionalProperties": False, "properties": {parameter: {"type": "string"}}}
    return {"name": name, "category": category, "risk": "low", "reviewed": True, "schema": schema, **more}


CONTRACTS = {
    "version": 1,
    "upstream": "jobs",
    "environment": "staging",
    "tools": [
        _tool("restart", "harmless_reversible", "job", undo="reversible", rate_per_hour=1000),
        _tool("deploy", "production_orchestration", "version", undo="reversible"),
        _tool("show", "read", "job"),
        _tool("notify", "harmless_reversible", "text", undo="reversible", rate_per_hour=1000),
    ],
}


class Scripted:
    """The kit's gateway."""

    def __init__(self, served):
        self.gateway, self.url = served.gateway, served.url
        self.gateway.allow(ALLOWED)
        self.gateway.ask_person(PERSON)
        self.gateway.allow(READ, read=True)
        self.gateway.mask(MASKED, "text", "write to [email] now")
        self.gateway.deny(MASKED, rule="inspect.secret", when=lambda asked: "AKIA" in asked["text"])
        self.gateway.tokens[OTHER] = "agent:other"

    def token(self):
        return TOKEN

    def other_token(self):
        return OTHER

    def approve(self, approval_id):
        self.gateway.approve(approval_id)

    def refuse(self, approval_id):
        self.gateway.refuse(approval_id)


class Real:
    """`bywire serve`'s application, over a workspace of its own."""

    def __init__(self, scene, running):
        self._scene, self._running = scene, running
        self.url = f"http://127.0.0.1:{running.port}"

    def token(self):
        return self._running.token("agent:worker")

    def other_token(self):
        return self._running.token("agent:other")

    def api_key(self):
        ran = self._scene.bywire("agents", "api-key", "create", "worker", "--json")
        assert ran.code == 0, ran
        return ran.json

    def approve(self, approval_id):
        ran = self._scene.approve(approval_id)
        assert ran.code == 0, ran

    def refuse(self, approval_id):
        ran = self._scene.bywire("approvals", "deny", approval_id, "--as", "oncall", "--reason", "not now")
        assert ran.code == 0, ran


@contextmanager
def scripted():
    """The world behind the SDK's own gateway."""
    with Served(FakeGateway()) as running:
        yield Scripted(running)


@contextmanager
def real(root):
    """The world behind `bywire serve`."""
    scene = prepared(root, environment="staging", api_keys={"allowed": True})
    scene.configure(criticality="internal", tier_floor="trivial")
    (scene.operator / "contracts" / "jobs.yaml").write_text(yaml.safe_dump(CONTRACTS))
    for name in ("worker", "other"):
        register(scene, name, TOOLS)
    with served(scene) as running:
        yield Real(scene, running)
    scene.close()


def client_of(world, token=None, **more):
    return Client(world.url, token=token or world.token(), limits=QUICK, **more)
