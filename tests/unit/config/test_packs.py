"""Shipped contract packs: closed, bounded, never too kind; and what servers publish, by name and digest."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from bywire.config import contract_files
from bywire.config.packs import HOST, HOSTS, HTTP, KINDS, MCP, cut_to, misfits
from bywire.wiring.packs import pack, packs

PUBLISHED = json.loads((Path(__file__).parents[2] / "conformance" / "published_tools.json").read_text())
COUNTS = {
    "argocd": 16, "claude-code": 38, "codex": 11, "cursor": 13, "github": 117, "github-rest": 49, "gitlab-rest": 48,
    "grafana": 124, "kubernetes": 24,
}  # fmt: skip
DESTRUCTIVE = (
    "create", "delete", "remove", "update", "merge", "push", "write", "scale", "sync", "run_", "exec", "install",
    "uninstall", "dispatch", "cancel", "rerun", "retry", "play", "stop_", "set_", "put_", "approve", "protect",
    "unprotect", "fork", "apply", "trigger", "drop", "assign",
)  # fmt: skip
# Their names hold such a word, and they look.
LOOKS = ("get_", "list_", "search_", "find_", "describe_", "check_")
HIGH = {
    "github": ("merge_pull_request", "push_files", "create_or_update_file", "delete_file", "actions_run_trigger"),
    "github-rest": ("merge_pull_request", "dispatch_workflow", "create_deployment", "delete_branch"),
    "gitlab-rest": ("merge_merge_request", "create_pipeline", "play_job", "create_commit"),
    "kubernetes": ("pods_exec", "resources_scale", "resources_create_or_update", "resources_delete", "helm_install"),
    "argocd": ("sync_application", "delete_application", "create_application", "run_resource_action"),
    "grafana": ("install_plugin", "create_datasource", "query_clickhouse"),
}
CATEGORIES = {
    ("github-rest", "put_actions_secret"): "secret_mutation",
    ("gitlab-rest", "update_variable"): "secret_mutation",
    ("github-rest", "delete_branch_protection"): "verification_weakening",
    ("github-rest", "create_commit_status"): "verification_weakening",
    ("gitlab-rest", "approve_merge_request"): "verification_weakening",
    ("github-rest", "delete_repository"): "data_mutation",
    ("github", "delete_repository"): "data_mutation",
    ("grafana", "update_datasource"): "secret_mutation",
}
# What changes alerts, calls any API, or is a product of its own.
LEFT_OUT = (
    "alerting_routing_write", "alerting_rules_write", "alerting_silences_write", "grafana_api_request", "ask_assistant",
    "agento11y_",
)  # fmt: skip
ALL = [(one.name, name, tool) for one in packs() for name, tool in one.tools.items()]


def test_there_are_as_many_tools_as_there_were():
    assert {one.name: len(one.tools) for one in packs()} == COUNTS
    assert set(COUNTS) == set(KINDS)
    assert {name for name, kind in KINDS.items() if kind.kind == HOST} == set(HOSTS)


@pytest.mark.parametrize(("source", "name", "tool"), ALL, ids=[f"{source}.{name}" for source, name, _ in ALL])
def test_each_tool_is_bounded_and_no_kinder_than_its_name(source, name, tool):
    assert tool["category"] in contract_files.CATEGORIES
    assert tool["risk"] in contract_files.RISKS
    assert tool["description"]
    if any(word in name for word in DESTRUCTIVE) and not name.startswith(LOOKS):
        assert tool["category"] != "read"
    host = KINDS[source].kind == HOST
    assert unbounded(tool["schema"], open_ends=host) == []
    assert ("request" in tool) == (KINDS[source].kind == HTTP)
    # Nothing harmless is done without end, and a rule wants to see the rate.
    assert tool["category"] != "harmless_reversible" or tool["rate_per_hour"]
    if tool["category"] in {"secret_mutation", "verification_weakening", "data_mutation"}:
        assert tool["risk"] in {"high", "very-high"}


def unbounded(schema, where="", *, open_ends=False):
    """Places of a schema where something has no bound; `open_ends`: the top may hold other parameters, so many."""
    kinds = schema.get("type")
    kinds = {kinds} if isinstance(kinds, str) else set(kinds or ())
    if "enum" in schema or kinds == {"boolean"}:
        return []
    found = [] if kinds else [f"{where}: no type"]
    if "string" in kinds and "maxLength" not in schema and "pattern" not in schema:
        found.append(f"{where}: text")
    if kinds & {"integer", "number"} and "maximum" not in schema:
        found.append(f"{where}: number")
    if "array" in kinds:
        found += [] if "maxItems" in schema and "items" in schema else [f"{where}: list"]
        found += unbounded(schema.get("items", {"type": "boolean"}), f"{where}[]")
    if "object" in kinds:
        closed = schema.get("additionalProperties") is False
        loose = "maxProperties" in schema and (where or open_ends)
        found += [] if closed or loose else [f"{where}: open"]
        for name, inner in schema.get("properties", {}).items():
            found += unbounded(inner, f"{where}.{name}")
    return found


# What something is called, when it was or what is written into it; all other numbers are how much is asked for.
IDENTITIES = re.compile(
    r"(?i).*(?:id|ids|iid|number|version)|duplicate_of|milestone|from|to|time|timeEnd|when|expires|number_value"
)
AMOUNT_MAX, POSITION_MAX, QUERY_MAX = 100_000, 1_000_000, 4_096
POSITIONS = {"offset", "start", "line", "startLine", "start_line", "end_line"}


def limits(schema, name=""):
    """(parameter, type, bound) of every number and text of a schema."""
    if "maximum" in schema:
        yield name, "number", schema["maximum"]
    if "maxLength" in schema:
        yield name, "text", schema["maxLength"]
    for inner, item in schema.get("properties", {}).items():
        yield from limits(item, inner)
    if isinstance(schema.get("items"), dict):
        yield from limits(schema["items"], name)


@pytest.mark.parametrize(("source", "name", "tool"), ALL, ids=[f"{source}.{name}" for source, name, _ in ALL])
def test_how_much_is_asked_for_has_a_maximum_that_means_something(source, name, tool):
    if KINDS[source].kind == HOST:
        return
    for parameter, kind, bound in limits(tool["schema"]):
        if kind == "number" and not IDENTITIES.fullmatch(parameter):
            assert bound <= (POSITION_MAX if parameter in POSITIONS else AMOUNT_MAX), parameter
        if kind == "text" and tool["category"] == "read":
            assert bound <= QUERY_MAX, parameter


LOKI = {"datasourceUid": "d", "logql": "{}"}
PROMETHEUS = {"datasourceUid": "d", "expr": "up", "endTime": "now"}
JOB = {"owner": "o", "repo": "r", "job_id": 53_000_000_000}
NODE = {"name": "n", "query": "kubelet"}
ASKED = [
    ("grafana", "query_loki_logs", {**LOKI, "limit": 100}, {**LOKI, "limit": 5_001}),
    ("grafana", "query_loki_logs", {**LOKI, "logql": "x" * 4_096}, {**LOKI, "logql": "x" * 4_097}),
    ("grafana", "query_prometheus", {**PROMETHEUS, "expr": "x" * 4_096}, {**PROMETHEUS, "expr": "x" * 60_000}),
    ("grafana", "query_prometheus", {**PROMETHEUS, "stepSeconds": 60}, {**PROMETHEUS, "stepSeconds": 10**12}),
    ("grafana", "get_annotations", {"from": 1_790_000_000_000, "limit": 100}, {"limit": 5_001}),
    ("github", "get_job_logs", {**JOB, "tail_lines": 500}, {**JOB, "tail_lines": 10_001}),
    ("kubernetes", "nodes_log", {**NODE, "tailLines": 10_000}, {**NODE, "tailLines": 10_001}),
    # To this server nothing, 0 and -1 are the whole log.
    ("kubernetes", "nodes_log", {**NODE, "tailLines": 1}, NODE),
    ("kubernetes", "nodes_log", {**NODE, "tailLines": 1}, {**NODE, "tailLines": 0}),
    ("kubernetes", "nodes_log", {**NODE, "tailLines": 1}, {**NODE, "tailLines": -1}),
]


@pytest.mark.parametrize(("source", "name", "sane", "huge"), ASKED)
def test_reads_of_logs_and_metrics_are_bounded(source, name, sane, huge):
    import jsonschema_rs

    asked = jsonschema_rs.validator_for(pack(source).tools[name]["schema"])
    assert asked.is_valid(sane)
    assert not asked.is_valid(huge)


BEGINS = re.compile(r"(?i)start|from|start_?time|start_?rfc_?3339")
# Of one trace, of what is indexed by name, of notes and of versions: not of all that was measured meanwhile.
TIMELESS = {"diff_tempo_traces", "get_annotations", "list_dashboard_versions", "list_alert_groups"}
LABELS = {f"list_prometheus_{what}" for what in ("label_names", "label_values", "metric_names")}


def test_each_read_that_takes_a_time_takes_a_bounded_stretch_of_it():
    for source, name, tool in ALL:
        begins = [one for one in tool["schema"].get("properties", {}) if BEGINS.fullmatch(one)]
        if tool["category"] == "read" and begins and name not in TIMELESS | LABELS:
            assert tool["window"]["from"] in begins, f"{source}.{name}"
            assert tool["window"]["seconds"] <= 31 * 86_400
            assert "to" in tool["window"]


def test_a_server_without_a_start_of_its_own_is_told_one():
    """Loki begins an hour ago where nobody says; these would begin with the first document."""
    for name in ("query_elasticsearch", "query_quickwit"):
        assert "startTime" in pack("grafana").tools[name]["schema"]["required"]


FORGES = ("github", "github-rest", "gitlab-rest")
# What a loop makes more of: runs, and what people are told of or have to look at.
MAKES = ("create_", "add_", "fork_", "assign_copilot", "request_copilot", "rerun", "retry", "dispatch", "play_")
MAKES_TOO = {"actions_run_trigger", "issue_write", "discussion_comment_write", "pull_request_review_write"}
RERUNS = {
    ("github-rest", "rerun_failed_jobs"),
    ("github-rest", "rerun_workflow_run"),
    ("gitlab-rest", "retry_job"),
    ("gitlab-rest", "retry_pipeline"),
}


@pytest.mark.parametrize(("source", "name", "tool"), [one for one in ALL if one[0] in FORGES])
def test_what_a_loop_makes_more_of_has_a_rate(source, name, tool):
    if tool["category"] != "read" and (name.startswith(MAKES) or name in MAKES_TOO):
        assert 0 < tool["rate_per_hour"] <= (6 if (source, name) in RERUNS else 600)


@pytest.mark.parametrize(("source", "name"), sorted(RERUNS))
def test_one_run_is_run_again_once_for_each_agent(source, name):
    """Seed 001, 20.1: a second attempt at the same run is a person's; green by rerun is no evidence."""
    found = contract_files.parse(
        {"version": 1, "upstream": source, "tools": [pack(source).tools[name]]}, "", upstream=source
    )
    run = next(one for one in ("run_id", "job_id", "pipeline_id") if one in found[0].schema["properties"])
    here = dict.fromkeys(found[0].schema["required"], "a")
    assert found[0].key_for({**here, run: 7}) == found[0].key_for({**here, run: 7})
    assert found[0].key_for({**here, run: 7}) != found[0].key_for({**here, run: 8})
    assert found[0].key_for({**here, run: 7}) != found[0].key_for({**dict.fromkeys(here, "b"), run: 7})


