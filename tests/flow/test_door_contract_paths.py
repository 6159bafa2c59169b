"""What a connected tool's contract reads from inside of a parameter, at the door."""

import pytest
from connected_world import ConnectedWorld, connected, contracts_of

from bywire.gateway.contract import Catalogue, ContractError

NESTED = """
version: 1
upstream: cluster
tools:
  - name: apply
    category: production_orchestration
    risk: high
    reviewed: true
    environment_from: {parameter: spec.place.env, values: {prod: production, stage: staging, dev: non-production}}
    meaning: {replicas: spec.replicas, image: spec.image, command: spec.run}
    commands: [kubectl]
    cost: [{unit: replica_hours, parameter: spec.replicas, factor: 24}]
    schema:
      type: object
      required: [spec]
      properties:
        spec:
          type: object
          additionalProperties: false
          properties: {replicas: {}, image: {type: string}, run: {type: string}, place: {$ref: "#/$defs/place"}}
      $defs: {place: {type: object, additionalProperties: false, properties: {env: {type: string}}}}
"""


def applied(spec, environment="staging"):
    return connected("cluster.apply", "k1", environment, {"spec": spec})


def refused(world, request, match):
    with pytest.raises(ContractError, match=match):
        world.door.call(world.token(), request)
    assert world.upstream.effects == []
    assert world.intents() == {}


@pytest.fixture
def nested(tmp_path):
    made = ConnectedWorld(tmp_path)
    made.door = made.make_door(catalogue=Catalogue(contracts_of(NESTED, "cluster")))
    made.engine.obligations = ()
    yield made
    made.close()


def test_a_value_inside_of_a_parameter_is_the_place_the_meaning_and_the_cost(nested):
    spec = {"replicas": 200, "image": "app@sha256:1", "run": "rm -rf /", "place": {"env": "stage"}}
    nested.door.call(nested.token(), applied(spec))
    action = nested.engine.asked[0]["action"]
    assert action["environment"] == "staging"
    assert action["meaning"] == {
        "environment": "staging",
        "replicas": 200,
        "images": ["app@sha256:1"],
        "command": ["rm", "-rf", "/"],
    }
    assert action["cost"] == [{"unit": "replica_hours", "amount": 4_800_000}]
    assert ("spec.run", "command_not_listed") in {(one["parameter"], one["kind"]) for one in action["findings"]}


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 1},
        {"replicas": 1, "place": {}},
        {"replicas": 1, "place": {"env": "Stage"}},
        {"replicas": 1, "place": {"env": "prod"}},
    ],
)
def test_rule_01_nobody_acts_somewhere_laxer_by_what_an_object_leaves_out(nested, spec):
    refused(nested, applied(spec), "not to storefront in staging")


@pytest.mark.parametrize(
    "values",
    [
        {"spec": {"replicas": 1, "place": {"env": "stage", "environment": "prod"}}},
        {"spec": {"replicas": 1, "place": {"env": "stage"}}, "spec.replicas": 200},
        {"spec": {"replicas": 1, "place": {"env": "stage"}, "place.env": "prod"}},
    ],
)
def test_rule_01_no_second_reading_travels_beside_an_object(nested, values):
    refused(nested, connected("cluster.apply", "k1", "staging", values), "nobody declared")


def test_an_object_that_leaves_out_what_costs_is_refused(nested):
    refused(nested, applied({"place": {"env": "stage"}}), r"^spec\.replicas must be a number")
