"""agent-policies/*.yaml as it is read: the seed's example as it stands, and every way of meaning less than is said."""

import json

import msgspec
import pytest

from bywire.adapters.yaml_file import parse as parse_yaml
from bywire.config import agent_policy
from bywire.config.reading import FieldError
from bywire.model.errors import ConfigError
from bywire.policy.agent_bounds import Budget, HostPort, Image, Tool, UnresolvedError, resolved
from bywire.policy.bundle import Module
from bywire.policy.compile_bounds import compiled
from bywire.policy.conditions import ENVIRONMENT, Always, Compare
from bywire.policy.rego_syntax import parse_module

SEED = b"""agent: deploy-manager

actions:

  - name: deploy

    allowed_environments: ["staging"]

    approval_needed: env == "production"

    allowed_images:

      - digest: "sha256:...approved..."

    max_replicas: 50
"""
DIGEST = "sha256:" + "0123456789abcdef" * 4


def read(text):
    data = text if isinstance(text, bytes) else text.encode()
    return parse_yaml(data, "p.yaml", agent_policy.parse, bytes_max=agent_policy.BYTES_MAX, aliases_max=0)


def action(**fields):
    """The first action of a policy with these fields."""
    document = {"agent": "a", "actions": [{"name": "deploy", **fields}]}
    return agent_policy.parse(document, "p.yaml").actions[0]


def refusal(**fields):
    with pytest.raises(ConfigError) as refused:
        action(**fields)
    assert refused.value.next_step
    return refused.value.message


def test_the_example_of_the_seed_is_valid_as_it_stands():
    bounds = read(SEED)
    (deploy,) = bounds.actions
    assert (bounds.agent, deploy.name, deploy.environments, deploy.replicas) == (
        "deploy-manager",
        "deploy",
        ("staging",),
        50,
    )
    assert deploy.approval == Compare(ENVIRONMENT, "==", "production")
    assert deploy.images == (Image("sha256:...approved..."),)
    assert bounds.warnings == (
        "deploy: sha256:...approved... is a placeholder, so it allows no image; write the digest",
    )


def test_everything_that_an_action_can_say():
    found = action(
        allowed_images=[{"digest": DIGEST, "repository": "registry.example:5000/team/app"}],
        max_amount=99.5,
        currency="EUR",
        parameters={"a.b": {"one_of": [1, "x", True]}, "c": {"min": 1, "max": 2.5}, "d": {"pattern": "v[0-9]+"}},
        allowed_commands=["kubectl get", "helm"],
        egress=["api.example.com", "*.example.org:8443"],
        budgets={"per_day": {"replica_hours": 1.5, "tokens": 200_000}, "per_hour": 20, "per_minute": {"tokens": 900}},
        rate="5/second",
        approval_needed=True,
    )
    assert found.images == (Image(DIGEST, "registry.example:5000/team/app"),)
    assert (found.amount, found.currency, found.approval) == (99.5, "EUR", Always(value=True))
    assert [bound.name for bound in found.parameters] == ["a.b", "c", "d"]
    assert found.commands == (("kubectl", "get"), ("helm",))
    assert found.egress == (HostPort("api.example.com", 443), HostPort("*.example.org", 8443))
    assert found.budgets == (
        Budget("tokens", "minute", 900_000),
        Budget("actions", "hour", 20_000),
        Budget("replica_hours", "day", 1_500),
        Budget("tokens", "day", 200_000_000),
        Budget("actions", "second", 5_000),
    )


def test_an_agent_has_budgets_in_all_and_in_each_environment():
    places = {"production": {"per_minute": 2}, "staging": {"per_day": {"tokens": 5}}}
    budgets = json.dumps({"per_second": 3, "environments": places})
    found = read(f"agent: a\nactions: [{{name: deploy}}]\nbudgets: {budgets}")
    assert found.budgets == (
        Budget("actions", "second", 3_000),
        Budget("actions", "minute", 2_000, "production"),
        Budget("tokens", "day", 5_000, "staging"),
    )


