"""A door that leads to upstreams: contract files as an operator writes them, and an upstream at the executor's port."""

import msgspec
from door_world import CATALOGUE as BUILT_IN
from door_world import NOW, World

from bywire.adapters.yaml_file import parse
from bywire.config import contract_files
from bywire.gateway.contract import Catalogue
from bywire.gateway.recovery import recover
from bywire.model.action import ActionRequest
from bywire.model.errors import TargetError
from bywire.model.gateway_budgets import Budget, Budgets

DAY = NOW // 86_400_000
PINNED = "sha256:" + "a" * 64
CLUSTER = f"""
version: 1
upstream: cluster
tools:
  - name: scale
    category: production_orchestration
    risk: high
    reviewed: true
    definition: {PINNED}
    idempotency: native
    undo: reversible
    environment_from: {{parameter: env, values: {{prod: production, stage: staging, dev: non-production}}}}
    meaning: {{replicas: replicas, image: image}}
    cost: [{{unit: replica_hours, parameter: replicas, factor: 24}}, {{unit: changes, factor: 0.5}}]
    schema:
      type: object
      additionalProperties: false
      required: [env, replicas]
      properties: {{env: {{type: string}}, replicas: {{}}, image: {{type: string}}, note: {{type: string}}}}
  - name: get
    category: read
    risk: low
    reviewed: true
    schema: {{type: object, properties: {{name: {{type: string}}}}}}
"""
PAYMENTS = """
version: 1
upstream: payments
environment: staging
tools:
  - name: scale
    category: environment_write
    risk: medium
    meaning: {amount: amount, currency: currency, host: to}
    idempotency_key_from: "pay:{to}:{amount}"
    schema:
      type: object
      required: [to, amount]
      properties: {to: {type: string}, amount: {}, currency: {type: string}}
  - name: note
    category: repo_write
    risk: low
    schema: {type: object, properties: {text: {type: string}, deep: {type: object}}}
"""


def contracts_of(text, upstream, service="storefront"):
    found = parse(
        text.encode(), f"{upstream}.yaml", lambda value, source: contract_files.parse(value, source, upstream=upstream)
    )
    return tuple(
        msgspec.structs.replace(contract, place=msgspec.structs.replace(contract.place, service=service))
        for contract in found
    )


CONNECTED = (*contracts_of(CLUSTER, "cluster"), *contracts_of(PAYMENTS, "payments"))
CATALOGUE = Catalogue((*(BUILT_IN.find(name) for name in BUILT_IN.names()), *CONNECTED))


class UpstreamDouble:
    """An upstream: what it was asked, and what it says of its tools."""

    def __init__(self):
        self.effects = []
        self.says = PINNED
        self.raises = None

    def observe(self):
        return {}

    def execute(self, row, values):
        self.effects.append((row.key, values))
        if self.raises is not None:
            raise self.raises
        return {"done": True}

    def read(self, tool, values):
        return {"text": f"{tool} of {values.get('name', '')}"}

    def query(self, row):
        raise TargetError("cannot be asked")

    def definition(self, tool):
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class ConnectedWorld(World):
    def __init__(self, directory, *, budgets=(), teams=None, **changes):
        self.upstream = UpstreamDouble()
        self.budgets = Budgets(tuple(Budget(*budget) for budget in budgets), teams or {})
        super().__init__(directory, **changes)

    def make_door(self, **changes):
        executors = {"target": self.target, "upstream:cluster": self.upstream, "upstream:payments": self.upstream}
        parts = {"catalogue": CATALOGUE, "executors": executors, "budgets": self.budgets}
        return super().make_door(**{**parts, **changes})

    def recover(self):
        executors = {"upstream:cluster": self.upstream}
        return recover(self.door, self.journal, CATALOGUE, executors, self.clock, lambda row: False)

    def spent(self, scope, unit="actions"):
        return self.state.spent(scope, unit, "day", DAY)


def scale(key="k1", environment="staging", **values):
    """A call to `cluster.scale`."""
    return connected("cluster.scale", key, environment, {"env": "stage", "replicas": 2, **values})


def connected(tool, key, environment, values, **changes):
    made = ActionRequest(tool, "storefront", environment, values, key)
    return msgspec.structs.replace(made, **changes)
