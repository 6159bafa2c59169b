"""`issuers` and `api_keys`: what is read, and every mapping that would fit strangers."""

import pytest

from bywire.config.gateway_issuers import read_api_keys, read_issuers
from bywire.config.reading import FieldError, Node
from bywire.model.gateway_issuers import ApiKeys, ClaimRule, Issuer, Mapping

GOOD = {"repository": "acme/storefront", "ref": "refs/heads/main"}


def mapping(**changes):
    return {"agent": "agent:fixer", "claims": GOOD, **changes}


def issuer(**changes):
    return {
        "issuer": "https://token.actions.githubusercontent.com",
        "jwks_url": "https://token.actions.githubusercontent.com/.well-known/jwks",
        "mappings": [mapping()],
        **changes,
    }


def read(*items):
    return read_issuers(Node(list(items), "gateway.yaml"))


def refused(*items):
    with pytest.raises(FieldError) as caught:
        read(*items)
    assert caught.value.next_step
    return caught.value.message


def with_claims(claims):
    return issuer(mappings=[mapping(claims=claims)])


def test_the_least_that_is_needed():
    assert read(issuer()) == (
        Issuer(
            issuer="https://token.actions.githubusercontent.com",
            jwks_url="https://token.actions.githubusercontent.com/.well-known/jwks",
            mappings=(
                Mapping(
                    "agent:fixer",
                    (ClaimRule("repository", ("acme/storefront",)), ClaimRule("ref", ("refs/heads/main",))),
                ),
            ),
        ),
    )
    assert read() == ()


def test_all_that_may_be_said():
    (found,) = read(
        issuer(
            audience="https://bywire.example", algorithms=["ES256", "EdDSA"], types=["at+jwt", "none"], private=True,
            ca_file="/etc/ca.pem", jwks_token_file="/run/token", once=True, max_age_seconds=600, leeway_seconds=0,
            jwks_fresh_seconds=60, jwks_retry_seconds=5, jwks_stale_seconds=0,
            mappings=[mapping(run=["run_id", "/kubernetes.io/pod/uid"], claims={"sub": "s", "level": 3, "ok": True})],
        )
    )  # fmt: skip
    assert (found.algorithms, found.types, found.once) == (("ES256", "EdDSA"), ("at+jwt", ""), True)
    assert (found.max_age_seconds, found.leeway_seconds, found.jwks_stale_seconds) == (600, 0, 0)
    assert found.mappings[0].run == ("run_id", "/kubernetes.io/pod/uid")
    assert [rule.values for rule in found.mappings[0].claims] == [("s",), (3,), (True,)]


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"ref": "refs/heads/main"},
        {"event_name": "push", "environment": "production"},
        {"aud": "x"},
        {"iss": "https://token.actions.githubusercontent.com"},
        {"job_workflow_ref": "acme/x/.github/workflows/y.yml@refs/heads/main"},
        {"actor": "dana"},
        {"/kubernetes.io/serviceaccount/name": "fixer"},
        {"/kubernetes.io/pod/name": "fixer-1"},
    ],
)
def test_a_mapping_says_whose_token_it_is(claims):
    assert "whose token it is" in refused(with_claims(claims))


@pytest.mark.parametrize("name", ["sub", "repository", "repository_owner_id", "project_path", "client_id", "email"])
@pytest.mark.parametrize("value", ["*", "acme/*", "acme*", "*/storefront", "repo:acme/*", "a*me/storefront"])
def test_no_star_stands_where_an_owner_does(name, value):
    assert "others may register" in refused(with_claims({name: value, "ref": "refs/heads/main"}))
    assert "others may register" in refused(with_claims({name: ["acme/storefront", value], "ref": "refs/heads/main"}))


@pytest.mark.parametrize(
    "value",
    [
        "*", "**", "*x", "x*", "*/main", "re*s/heads/main", "refs/*", "refs/*/main", "refs/heads/*", "refs/tags/*",
        "refs/heads/*/x", "refs/a*/b*/c*", "*:x", "x*:y", "@*",
    ],
)  # fmt: skip
def test_a_pattern_that_fits_too_much_is_refused(value):
    assert "fit too much" in refused(with_claims({**GOOD, "ref": value}))


@pytest.mark.parametrize("name", ["workflow_ref", "job_workflow_ref"])
@pytest.mark.parametrize("ref", ["*", "refs/*", "refs/heads/*", "refs/tags/*", "refs/*/main", "re*s/heads/main", "r*"])
def test_a_workflow_at_any_branch_is_refused_as_any_branch_is(name, ref):
    claims = {"repository": "acme/storefront", name: f"acme/storefront/.github/workflows/deploy.yml@{ref}"}
    assert "fit too much" in refused(with_claims(claims))