@pytest.mark.parametrize(
    ("budgets", "told"),
    [
        ({"environments": {}}, "bounds nothing"),
        ({"environments": {"prod": {"per_day": 1}}}, "unknown key 'prod'"),
        ({"environments": {"production": {}}}, "bounds nothing"),
        ({"environments": {"production": 5}}, "a mapping"),
        ({"environments": {"production": {"environments": {"staging": {"per_day": 1}}}}}, "unknown key"),
    ],
)
def test_a_budget_of_an_environment_bounds_something_there(budgets, told):
    with pytest.raises(ConfigError) as refused:
        read(f"agent: a\nactions: [{{name: deploy}}]\nbudgets: {json.dumps(budgets)}")
    assert told in refused.value.message + refused.value.next_step


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"allowed_environments": ["Production"]}, "production"),
        ({"allowed_environments": ["prοduction"]}, "one of non-production"),  # noqa: RUF001
        ({"allowed_environments": []}, "1 to 3"),
        ({"allowed_environments": "staging"}, "a list"),
        ({"approval_needed": 'env == "Production"'}, "could never hold"),
        ({"approval_needed": 'env == "staging" and env == "production"'}, "can never be true"),
        ({"approval_needed": "replicas > 10 and replicas < 5"}, "can never be true"),
        ({"approval_needed": "not (env in ['staging', 'production', 'non-production'])"}, "can never be true"),
        ({"approval_needed": 1}, "true, or a condition"),
        ({"approval_needed": None}, "true, or a condition"),
        ({"approval_needed": "env == production"}, "column 8"),
        ({"allowed_images": [{"digest": "registry.example/app:latest"}]}, "a tag can be moved"),
        ({"allowed_images": [{"digest": "app:v1@" + DIGEST}]}, "a digest"),
        ({"allowed_images": [{"digest": DIGEST.upper()}]}, "in lower case"),
        ({"allowed_images": [{"digest": DIGEST[:-1]}]}, "64 hex digits"),
        ({"allowed_images": [{"digest": "..."}]}, "a digest"),
        ({"allowed_images": [{"digest": 'sha256:..."] }'}]}, "a digest"),
        ({"allowed_images": [{"repository": "app:latest"}]}, "without tag"),
        ({"allowed_images": [{"repository": "аpp"}]}, "a repository"),  # noqa: RUF001
        ({"allowed_images": [{}]}, "a digest, a repository"),
        ({"allowed_images": []}, "1 to 128"),
        ({"allowed_images": ["app"]}, "a mapping"),
        ({"max_replicas": "200"}, "the text '200'"),
        ({"max_replicas": 1e9}, "from 0 to 1000000"),
        ({"max_replicas": True}, "the truth value true"),
        ({"max_replicas": -1}, "from 0"),
        ({"max_replicas": 1.5}, "a whole number"),
        ({"max_amount": -0.01}, "between 0"),
        ({"max_amount": "100"}, "a number"),
        ({"max_amount": True}, "a number"),
        ({"max_amount": 1e13}, "between 0"),
        ({"currency": "eur"}, "three capital letters"),
        ({"currency": "EURO"}, "three capital letters"),
        ({"parameters": {"a": {}}}, "one rule a parameter"),
        ({"parameters": {"a": {"equals": 1, "pattern": "x"}}}, "one rule a parameter"),
        ({"parameters": {"a": {"pattern": "a)|(.*"}}}, "column 2"),
        ({"parameters": {"a": {"pattern": "(a{99}){99}"}}}, "repeats too much"),
        ({"parameters": {"a": {"min": 2, "max": 1}}}, "nothing is allowed"),
        ({"parameters": {"a": {"forbidden": False}}}, "forbidden is true"),
        ({"parameters": {"a": {"forbidden": True, "optional": True}}}, "stands alone"),
        ({"parameters": {"a": {"equals": None}}}, "nothing"),
        ({"parameters": {"a": {"equals": [1]}}}, "a list"),
        ({"parameters": {"a": {"one_of": []}}}, "1 to 64"),
        ({"parameters": {"a": {"min": "1"}}}, "a number"),
        ({"parameters": {"a..b": {"equals": 1}}}, "no name"),
        ({"parameters": {'a"]': {"equals": 1}}}, "no name"),
        ({"parameters": {"a": {"equals": 1}, "a.b": {"equals": 1}}}, "as a whole and in its part"),
        ({"allowed_commands": ["kubectl; rm -rf /"]}, "plain words"),
        ({"allowed_commands": ["kubectl  get"]}, "one space"),
        ({"allowed_commands": ["$(id)"]}, "plain words"),
        ({"egress": ["203.0.113.7:443"]}, "no address"),
        ({"egress": ["0x7f000001:443"]}, "no address"),
        ({"egress": ["[::1]:443"]}, "host:port"),
        ({"egress": ["API.example.com"]}, "lower-case"),
        ({"egress": ["*:443"]}, "host:port"),
        ({"egress": ["*.*.example.com"]}, "host:port"),
        ({"egress": ["https://api.example.com"]}, "host:port"),
        ({"egress": ["api.example.com:0"]}, "host:port"),
        ({"egress": ["api.example.com:65536"]}, "host:port"),
        ({"egress": ["api.еxample.com"]}, "host:port"),  # noqa: RUF001
        ({"budgets": {}}, "bounds nothing"),
        ({"budgets": {"per_week": 1}}, "unknown key 'per_week'"),
        ({"budgets": {"per_day": {"Tokens": 1}}}, "no name"),
        ({"budgets": {"per_day": {"tokens": -1}}}, "between 0"),
        ({"budgets": {"per_day": {"tokens": 0.0001}}}, "thousandths"),
        ({"budgets": {"per_hour": 1.5}}, "a whole number"),
        ({"rate": "10/week"}, "10/hour"),
        ({"rate": "0/second"}, "10/hour"),
        ({"rate": "1.5/second"}, "10/hour"),
        ({"budgets": {"per_second": 0.5}}, "a whole number"),
        ({"budgets": {"environments": {"production": {"per_day": 1}}}}, "unknown key 'environments'"),
        ({"rate": "0/hour"}, "10/hour"),
        ({"rate": 10}, "10/hour"),
        ({"name": "*"}, "there is no '*'"),
        ({"name": 'deploy"}'}, "there is no '*'"),
        ({"name": "dерloy"}, "TOOL or UPSTREAM.TOOL"),  # noqa: RUF001
        ({"max_replica": 50}, "did you mean 'max_replicas'"),
    ],
)
def test_what_would_mean_less_than_it_says_is_refused(fields, told):
    assert told in refusal(**fields)