def test_what_may_be_said_or_opened_again_later_has_no_key_of_its_contract():
    """`/retest` twice is two comments, and a branch that was merged is merged again next week: rates bound these."""
    for source, name, tool in ALL:
        if source in FORGES and name.startswith(("create_", "add_")):
            assert "idempotency_key_from" not in tool, f"{source}.{name}"


def test_a_rerun_of_what_failed_is_an_experiment_and_a_rerun_of_everything_runs_deployments_again():
    again = {("github-rest", "rerun_failed_jobs"), ("gitlab-rest", "retry_pipeline")}
    for source, name in RERUNS:
        tool = pack(source).tools[name]
        said = (tool["category"], tool["risk"], tool["undo"])
        failed_only = ("harmless_reversible", "low", "compensatable")
        # GitLab retries a job that passed as well: an old deployment's, for one.
        assert said == (
            failed_only if (source, name) in again else ("production_orchestration", "medium", "irreversible")
        )


@pytest.mark.parametrize(("source", "names"), HIGH.items())
def test_what_reaches_far_is_of_high_risk(source, names):
    assert {pack(source).tools[name]["risk"] for name in names} <= {"high", "very-high"}


@pytest.mark.parametrize(("place", "category"), CATEGORIES.items())
def test_secrets_checks_and_data_have_their_categories(place, category):
    source, name = place
    assert pack(source).tools[name]["category"] == category


