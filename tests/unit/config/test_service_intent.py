"""bywire.yaml: what is accepted, what is refused with which one message, and that the JSON Schema agrees."""

import jsonschema_rs
import pytest
from config_documents import FULL, MISSING, edited, schema
from hypothesis import given, settings
from hypothesis import strategies as st

from bywire.config.reading import FieldError
from bywire.config.service_intent import parse, parse_branch, read_branch
from bywire.model.intent import Command, Segments, Sli, StartCommand, WarmUp

SCHEMA = jsonschema_rs.validator_for(schema("bywire.schema.json"))
COMMANDS = "commands"


def test_a_full_document_is_read_field_by_field():
    intent = parse(FULL, "bywire.yaml")
    assert intent.service == "storefront"
    assert intent.owners == ("payments",)
    assert intent.dependencies == ("card-network",)
    assert intent.test == Command(
        ("python", "-m", "pytest", "--junitxml=reports/junit.xml"), 120, "reports/junit.xml", "reports/coverage.json"
    )
    assert intent.start == StartCommand(("python", "-m", "storefront"), "/healthz", 20, "PORT")
    assert intent.warm == WarmUp("/internal/warm", 20)
    assert intent.artifact_include == ("storefront/**", "assets/**")
    assert intent.manifests == "deploy/"
    assert intent.slis == (Sli("availability", "errors", 0.999), Sli("latency", "slow", 0.99, 300))
    assert intent.segments == Segments("x-client-segment", ("desktop", "ios", "android", "mobile-web"))
    assert intent.rollout_steps == (5, 25, 50, 100)


@pytest.mark.parametrize(
    "document",
    [
        FULL,
        {"version": 1, "service": "a"},
        edited(FULL, ("manifests",), "deploy"),
        edited(FULL, ("rollout", "steps"), [100]),
        edited(FULL, ("rollout", "steps", 0), 5.0),
        edited(FULL, ("dependencies",), []),
        edited(FULL, (COMMANDS, "start", "run"), ["./run", ""]),
        edited(FULL, ("owners",), ["@org/team", "Dana Q. Smith"]),
    ],
)
def test_parser_and_schema_accept(document):
    parse(document, "bywire.yaml")
    SCHEMA.validate(document)


def test_a_manifest_directory_is_always_a_prefix():
    assert parse(edited(FULL, ("manifests",), "deploy"), "f").manifests == "deploy/"


# (path, value, what the message must say, whether JSON Schema can say it too)
MALFORMED = [
    ((), [], "expected a mapping", True),
    ((), None, "found nothing", True),
    (("version",), 2, "expected 1, found the number 2", True),
    (("version",), "1", "found the text '1'", True),
    (("version",), True, "the truth value true", True),
    (("version",), MISSING, "'version' is missing", True),
    (("service",), MISSING, "'service' is missing", True),
    (("service",), "Store Front", "expected a name of a-z", True),
    (("service",), "a" * 64, "expected a name of a-z", True),
    (("service",), "shop\n", "expected a name of a-z", True),
    (("service",), 7, "found the number 7", True),
    (("owners",), "payments", "expected a list of owners", True),
    (("owners",), [], "expected 1 to 20 owners", True),
    (("owners",), ["a", "a"], "appears twice", True),
    (("owners",), ["\x1b[31m"], "expected the name of a person", True),
    (("dependencies",), ["card network"], "expected a service name", True),
    (("stepz",), 1, "unknown key 'stepz'", True),
    (("rollout",), {"stepz": [100], "steps": [100]}, "unknown key 'stepz' in rollout; did you mean 'steps'?", True),
    (("rollout", "steps"), [], "expected 1 to 20 steps", True),
    (("rollout", "steps"), [5, 25, 25, 100], "expected more than the step before, 25", True),
    (("rollout", "steps"), [50, 25, 100], "rollout.steps[1]: expected more than the step before, 50", False),
    (("rollout", "steps"), [5, 50], "expected 100 as the last step", True),
    (("rollout", "steps"), [0, 100], "from 1 to 100", True),
    (("rollout", "steps"), [5.5, 100], "expected a whole number", True),
    (("rollout", "steps"), list(range(80, 101)), "expected 1 to 20 steps", True),
    ((COMMANDS,), None, "found nothing", True),
    ((COMMANDS, "deploy"), {"run": ["x"]}, "unknown key 'deploy' in commands", True),
    ((COMMANDS, "test"), {}, "'run' is missing", True),
    ((COMMANDS, "test", "run"), "pytest -q", "not a shell string", True),
    ((COMMANDS, "test", "run"), [], "expected 1 to 64 arguments", True),
    ((COMMANDS, "test", "run"), [""], "expected an argument of 1 to", True),
    ((COMMANDS, "test", "run"), ["sleep", 5], "commands.test.run[1]", True),
    ((COMMANDS, "test", "run"), ["a\x00b"], "expected an argument", True),
    ((COMMANDS, "test", "timeout_seconds"), 0, "from 1 to 3600", True),
    ((COMMANDS, "test", "timeout_seconds"), 3601, "from 1 to 3600", True),
    ((COMMANDS, "test", "timeout_seconds"), True, "the truth value true", True),
    ((COMMANDS, "test", "timeout_secs"), 5, "did you mean 'timeout_seconds'?", True),
    ((COMMANDS, "test", "junit"), "/tmp/junit.xml", "is an absolute path", True),
    ((COMMANDS, "test", "junit"), "../junit.xml", "leaves the repository", True),
    ((COMMANDS, "test", "junit"), "junit.json", "ending in .xml", True),
    ((COMMANDS, "test", "coverage"), "reports/coverage.txt", "ending in .json", True),
    ((COMMANDS, "build", "junit"), "reports/junit.xml", "unknown key 'junit' in commands.build", True),
    ((COMMANDS, "start", "ready"), "healthz", "expected a URL path", True),
    ((COMMANDS, "start", "ready"), "//evil.example/", "one leading '/'", True),
    ((COMMANDS, "start", "ready"), "/a?b=c", "expected a URL path", True),
    ((COMMANDS, "start", "port_env"), "port", "environment variable in capitals", True),
    ((COMMANDS, "warm"), {"timeout_seconds": 5}, "'path' is missing", True),
    (("artifact",), {}, "'include' is missing", True),
    (("artifact", "include"), ["a/../../b"], "leaves the repository", True),
    (("artifact", "include"), [".git/**"], "points into .git", True),
    (("artifact", "include"), ["a/.GIT/config"], "points into .git", True),
    (("manifests",), "/etc", "is an absolute path", True),
    (("manifests",), "..", "leaves the repository", True),
    (("manifests",), "deploy//", "empty or '.' part", True),
    (("assets",), ["assets/a.yaml"], "ending in .json", True),
    (("slis", 0, "objective"), 1, "strictly between 0 and 1", True),
    (("slis", 0, "objective"), "99.9%", "expected a number", True),
    (("slis", 0, "kind"), "latency", "expected one of errors, slow", True),
    (("slis", 0, "threshold_ms"), 5, "only kind 'slow' has a threshold", True),
    (("slis", 1, "threshold_ms"), MISSING, "'threshold_ms' is missing", True),
    (("slis", 1, "name"), "availability", "a second indicator is named 'availability'", False),
    (("segments", "header"), "Cookie", "header name in lower case", True),
    (("segments", "header"), "cookie", "carries secrets", True),
    (("segments", "values"), ["ios", "ios"], "appears twice", True),
    (("criticality",), "internal", "it belongs in the operator's operator.yaml", True),
    (("thresholds",), {"coverage": 0}, "it belongs in the operator's operator.yaml", True),
]