@pytest.mark.parametrize(
    "agent",
    [
        *("Deploy-Manager", "deploy manager", "deploy.manager", "deрloy", "-a", "", "a" * 64),  # noqa: RUF001
        *("person:dana", "x\n", 'a"]', "release_test", 7),
    ],
)  # fmt: skip
def test_an_agents_name_has_one_spelling(agent):
    with pytest.raises(ConfigError):
        agent_policy.parse({"agent": agent, "actions": [{"name": "deploy"}]}, "p.yaml")


def test_both_ways_to_name_an_agent():
    for agent in ("agent:deploy-manager", "deploy-manager"):
        assert agent_policy.parse({"agent": agent, "actions": [{"name": "deploy"}]}, "p").agent == "deploy-manager"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"agent: a\nactions: &x\n  - name: b\negress: *x\n", "p.yaml:4:9: aliases are not read here"),
        (b"a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n", "p.yaml:2:8: aliases are not read here"),
        (b"agent: a\nagent: b\nactions: []\n", "appears twice"),
        (b"agent: !!python/object:os.system a\n", "the tag"),
        (b"agent: a\nactions:\n  - name: deploy\n    max_replicas: 0x1_0\n", "p.yaml:4:"),
        (
            b"agent: a\nactions:\n  - name: deploy\n    approval_needed: env = 1\n",
            "p.yaml:4:5: actions[0].approval_needed",
        ),
        (b"agent: a\nactions:\n  - name: x\n  - name: x\n", "listed twice"),
        (b"agent: a\nactions:\n  - name: x\negress: [a.example]\nversion: 2\n", "expected 1"),
        (b"agent: a\nactions:\n  - name: open_connection\negress: [a.example]\n", "open_connection is listed, too"),
        (b"agent: a\n", "'actions' is missing"),
        (b"[" * 100, "nests deeper"),
        (b"agent: " + b"a" * 70_000, "more than 65536 bytes"),
        (b"actions: [" + b"{name: a}," * 65 + b"]\nagent: a\n", "1 to 64 actions"),
        (b"agent: \xff\n", "not UTF-8"),
    ],
)
def test_a_bad_file_is_told_with_its_line_and_never_loaded(text, told):
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert told in refused.value.message
    assert refused.value.next_step


