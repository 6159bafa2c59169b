"""From claims to an agent: what a pattern fits, what it must not, and which run a token is for."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.identity.oidc import Subject
from bywire.identity.oidc_claims import admission, claim, fits
from bywire.model.errors import EvidenceError
from bywire.model.gateway_issuers import ClaimRule, Issuer, Mapping

CLAIMS = {
    "repository": "acme/storefront",
    "repository_id": "74",
    "run_id": "99",
    "ref": "refs/heads/main",
    "event_name": "push",
    "email_verified": True,
    "level": 1,
    "kubernetes.io": {"namespace": "agents", "pod": {"uid": "p-1"}},
    "a/b": {"c~d": "odd"},
}


def rules(**claims):
    return Mapping("agent:x", tuple(ClaimRule(name, values) for name, values in claims.items()))


def subject(**claims):
    return Subject("https://issuer.example", "s", claims, "k", 0, 1, "j")


def admitted(mappings, claims=CLAIMS, agent=""):
    return admission(subject(**claims), Issuer("https://issuer.example", tuple(mappings)), agent)


def refused(mappings, claims=CLAIMS, agent=""):
    with pytest.raises(EvidenceError) as caught:
        admitted(mappings, claims, agent)
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("repository", "acme/storefront"),
        ("/kubernetes.io/namespace", "agents"),
        ("/kubernetes.io/pod/uid", "p-1"),
        ("/a~1b/c~0d", "odd"),
        ("kubernetes.io.namespace", None),
        ("/kubernetes.io/pod/uid/0", None),
        ("/repository/x", None),
        ("missing", None),
        ("/", None),
    ],
)
def test_a_claim_is_a_name_or_a_pointer(name, found):
    assert claim(CLAIMS, name) == found


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("refs/heads/release-*", "refs/heads/release-1", True),
        ("refs/heads/release-*", "refs/heads/release-1/evil", False),
        ("refs/heads/release-*", "refs/heads/release-", True),
        ("refs/heads/release-*", "xrefs/heads/release-1", False),
        ("refs/heads/release-*", "refs/heads/release-1\n", False),
        ("acme/automation/*", "acme/automation/.github/workflows/x.yml", False),
        ("acme/*@refs/heads/main", "acme/x@refs/heads/main", True),
        ("acme/*@refs/heads/main", "acme/x@refs/heads/evil@refs/heads/main", False),
        ("repo:acme/*", "repo:acme/x:ref:refs/heads/main", False),
        ("prod-*", "prod-eu", True),
        ("prod-*", "PROD-eu", False),
        ("prod-*", "staging", False),
        ("a.c*", "abc", False),
        ("prod", "prod-eu", False),
    ],
)
def test_a_star_stays_in_its_segment(pattern, value, expected):
    assert fits(rules(c=(pattern,)), {"c": value}) is expected


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (True, 1), (1, True), ("1", 1), (1, "1"), ("true", True), (1, 1.0), ("x", ["x"]), ("x", {"x": 1}), ("x", None),
        ("None", None), ("x*", ["x"]),
    ],
)  # fmt: skip
def test_nothing_is_coerced(rule, value):
    assert not fits(rules(c=(rule,)), {"c": value})


def test_every_claim_of_a_mapping_must_fit():
    assert fits(rules(repository=("acme/storefront",), level=(1,), email_verified=(True,)), CLAIMS)
    assert not fits(rules(repository=("acme/storefront",), level=(2,)), CLAIMS)
    assert not fits(rules(repository=("acme/storefront",), actor=("dana",)), CLAIMS)
    assert fits(rules(ref=("refs/tags/v1", "refs/heads/main")), CLAIMS)


def test_a_pattern_takes_linear_time():
    began = time.process_time()
    assert not fits(rules(c=("aa*a*b",)), {"c": "a" * 1_024})
    assert not fits(rules(c=("aa*a*b",)), {"c": "a" * 1_000_000})
    assert time.process_time() - began < 0.5


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_text_without_a_star_fits_itself_alone(pattern, value):
    pattern = pattern.replace("*", "")
    assert fits(rules(c=(pattern,)), {"c": value}) is (pattern == value)


# --- proposed and unreviewed work ---


@pytest.mark.parametrize(
    "changes",
    [
        {"event_name": "pull_request"},
        {"event_name": "pull_request_target"},
        {"event_name": "pull_request_review_comment"},
        {"ref": "refs/pull/7/merge"},
        {"ref": "refs/merge-requests/7/head"},
        {"pipeline_source": "merge_request_event"},
        {"pipeline_source": "external_pull_request_event"},
    ],
)
def test_a_proposed_change_is_nobody_unless_the_mapping_says_so(changes):
    claims = {**CLAIMS, **changes}
    assert refused([rules(repository=("acme/storefront",))], claims) == "token_unmapped"
    name = "pipeline_source" if "pipeline_source" in changes else "event_name"
    named = rules(repository=("acme/storefront",), **{name: (claims[name],)})
    assert admitted([named], claims).tainted


@pytest.mark.parametrize(
    "event", ["issue_comment", "issues", "workflow_run", "fork", "new_event", "", 7, ["push"], None, {}]
)
def test_an_event_that_strangers_cause_taints(event):
    assert admitted([rules(repository=("acme/storefront",))], {**CLAIMS, "event_name": event}).tainted


@pytest.mark.parametrize("event", ["push", "schedule", "workflow_dispatch", "merge_group"])
def test_an_event_of_the_repositorys_own_people_does_not(event):
    assert not admitted([rules(repository=("acme/storefront",))], {**CLAIMS, "event_name": event}).tainted


# --- the run ---


def run_of(claims, *names):
    return admitted([Mapping("agent:x", (), names)], {"event_name": "push", **claims}).run


def test_the_platforms_own_run_is_known():
    assert run_of({"repository_id": "74", "run_id": "99"}).endswith("|74|99")
    assert run_of({"project_id": "7", "pipeline_id": "8"}).endswith("|7|8")
    assert run_of({"kubernetes.io": {"pod": {"uid": "p-1"}}}).endswith("|p-1")
    assert run_of({"session": "s-1"}, "session").endswith("|s-1")


def test_two_runs_never_have_one_name():
    seen = {
        run_of({"a": left, "b": right}, "a", "b")
        for left, right in [
            ("x", "y"),
            ("x|y", ""),
            ("", "x|y"),
            ("x|", "y"),
            ("x", "|y"),
            ("x\n", "y"),
            ("x" * 300, "y"),
        ]
    }
    assert len(seen) == 7
    assert all(len(run) <= 256 for run in seen)


def test_two_issuers_never_share_a_run():
    runs = set()
    for name in ("https://a.example", "https://b.example"):
        found = Subject(name, "s", {"repository_id": "1", "run_id": "2"}, "k", 0, 1, "")
        runs.add(admission(found, Issuer(name, (Mapping("agent:x", ()),))).run)
    assert len(runs) == 2


@pytest.mark.parametrize("value", [None, True, ["r"], {"r": 1}, 1.5])
def test_a_token_that_names_no_run_is_refused(value):
    assert refused([Mapping("agent:x", (), ("r",))], {"r": value}) == "token_run"
    assert refused([Mapping("agent:x", ())], {"run_id": "9"}) == "token_run"


def test_one_agent_or_the_one_that_was_asked_for():
    two = [Mapping("agent:x", ()), Mapping("agent:y", ()), Mapping("agent:x", ())]
    assert refused(two) == "token_ambiguous"
    assert admitted(two, agent="agent:y").agent == "agent:y"
    assert refused(two, agent="agent:z") == "token_unmapped"
    assert admitted([two[0], two[2]]).agent == "agent:x"
