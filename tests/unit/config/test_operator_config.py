"""operator.yaml: defaults, bounds of every number, people, and agreement with the JSON Schema."""

import jsonschema_rs
import pytest
from config_documents import MISSING, OPERATOR, edited, schema

from bywire.config.operator_config import ISOLATION_BOUNDS, JUDGE_BOUNDS, LIMIT_BOUNDS, parse
from bywire.config.reading import FieldError
from bywire.model.operator import Isolation, JudgeLimits, Limits, OperatorConfig, Person

SCHEMA = jsonschema_rs.validator_for(schema("operator.schema.json"))
GROUPS = (
    ("limits", LIMIT_BOUNDS, Limits),
    ("judge", JUDGE_BOUNDS, JudgeLimits),
    ("isolation", ISOLATION_BOUNDS, Isolation),
)


def test_a_full_document_is_read_field_by_field():
    SCHEMA.validate(OPERATOR)
    assert parse(OPERATOR, "operator.yaml") == OperatorConfig(
        service="storefront",
        environment="production",
        base_branch="main",
        criticality="payment",
        tier_floor="medium",
        agents_owner="person:dana",
        people=(
            Person("person:dana", ("dana@example.com",), ("service-owner",)),
            Person("person:oncall", (), ("sre-oncall",)),
        ),
        limits=Limits(coverage_changed_lines=0.9, rollout_first_step=1),
        judge=JudgeLimits(alpha=0.01),
        isolation=Isolation(path=("/usr/bin",), processes=64),
        freeze_windows=((1797724800000, 1798844400000),),
    )


def test_what_is_left_out_takes_the_models_defaults():
    short = {"version": 1, "service": "a", "agents_owner": "person:d", "people": [{"id": "person:d"}]}
    SCHEMA.validate(short)
    assert parse(short, "f") == OperatorConfig("a", agents_owner="person:d", people=(Person("person:d"),))


@pytest.mark.parametrize(("group", "bounds", "model"), GROUPS)
def test_every_number_of_the_model_has_bounds_that_hold_its_default(group, bounds, model):
    numbers = {name for name in model.__struct_fields__ if name != "path"}
    assert numbers == set(bounds)
    for name, (least, most) in bounds.items():
        assert least <= getattr(model(), name) <= most


ROWS = [(group, name, least, most) for group, bounds, _ in GROUPS for name, (least, most) in bounds.items()]


@pytest.mark.parametrize(("group", "name", "least", "most"), ROWS)
def test_bounds_are_the_same_in_parser_and_schema(group, name, least, most):
    # Neighbouring limits are set to their extremes so that only the one under test can be refused.
    room = {"limits": {"rollout_first_step": 1}, "judge": {"intervals_hold_max": 10_000, "intervals_min": 1}}.get(
        group, {}
    )
    step = 1 if isinstance(least, int) else 1e-7
    for value, good in (
        (least, True),
        (most, True),
        (least - step, False),
        (most + 1, False),
        ("1", False),
        (True, False),
    ):
        document = edited(OPERATOR, (group,), {**room, name: value})
        assert SCHEMA.is_valid(document) is good
        assert accepts(document) is good, (name, value)


def accepts(document):
    try:
        parse(document, "operator.yaml")
    except FieldError:
        return False
    return True


MALFORMED = [
    (("version",), 3, "expected 1, found the number 3", True),
    (("people",), MISSING, "'people' is missing", True),
    (("people",), [], "expected 1 to 200 people", True),
    (("people", 0, "id"), "dana", "a person such as person:dana", True),
    (("people", 0, "id"), "agent:planner", "a person such as person:dana", True),
    (("people", 0, "roles"), ["sre-on-call"], "expected one of service-owner", True),
    (("people", 0, "emails"), ["dana"], "expected an e-mail address", True),
    (("people", 1, "emails"), ["dana@example.com"], "already belongs to person:dana", False),
    (("people", 1, "id"), "person:dana", "is listed twice", False),
    (("agents_owner",), "person:nobody", "is not one of the people", False),
    (("agents_owner",), MISSING, "'agents_owner' is missing", True),
    (("criticality",), "critical", "expected one of internal", True),
    (("environment",), "prod", "expected one of non-production", True),
    (("base_branch",), "-x", "expected a branch name", True),
    (("limits", "coverage"), 0, "unknown key 'coverage' in limits", True),
    (("limits", "rollout_cieling"), 50, "did you mean 'rollout_ceiling'?", True),
    (("limits",), {"rollout_first_step": 50, "rollout_ceiling": 10}, "is above rollout_ceiling", False),
    (("judge",), {"intervals_min": 61}, "intervals_min is above intervals_hold_max", False),
    (("isolation", "path"), ["bin"], "expected an absolute directory", True),
    (("isolation", "path"), ["/a:/b"], "expected an absolute directory", True),
    (("freeze_windows", 0, "start"), "2026-12-20", "a time with its zone", True),
    (("freeze_windows", 0, "start"), "2026-13-20T00:00:00Z", "a time with its zone", False),
    (("freeze_windows", 0, "end"), "2026-12-19T00:00:00Z", "expected a time after the start", False),
    (("freeze_windows", 0, "until"), "x", "unknown key 'until' in freeze_windows[0]", True),
]


@pytest.mark.parametrize(("path", "value", "says", "schema_sees"), MALFORMED)
def test_malformed_documents_get_one_clear_message(path, value, says, schema_sees):
    document = edited(OPERATOR, path, value)
    with pytest.raises(FieldError) as caught:
        parse(document, "operator.yaml")
    assert says in caught.value.message
    assert caught.value.next_step
    assert SCHEMA.is_valid(document) is not schema_sees