SMUGGLED = [
    '"} if true\n\ndeny contains {"rule": "x", "facts": {}} if false #',
    "`raw`",
    "x\\",
    "\u2028\u0007",
    "{{}} %s $(x)",
]


@pytest.mark.parametrize("text", SMUGGLED)
def test_no_text_gets_out_of_its_quotes(text):
    """What could become Rego if it were only pasted: the module has the rules it always has."""
    quoted = not set(text) & {"'", "\n", "\\"}
    bounds = agent_policy.parse(
        {
            "agent": "a",
            "actions": [
                {
                    "name": "deploy",
                    "parameters": {"a": {"equals": text}, "b": {"one_of": [text, 1]}},
                    "approval_needed": f"parameters.c == '{text}'" if quoted else True,
                }
            ],
        },
        "p.yaml",
    )
    plain = resolved(bounds, ())
    module = parse_module(Module("agents/a.rego", compiled(plain)))
    names = {rule.name for rule in module.rules}
    assert {rule.name for rule in module.rules if rule.kind == "set"} == {"deny", "approval"}
    assert names <= {
        *("tool", "environment", "meaning", "at_most", "listed", "deny", "approval", "is_1", "parameter_1_1"),
        *("parameter_1_2", "asks_1_1_no"),
    }


def test_no_file_name_gets_out_of_its_comment():
    bounds = agent_policy.parse({"agent": "a", "actions": [{"name": "deploy"}]}, "p.yaml")
    named = msgspec.structs.replace(resolved(bounds, ()), source='p\ndeny contains {"rule": "x", "facts": {}}')
    assert (
        len([rule for rule in parse_module(Module("agents/a.rego", compiled(named))).rules if rule.name == "deny"]) == 1
    )


TOOLS = (
    Tool("deploy", meaning=frozenset({"replicas"})),
    Tool("github.merge", read=False, parameters=frozenset({"number"})),
    Tool("argocd.sync"),
    Tool("spinnaker.sync"),
    Tool("grafana.query", read=True),
)


def tools_of(*names, tools=TOOLS):
    actions = [{"name": name} for name in names]
    return [
        found.tools for found in resolved(agent_policy.parse({"agent": "a", "actions": actions}, "p"), tools).actions
    ]


def test_names_mean_tools():
    assert tools_of("deploy") == [("deploy",)]
    assert tools_of("github.merge") == [("github.merge",)]
    assert tools_of("merge") == [("github.merge",)]
    assert tools_of("sync") == [("argocd.sync", "spinnaker.sync")]
    assert tools_of("nothing-of-the-kind") == [("nothing-of-the-kind",)]


def test_a_name_that_means_two_things_is_refused_with_both():
    with pytest.raises(UnresolvedError) as refused:
        tools_of("deploy", tools=(*TOOLS, Tool("argocd.deploy")))
    assert refused.value.problem == "deploy is ambiguous: it means deploy, argocd.deploy"
    with pytest.raises(UnresolvedError) as refused:
        tools_of("sync", "argocd.sync")
    assert (refused.value.index, refused.value.problem) == (1, "argocd.sync and sync both mean argocd.sync")


def warnings(**fields):
    bounds = agent_policy.parse({"agent": "a", "actions": [fields]}, "p")
    return " | ".join(resolved(bounds, TOOLS).warnings)


