"""Agent policies, questions, and conditions with their meaning, for property tests."""

import operator

from bounds_reference import at, number, same
from hypothesis import strategies as st

DIGESTS = ["sha256:" + digit * 64 for digit in "ab"]
REPOSITORIES = ["registry.example/app", "registry.example:5000/team/app"]
UNIT_TEXTS = ["", "v1", "v12", "V1", "prod", "EUR", 'a"b', "a\nb", "\\", "}", "ü", "\U0001f600", "1", "true"]
SCALARS = [*UNIT_TEXTS, 0, 1, -1, 2.5, 50, 51, 10**9, True, False]
VALUES = [*SCALARS, None, [], ["v1"], {}, {"a": "v1"}, {"type": "token", "hmac": "x"}]
ENVIRONMENTS = ["non-production", "staging", "production"]
HOSTS = ["api.example.com", "*.example.org:8443", "git.example.com:22"]
PATHS = ["mode", "spec.replicas", "spec.a.b", "force", "note"]
PATTERNS = ["v[0-9]+", "^v\\d{1,2}$", "[^a-z]*", "(?:a|b)?", "\\w+", ".*", '["\\\\]+']

# A comparison in the language, and what it means: True, False, or None for unknown.
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def spelt(value):
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def equality(name, path, sign, literal):
    def means(question):
        value = at(question, *path)
        return None if value is None else same(value, literal) is (sign == "==")

    return f"{name} {sign} {spelt(literal)}", means


def order(name, path, sign, literal):
    def means(question):
        value = at(question, *path)
        return ORDERS[sign](value, literal) if number(value) else None

    return f"{name} {sign} {literal}", means


def membership(name, path, literals, denied):
    def means(question):
        value = at(question, *path)
        return None if value is None else any(same(value, literal) for literal in literals) is not denied

    return f"{name} {'not ' if denied else ''}in [{', '.join(map(spelt, literals))}]", means


def holding(literal, name, path, denied):
    def means(question):
        value = at(question, *path)
        return any(same(literal, item) for item in value) is not denied if isinstance(value, list) else None

    return f"{spelt(literal)} {'not ' if denied else ''}in {name}", means


def presence(name, path):
    return f"given({name})", lambda question: at(question, *path) is not None


ENVIRONMENT = ("action", "environment")
MODE = ("action", "parameters", "mode")
LITERALS = ["prod", "v1", "", 1, 0, 2.5, True, False]
REPLICAS, AMOUNT, CURRENCY = (("action", "meaning", word) for word in ("replicas", "amount", "currency"))
signs, orders = st.sampled_from(["==", "!="]), st.sampled_from([*ORDERS])
modes, some_modes = st.sampled_from(LITERALS), st.lists(st.sampled_from(LITERALS), min_size=1, max_size=3)
places = st.sampled_from(ENVIRONMENTS)
leaves = st.one_of(
    st.builds(equality, st.sampled_from(["env", "environment"]), st.just(ENVIRONMENT), signs, places),
    st.builds(
        membership, st.just("env"), st.just(ENVIRONMENT), st.lists(places, min_size=1, max_size=2), st.booleans()
    ),
    st.builds(order, st.just("replicas"), st.just(REPLICAS), orders, st.sampled_from([0, 1, 50, 2.5, -1])),
    st.builds(order, st.just("amount"), st.just(AMOUNT), orders, st.sampled_from([0, 100])),
    st.builds(equality, st.just("currency"), st.just(CURRENCY), signs, st.just("EUR")),
    st.builds(equality, st.just("parameters.mode"), st.just(MODE), signs, modes),
    st.builds(membership, st.just("parameters.mode"), st.just(MODE), some_modes, st.booleans()),
    st.builds(presence, st.just("parameters.mode"), st.just(MODE)),
    st.builds(
        holding,
        st.sampled_from(["kubectl", "v1"]),
        st.just("command"),
        st.just(("action", "meaning", "command")),
        st.booleans(),
    ),
)


def denial(part):
    text, means = part
    return f"not ({text})", lambda question: None if (found := means(question)) is None else not found


def joined(parts, word):
    def means(question):
        found = [part(question) for _, part in parts]
        decisive = word == "or"
        return decisive if decisive in found else None if None in found else not decisive

    return f" {word} ".join(f"({text})" for text, _ in parts), means


conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(denial, inner),
        st.builds(joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["and", "or"])),
    ),
    max_leaves=5,
)

rules = st.one_of(
    st.sampled_from(SCALARS).map(lambda value: {"equals": value}),
    st.lists(st.sampled_from(SCALARS), min_size=1, max_size=3, unique_by=lambda value: (type(value), value)).map(
        lambda values: {"one_of": values}
    ),
    st.sampled_from(PATTERNS).map(lambda text: {"pattern": text}),
    st.sampled_from([{"min": 1}, {"max": 50}, {"min": -1, "max": 2.5}]),
)
bounded = st.one_of(
    st.just({"forbidden": True}),
    st.builds(lambda rule, optional: rule | ({"optional": True} if optional else {}), rules, st.booleans()),
)
images = st.sampled_from(
    [
        [{"digest": DIGESTS[0]}],
        [{"digest": DIGESTS[0], "repository": REPOSITORIES[0]}, {"digest": DIGESTS[1]}],
        [{"repository": name} for name in REPOSITORIES],
        [{"digest": "sha256:...approved..."}],
    ]
)


@st.composite
def actions(draw, name):
    """(the action's document, the meaning of its condition or None)."""
    optional = {
        "allowed_environments": st.lists(st.sampled_from(ENVIRONMENTS), min_size=1, max_size=3, unique=True),
        "allowed_images": images,
        "max_replicas": st.sampled_from([0, 50]),
        "max_amount": st.sampled_from([0, 100, 99.5]),
        "currency": st.just("EUR"),
        "parameters": st.dictionaries(st.sampled_from(PATHS), bounded, min_size=1, max_size=3),
        "allowed_commands": st.sampled_from([["kubectl"], ["kubectl get", "helm"]]),
        "egress": st.lists(st.sampled_from(HOSTS), min_size=1, max_size=3, unique=True),
        "budgets": st.sampled_from(
            [{"per_hour": 20}, {"per_day": {"replica_hours": 1.5}}, {"per_minute": 5, "per_second": {"tokens": 0.1}}]
        ),
        "rate": st.sampled_from(["10/hour", "3 per day", "2/second", "5 per minute"]),
    }
    document = {"name": name}
    for key, values in optional.items():
        if draw(st.integers(0, 2)) == 0:
            document[key] = draw(values)
    if document.keys() & {"allowed_images", "max_replicas", "max_amount"} and draw(st.booleans()):
        document["otherwise"] = draw(st.sampled_from(["deny", "approval", "approval"]))
    ask = None
    kind = draw(st.integers(0, 3))
    if kind == 1:
        document["approval_needed"] = draw(st.booleans())
    elif kind > 1:
        document["approval_needed"], ask = draw(conditions)
    return document, ask


@st.composite
def policies(draw):
    """(the document, the meaning of each action's condition)."""
    names = draw(st.sampled_from([["deploy"], ["deploy", "github.scale"], ["scale"]]))
    made = [draw(actions(name)) for name in names]
    document = {"agent": "deploy-manager", "actions": [action for action, _ in made]}
    if draw(st.booleans()):
        document["budgets"] = draw(
            st.sampled_from(
                [
                    {"per_day": {"replica_hours": 100, "tokens": 5}},
                    {"per_day": 3, "per_hour": 9},
                    {"per_second": 1, "per_minute": {"tokens": 5}},
                    {"environments": {"production": {"per_minute": 2}, "staging": {"per_day": 9, "per_second": 5}}},
                ]
            )
        )
    return document, [ask for _, ask in made]