def test_an_agent_never_approves_and_never_reads_secrets_through_a_pack():
    github = pack("github").tools
    for name in ("pull_request_review_write", "create_pull_request_review", "submit_pending_pull_request_review"):
        assert "APPROVE" not in github[name]["schema"]["properties"]["event"]["enum"]
    assert "APPROVE" not in pack("github-rest").tools["create_review"]["schema"]["properties"]["event"]["enum"]
    import jsonschema_rs

    listing = jsonschema_rs.validator_for(pack("kubernetes").tools["resources_list"]["schema"])
    assert listing.is_valid({"apiVersion": "v1", "kind": "Pod"})
    for kind in ("Secret", "secret", "secrets", "SECRETS"):
        assert not listing.is_valid({"apiVersion": "v1", "kind": kind})


@pytest.mark.parametrize("source", PUBLISHED)
def test_packs_know_what_servers_publish(source):
    known, published = pack(source), PUBLISHED[source]["tools"]
    left_out = {name for name in published if source == "grafana" and name.startswith(LEFT_OUT)}
    assert known.kind.kind == MCP
    assert set(published) - set(known.tools) == left_out
    assert set(known.tools) <= set(published)
    for name, digest in published.items():
        if digest and name in known.tools:
            assert digest == names_digest(known.tools[name]["schema"]), name