@pytest.mark.parametrize("value", [False, "false", 1, "True", "t*", ["true", "false"]])
def test_a_protected_branch_is_protected(value):
    assert "not protected" in refused(with_claims({"repository": "acme/storefront", "ref_protected": value}))


def test_an_address_counts_once_it_was_verified():
    for more in ({}, {"email_verified": False}, {"email_verified": [True, False]}, {"email_verified": "*"}):
        assert refused(with_claims({"email": "fixer@acme.example", **more}))
    assert "nobody verified" in refused(with_claims({"email": "fixer@acme.example"}))
    assert read(with_claims({"email": "fixer@acme.example", "email_verified": True}))


@pytest.mark.parametrize("name", ["azp", "client_id"])
def test_a_client_alone_is_everybody_who_signs_in_with_it(name):
    for claims in ({name: "app"}, {"azp": "app", "client_id": "app"}, {name: "app", "aud": "x"}):
        assert "everybody who signs in" in refused(with_claims(claims))
    for own in ({"sub": "s"}, {"/kubernetes.io/namespace": "n"}, {"email": "a@b.example", "email_verified": True}):
        assert read(with_claims({name: "app", **own}))


@pytest.mark.parametrize(
    "value", ["refs/heads/release-*", "prod-*", "acme/flows/.github/workflows/*@refs/heads/main", "refs/tags/v*.*"]
)
def test_a_bounded_pattern_is_taken(value):
    assert read(with_claims({**GOOD, "job_workflow_ref": value}))[0].mappings[0].claims[2].values == (value,)


@pytest.mark.parametrize("name", ["repository", "repository_id", "repository_owner", "project_path", "namespace_id"])
def test_a_repository_alone_is_every_branch_of_it(name):
    assert "any branch" in refused(with_claims({name: "acme"}))
    for where in ("ref", "environment", "job_workflow_ref"):
        assert read(with_claims({name: "acme", where: "main"}))
    assert read(with_claims({name: "acme", "ref_protected": True}))
    assert read(with_claims({name: "acme", "ref_protected": "true"}))
    assert read(with_claims({name: "acme", "sub": "repo:acme/storefront:environment:prod"}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"jwks_file": "/etc/jwks.json"}, "in one place"),
        ({"jwks_url": "http://10.0.0.1/jwks"}, "http is for private"),
        ({"jwks_url": "https://user:pw@issuer.example/jwks"}, "URL"),
        ({"jwks_url": "file:///etc/passwd"}, "URL"),
        ({"jwks_url": "https://issuer.example/jwks#x"}, "URL"),
        ({"issuer": "accounts.example"}, "issuer"),
        ({"issuer": "https://issuer.example?x=1"}, "issuer"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"types": ["bywire+jwt"]}, "types"),
        ({"mappings": []}, "mappings"),
        ({"max_age_seconds": 10**9}, "max_age_seconds"),
        ({"leeway_seconds": -1}, "leeway_seconds"),
        ({"unknown": 1}, "unknown"),
        ({"audience": "two words"}, "audience"),
        ({"mappings": [mapping(agent="agent:release-controller")]}, "inside bywire only"),
        ({"mappings": [mapping(agent="person:dana")]}, "agent"),
        ({"mappings": [mapping(agent="agent:*")]}, "agent"),
        ({"mappings": [mapping(claims={"sub": None})]}, "claim"),
        ({"mappings": [mapping(claims={"sub": ["a", "a"]})]}, "twice"),
        ({"mappings": [mapping(claims={"sub": 1.5})]}, "claim"),
        ({"mappings": [mapping(claims={"a b": "c", "sub": "s"})]}, "claims"),
        ({"mappings": [mapping(run=[])]}, "claims"),
    ],
)
def test_what_is_refused(changes, said):
    assert said in refused(issuer(**changes))


def test_an_issuer_is_there_once():
    assert "twice" in refused(issuer(), issuer())
    assert "twice" in refused(issuer(), issuer(issuer="https://token.actions.githubusercontent.com/"))


def test_a_file_is_asked_for_with_no_token():
    from_file = {name: value for name, value in issuer(jwks_file="/etc/jwks.json").items() if name != "jwks_url"}
    assert read(from_file)[0].jwks_file == "/etc/jwks.json"
    assert "no token" in refused({**from_file, "jwks_token_file": "/run/token"})


def test_api_keys():
    def keys(value):
        return read_api_keys(Node(value, "gateway.yaml"))

    assert keys({}) == ApiKeys()
    assert keys({"allowed": False, "days_max": 1}) == ApiKeys(allowed=False, days_max=1)
    for wrong in ({"allowed": "no"}, {"days_max": 0}, {"days_max": 1_000}, {"forever": True}):
        with pytest.raises(FieldError):
            keys(wrong)