IMAGES = [
    f"{REPOSITORIES[0]}@{DIGESTS[0]}",
    f"{REPOSITORIES[0]}:latest@{DIGESTS[1]}",
    f"{REPOSITORIES[1]}@{DIGESTS[1]}",
    f"{REPOSITORIES[0]}:5000/evil@{DIGESTS[0]}",
    f"registry.example@{DIGESTS[0]}",
    f"{REPOSITORIES[0]}:latest",
    "app@sha256:...approved...",
    f"x@{DIGESTS[0]}@{DIGESTS[1]}",
    f"{REPOSITORIES[0].replace('a', 'а')}@{DIGESTS[0]}",  # noqa: RUF001  the other alphabet's letter
    f"{REPOSITORIES[0]}@{DIGESTS[0].upper()}",
    "",
    7,
]
numbers = st.sampled_from([0, 1, 50, 51, 99.5, 100, 101, 200, 1e9, -1, True, "200", None, [50]])
COMMANDS = [
    ["kubectl", "get", "pods"],
    ["kubectl", "delete"],
    ["helm"],
    ["kubectl get"],
    [],
    None,
    "helm",
    [["kubectl"]],
]
NAMED = [
    *(["api.example.com"], ["API.example.com"], ["a.example.org"], ["a.b.example.org"]),
    *(["evil.example"], [], None, [7], "x"),
]
ENDS = [
    *(["api.example.com:443"], ["api.example.com:22"], ["a.example.org:8443", "API.example.com:443"]),
    *(["a.example.org:443"], ["api.example.com:?"], [], None, [7]),
]
meanings = st.fixed_dictionaries(
    {},
    optional={
        "images": st.one_of(st.lists(st.sampled_from(IMAGES), max_size=2), st.sampled_from([None, IMAGES[0], {}])),
        "replicas": numbers,
        "amount": numbers,
        "currency": st.sampled_from(["EUR", "eur", "USD", "", None, 7]),
        "command": st.sampled_from(COMMANDS),
        "hosts": st.sampled_from(NAMED),
        "endpoints": st.sampled_from(ENDS),
    },
)
destinations = st.sampled_from(
    [
        {},
        {"host": "api.example.com", "port": 443},
        {"host": "API.EXAMPLE.COM", "port": 443},
        {"host": "api.example.com", "port": 22},
        {"host": "git.example.com", "port": 22},
        {"host": "a.example.org", "port": 8443},
        {"host": "example.org", "port": 8443},
        {"host": "api.example.com.evil.example", "port": 443},
        {"host": 7, "port": 443},
        {"host": "api.example.com", "port": "443"},
        {"host": "api.example.com"},
    ]
)
OWN = "principal:agent:deploy-manager"
SCOPES = [
    *(OWN, OWN, f"{OWN}|tool:deploy", f"{OWN}|tool:github.scale", f"{OWN}|environment:production"),
    *(f"{OWN}|environment:staging", "principal:agent:other", None, 7),
]
usages = st.lists(
    st.fixed_dictionaries(
        {
            "unit": st.sampled_from(["replica_hours", "tokens", "actions"]),
            "period": st.sampled_from(["day", "day", "hour", "minute", "second"]),
            "observed": st.sampled_from([0, 1_000, 99_999, 100_000, 5_000, None, "1"]),
            "asked": st.sampled_from([0, 1, 1_000, 100_000, -1, None]),
            "frees_at_ms": st.sampled_from([None, 0, 10**13, "1"]),
        },
        optional={"scope": st.sampled_from(SCOPES)},
    ),
    max_size=3,
)
questions = st.builds(
    lambda tool, environment, parameters, spec, meaning, destination, usage: {
        "principal": {"id": "agent:deploy-manager"},
        "action": {
            "tool": tool,
            "environment": environment,
            "parameters": parameters | ({"spec": spec} if spec is not None else {}),
            "meaning": meaning,
            "destination": destination,
        },
        "state": {"usage": usage},
    },
    st.sampled_from(["deploy", "deploy", "github.scale", "gitlab.scale", "scale", "Deploy", "dеploy", None, 7]),  # noqa: RUF001
    st.sampled_from([*ENVIRONMENTS, "Production", None]),
    st.dictionaries(
        st.sampled_from(["mode", "force", "note", "spec.replicas", "spec.a"]), st.sampled_from(VALUES), max_size=3
    ),
    st.one_of(
        st.none(),
        st.sampled_from(VALUES).map(lambda value: {"replicas": value}),
        st.sampled_from([{"a": {"b": 50}}, {"a": [1]}, {"a.b": 50}]),
        st.sampled_from(["x", [{"replicas": 9}], [], '{"replicas": 9}']),
    ),
    meanings,
    destinations,
    usages,
)