COUNTED = (
    *TOOLS,
    Tool("llm.ask", units=frozenset({"tokens"})),
    Tool("llm.tell", units=frozenset()),
    *(Tool(f"grafana.{name}", read=True) for name in ("logs", "a", "b", "c")),
)


def warned(*names, **budgets):
    """What is said of a file with these actions and budgets of its own."""
    document = {"agent": "a", "actions": [{"name": name} for name in names], "budgets": budgets}
    return " | ".join(resolved(agent_policy.parse(document, "p"), COUNTED).warnings)


def test_a_budget_of_the_file_that_counts_no_read_says_so():
    assert warned("deploy", per_second=10) == ""
    said = warned("query", "deploy", "logs", per_second=10)
    assert (
        said
        == "budgets: grafana.query and grafana.logs only read, and reads are not counted: see `calls` of gateway.yaml"
    )
    many = warned("query", "logs", "grafana.a", "grafana.b", "grafana.c", per_hour=1)
    assert "budgets: grafana.query, grafana.logs, grafana.a and 2 more only read" in many
    there = warned("query", environments={"production": {"per_minute": 2}})
    assert "grafana.query only reads, and reads are not counted" in there
    assert "not counted" not in warned("query", "deploy", per_day={"changes": 1}), "it is about what acts"
    assert "not counted" in warned("query", per_day={"changes": 1})


def test_a_budget_of_the_file_in_a_unit_that_nothing_costs_says_so():
    assert warned("deploy", per_day={"replica_hours": 1}) == (
        "budgets: no cost in replica_hours in the contract of deploy, so nothing is counted"
    )


def test_a_token_budget_says_who_declares_them():
    declared = "only what callers declare, so who declares none spends none: give the contract a cost in tokens"
    assert warned("ask", per_day={"tokens": 5}) == ""
    assert warned("ask", "tell", per_day={"tokens": 5}) == f"budgets: tokens of llm.tell are {declared}"
    tokens = {"per_day": {"tokens": 5}}
    assert warnings(name="deploy", budgets=tokens) == f"deploy: tokens of deploy are {declared}"
    assert "so nothing is counted" not in warnings(name="deploy", budgets=tokens)


def test_what_can_match_nothing_is_warned_of():
    assert "no tool has this name yet" in warnings(name="unheard-of")
    assert "names no amount, currency, so every call is denied" in warnings(name="deploy", max_amount=1, currency="EUR")
    assert "no currency, so 5 of any currency pass" in warnings(name="deploy", max_amount=5)
    assert "github.merge has no parameter title" in warnings(name="merge", parameters={"title": {"equals": "x"}})
    assert "no cost in replica_hours" in warnings(name="deploy", budgets={"per_day": {"replica_hours": 1}})
    assert "nobody approves a read" in warnings(name="query", approval_needed='env == "production"')
    assert "reads are not counted" in warnings(name="query", rate="1/hour")
    assert warnings(name="deploy", max_replicas=5, rate="1/hour") == ""


def test_a_digest_alone_is_no_image_that_a_condition_finds():
    digest = "sha256:" + "a" * 64
    said = warnings(name="deploy", approval_needed=f'"{digest}" in images')
    assert "approval_needed never finds sha256:aaaaaaaaaaaa... in images" in said
    whole = warnings(name="deploy", approval_needed=f'"registry.example/app@{digest}" in images or env == "production"')
    assert "never finds" not in whole


def test_what_is_otherwise_says_beyond_what():
    action = {"name": "deploy", "max_amount": 5, "currency": "EUR", "otherwise": "approval"}
    assert agent_policy.parse({"agent": "a", "actions": [action]}, "p").actions[0].asks_beyond
    for fields in ({"otherwise": "approval"}, {"otherwise": "ask", "max_replicas": 1}, {"otherwise": True}):
        with pytest.raises(FieldError, match="otherwise"):
            agent_policy.parse({"agent": "a", "actions": [{"name": "deploy", **fields}]}, "p")
    assert "nobody approves a read" in warnings(name="query", max_replicas=1, otherwise="approval")
    assert "nobody approves a read" not in warnings(name="query", max_replicas=1, otherwise="deny")