@pytest.mark.parametrize(("path", "value", "says", "schema_sees"), MALFORMED)
def test_malformed_documents_get_one_clear_message(path, value, says, schema_sees):
    document = edited(FULL, path, value) if path else value
    with pytest.raises(FieldError) as caught:
        parse(document, "bywire.yaml")
    assert caught.value.message.startswith("bywire.yaml: ")
    assert says in caught.value.message
    assert caught.value.next_step
    assert caught.value.message.isprintable()
    assert SCHEMA.is_valid(document) is not schema_sees


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="a./\\ \t-*gitGT\x7f", max_size=12))
def test_paths_are_judged_alike_by_parser_and_schema(path):
    for key, document in (
        ("include", edited(FULL, ("artifact", "include"), [path])),
        ("manifests", edited(FULL, ("manifests",), path)),
    ):
        assert accepts(document) == SCHEMA.is_valid(document), (key, path)


def accepts(document):
    try:
        parse(document, "f")
    except FieldError:
        return False
    return True


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 200)
    | st.floats(0, 2)
    | st.sampled_from(["", "a", "slow", "/x", "a.json"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["run", "steps", "name", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES = [
    ("version",), ("service",), ("owners",), ("dependencies",), ("commands",), ("commands", "test"),
    ("commands", "start"), ("commands", "warm"), ("commands", "build", "run"), ("artifact",), ("manifests",),
    ("assets",), ("slis",), ("slis", 0), ("slis", 1, "threshold_ms"), ("segments",), ("segments", "values"),
    ("rollout",), ("rollout", "steps"),
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_what_the_parser_accepts_the_schema_accepts(path, value):
    document = edited(FULL, path, value)
    if accepts(document):
        SCHEMA.validate(document)


def test_a_branch_may_say_what_is_not_its_business_without_being_obeyed():
    document = edited(edited(FULL, ("criticality",), "internal"), ("rollout", "ceiling"), 100)
    intent, foreign = parse_branch(document, "bywire.yaml")
    assert intent == parse(FULL, "bywire.yaml")
    assert set(foreign) == {"rollout.ceiling (not a service's to set)", "criticality (not a service's to set)"}


def test_a_branch_that_removes_the_file_changes_nothing_but_is_named():
    base = parse(FULL, "bywire.yaml")
    assert read_branch(base, None, "bywire.yaml") == (base, ("bywire.yaml (removed by the branch)",))


def test_reading_a_branch_names_loosened_fields_and_foreign_keys_together():
    base = parse(FULL, "bywire.yaml")
    document = edited(edited(FULL, ("thresholds",), {}), ("rollout", "steps"), [50, 100])
    assert read_branch(base, document, "bywire.yaml") == (
        base,
        ("rollout.steps", "thresholds (not a service's to set)"),
    )
