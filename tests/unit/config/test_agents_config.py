"""agents.yaml: every field, its bounds, and agreement with the JSON Schema."""

import jsonschema_rs
import pytest
from config_documents import MISSING, edited, schema

from bywire.config.agents_config import AGENTS_MAX, parse, parse_agent
from bywire.config.reading import FieldError
from bywire.identity.registration import Pattern, Registration

SCHEMA = jsonschema_rs.validator_for(schema("agents.schema.json"))
PEOPLE = {"person:dana", "person:oncall"}
TOOLS = {"deploy_release", "set_canary_weight", "get_deployment_status"}
AGENTS = {
    "version": 1,
    "agents": [
        {
            "id": "agent:deploy-bot",
            "owner": "person:dana",
            "pattern": "constrained-executor",
            "tools": ["deploy_release", "get_deployment_status"],
            "environments": ["staging", "production"],
            "budgets": {"actions_per_hour": 60, "per_tool": {"deploy_release": 5}},
            "expires": "2027-01-01T00:00:00Z",
        },
        {
            "id": "agent:reader",
            "owner": "person:oncall",
            "pattern": "advisor",
            "tools": [],
            "environments": ["staging"],
        },
    ],
}
FIRST = ("agents", 0)


def read(document):
    return parse(document, "agents.yaml", people=PEOPLE, tools=TOOLS)


def test_every_field_is_read():
    SCHEMA.validate(AGENTS)
    bot, reader = read(AGENTS)
    assert bot == Registration(
        principal="agent:deploy-bot",
        owner="person:dana",
        pattern=Pattern.CONSTRAINED_EXECUTOR,
        tools=("deploy_release", "get_deployment_status"),
        environments=("staging", "production"),
        actions_per_hour=60,
        tool_rates={"deploy_release": 5},
        expires_at_ms=1_798_761_600_000,
    )
    assert (reader.actions_per_hour, reader.tool_rates, reader.expires_at_ms) == (None, {}, None)
    assert parse_agent(AGENTS["agents"][0], "here", people=PEOPLE, tools=TOOLS) == bot


def test_every_pattern_is_known_to_both():
    for pattern in Pattern:
        document = edited(AGENTS, (*FIRST, "pattern"), str(pattern))
        SCHEMA.validate(document)
        assert read(document)[0].pattern is pattern


MALFORMED = [
    (("version",), 2, "expected 1", True),
    (("agents",), MISSING, "'agents' is missing", True),
    ((*FIRST, "id"), "agent:planner", "is built in", False),
    ((*FIRST, "id"), "person:dana", "expected an agent such as", True),
    ((*FIRST, "id"), "agent:../x", "expected an agent such as", True),
    ((*FIRST, "id"), "agent:Bot", "expected an agent such as", True),
    ((*FIRST, "id"), "agent:reader", "is listed twice", False),
    ((*FIRST, "owner"), "person:mallory", "is not one of the people", False),
    ((*FIRST, "owner"), "agent:deploy-bot", "expected a person such as", True),
    ((*FIRST, "owner"), MISSING, "'owner' is missing", True),
    ((*FIRST, "pattern"), "autopilot", "expected one of advisor", True),
    ((*FIRST, "tools"), ["*"], "there is no '*'", True),
    ((*FIRST, "tools"), "*", "expected a list of tools", True),
    ((*FIRST, "tools"), ["deploy_releas"], "expected one of deploy_release", False),
    ((*FIRST, "tools"), ["deploy_release", "deploy_release"], "appears twice", True),
    ((*FIRST, "tools"), MISSING, "'tools' is missing", True),
    ((*FIRST, "environments"), [], "expected 1 to 3", True),
    ((*FIRST, "environments"), ["prod"], "expected one of", True),
    ((*FIRST, "environments"), ["*"], "expected one of", True),
    ((*FIRST, "budgets", "actions_per_hour"), 0, "from 1 to 100000", True),
    ((*FIRST, "budgets", "actions_per_hour"), True, "from 1 to 100000", True),
    ((*FIRST, "budgets", "per_tool", "deploy_release"), 100_001, "from 1 to 100000", True),
    ((*FIRST, "budgets", "per_tool", "set_canary_weight"), 5, "unknown key 'set_canary_weight'", False),
    ((*FIRST, "budgets", "per_hour"), 5, "unknown key 'per_hour'", True),
    ((*FIRST, "expires"), "tomorrow", "a time with its zone", True),
    ((*FIRST, "expires"), None, "a time with its zone", True),
    ((*FIRST, "autonomy"), "full", "unknown key 'autonomy'", True),
]


@pytest.mark.parametrize(("path", "value", "says", "schema_sees"), MALFORMED)
def test_malformed_documents_get_one_clear_message(path, value, says, schema_sees):
    document = edited(AGENTS, path, value)
    with pytest.raises(FieldError) as caught:
        read(document)
    assert says in caught.value.message
    assert caught.value.next_step
    assert SCHEMA.is_valid(document) is not schema_sees


def test_the_number_of_agents_is_bounded():
    one = AGENTS["agents"][1]
    many = {"version": 1, "agents": [{**one, "id": f"agent:a{number}"} for number in range(AGENTS_MAX + 1)]}
    with pytest.raises(FieldError):
        read(many)
    assert not SCHEMA.is_valid(many)
    assert len(read({"version": 1, "agents": many["agents"][:-1]})) == AGENTS_MAX