def names_digest(schema):
    return hashlib.sha256("\n".join(sorted(schema.get("properties", {}))).encode()).hexdigest()[:16]


NARROW = {
    "type": "object",
    "additionalProperties": False,
    "required": ["a"],
    "properties": {"a": {"type": "string", "maxLength": 3}, "n": {"type": "integer"}},
}
WIDE = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "n": {"type": "number"}, "x": {}}}


@pytest.mark.parametrize(
    ("wide", "expected"),
    [
        (WIDE, True),
        ({**WIDE, "required": []}, True),
        ({**WIDE, "required": ["a", "x"]}, False),
        ({**WIDE, "required": ["a", "n"]}, False),
        ({**WIDE, "required": "a"}, False),
        ({**WIDE, "properties": {"a": {"type": "string"}}}, False),
        ({**WIDE, "properties": {**WIDE["properties"], "a": {"type": "array"}}}, False),
        ({**WIDE, "properties": {**WIDE["properties"], "a": {"type": ["string", "null"]}}}, True),
        ({**WIDE, "properties": {**WIDE["properties"], "a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, True),
        ({**WIDE, "properties": []}, False),
        (None, False),
        ("x", False),
    ],
)
def test_a_tool_is_known_when_every_call_means_the_same(wide, expected):
    assert (list(misfits(NARROW, wide)) == []) is expected


LACKING = {**WIDE, "properties": {"a": {"type": "string"}}}


def test_a_contract_is_cut_to_what_a_server_of_another_version_takes():
    entry, cut = cut_to({"name": "x", "schema": NARROW}, LACKING)
    assert (cut, entry["schema"]) == (("n",), {**NARROW, "properties": {"a": NARROW["properties"]["a"]}})
    whole = {"name": "x", "schema": NARROW}
    assert cut_to(whole, WIDE) == (whole, ())


@pytest.mark.parametrize(
    "reading",
    [
        {"environment_from": {"parameter": "n", "values": {}}},
        {"meaning": {"replicas": "n"}},
        {"cost": [{"unit": "tokens", "parameter": "n", "factor": 1}]},
        {"idempotency_key_from": "job-{n}"},
        {"window": {"from": "n", "seconds": 60}},
        {"window": {"from": "a", "to": "n", "seconds": 60}},
        {"schema": {**NARROW, "required": ["a", "n"]}},
    ],
)
def test_what_a_contract_needs_or_reads_from_is_never_cut(reading):
    assert cut_to({"name": "x", "schema": NARROW, **reading}, LACKING) is None


def test_nothing_is_cut_of_what_is_inside_of_a_value_or_has_another_type():
    inside = {**NARROW, "properties": {**NARROW["properties"], "o": {"type": "object", "properties": {"k": {}}}}}
    theirs = {**WIDE, "properties": {**WIDE["properties"], "o": {"type": "object", "properties": {"z": {}}}}}
    assert cut_to({"name": "x", "schema": inside}, theirs) is None
    assert cut_to({"name": "x", "schema": NARROW}, {**WIDE, "properties": {"a": {"type": "array"}}}) is None


def test_no_pack_lets_a_call_choose_where_it_goes():
    """Servers take parameters that lead a call to another instance; contracts speak for the one of gateway.yaml."""
    for source, name in (("argocd", "argocdBaseUrl"), ("kubernetes", "context"), ("grafana", "orgId")):
        for tool, entry in pack(source).tools.items():
            assert name not in entry["schema"]["properties"], tool
    page = pack("grafana").tools["get_doc"]["schema"]
    import jsonschema_rs

    pages = jsonschema_rs.validator_for(page)
    assert pages.is_valid({"url": "https://grafana.com/docs/grafana/latest/"})
    for url in ("https://grafana.com.evil.example/docs/", "http://169.254.169.254/", "https://grafana.com/docs/\n", ""):
        assert not pages.is_valid({"url": url}), url
