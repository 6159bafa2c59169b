"""Token exchange against issuers that run: what a job or a pod gets for its platform's token, and what is tried."""

import asyncio
import json
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
import pytest
import yaml
from oidc_world import (
    ACCESS_TOKEN,
    API_KEY,
    GITHUB,
    GRANT,
    ID_TOKEN,
    JWT,
    KUBERNETES,
    IssuerServer,
    by_hand,
    ec_key,
    github_claims,
    kubernetes_claims,
    now_s,
    rsa_key,
    signed,
)
from scene import Scene, refused
from starlette.applications import Starlette
from starlette.testclient import TestClient

from bywire.adapters.sqlite_restoring import end_sessions
from bywire.api import token_exchange
from bywire.model.errors import EvidenceError
from bywire.model.gateway_issuers import ApiKeys
from bywire.wiring.api_keys import create_api_key, revoke_api_key
from bywire.wiring.gateway import Gateway
from bywire.wiring.gateway_settings import read_gateway

FIXER, DEPLOYER = "agent:fixer", "agent:deployer"
ASKED = ("--owner", "dana", "--pattern", "constrained-executor", "--tool", "read_telemetry")
GITHUB_KEY, OTHER_KEY, POD_KEY = rsa_key("gh-1"), rsa_key("gh-2"), ec_key("k8s-1")
AT_MAIN = "acme/automation/.github/workflows/fix.yml@refs/heads/main"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("exchange") / "scene").prepared()
    for agent in ("fixer", "deployer"):
        assert scene.bywire("agents", "register", agent, *ASKED).code == 0
    return scene


@pytest.fixture
def github():
    issuer = IssuerServer(GITHUB_KEY)
    yield issuer
    issuer.close()


@pytest.fixture
def kubernetes():
    issuer = IssuerServer(POD_KEY)
    yield issuer
    issuer.close()


class Rooms:
    """What the exchange needs of a gateway, without its door, which takes a second to build."""

    def __init__(self, workspace, settings):
        self.workspace, self.settings = workspace, settings

    async def run(self, work, lane):
        return await asyncio.to_thread(work)

    def close(self):
        pass


class World:
    """A gateway of a scene, and a client of its `/v1/token`."""

    def __init__(self, scene, settings, gateway=Rooms):
        self.scene = scene
        (scene.operator / "gateway.yaml").write_text(yaml.safe_dump({"version": 1, **settings}))
        self.workspace = scene.workspace()
        self.gateway = gateway(self.workspace, read_gateway(self.workspace))
        self.audience = f"{self.workspace.trust.origin}/door"
        self.client = TestClient(Starlette(routes=list(token_exchange.routes(self.gateway))), client=("10.1.1.1", 1))

    def ask(self, token, kind=JWT, **fields):
        form = {"grant_type": GRANT, "subject_token": token, "subject_token_type": kind, **fields}
        return self.post(urlencode({name: value for name, value in form.items() if value is not None}))

    def post(self, body, content_type=FORM, path="/v1/token"):
        return self.client.post(path, content=body, headers={"content-type": content_type})

    def github(self, key=GITHUB_KEY, header=None, **changes):
        return signed(github_claims(self.audience, now_s(), **changes), key, header)

    def pod(self, **changes):
        return signed(kubernetes_claims(self.audience, now_s(), **changes), POD_KEY, {"typ": None})

    def session(self, token):
        session_id = self.workspace.sessions.session_of(token, self.workspace.clock.now_ms())
        return self.workspace.state.snapshot(session_id, "tiny").session

    def logged(self, kind):
        found = []
        for _, leaf, content in self.workspace.ledger.rows(0):
            if msgspec.json.decode(leaf)["kind"] == kind:
                found.append(json.loads(content))
        return found

    def close(self):
        self.client.close()
        self.gateway.close()
        self.workspace.close()


@pytest.fixture
def world(prepared, tmp_path, github, kubernetes):
    made = []

    def make(**settings):
        one = World(prepared.clone(tmp_path / f"scene-{len(made)}"), settings)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def steady(prepared, tmp_path_factory):
    """One gateway for everything that changes nothing."""
    issuer = IssuerServer(GITHUB_KEY)
    here = World(
        prepared.clone(tmp_path_factory.mktemp("steady") / "scene"),
        {"issuers": [github_issuer(issuer, types=["JWT", "at+jwt"])]},
        Gateway,
    )
    here.issuer = issuer
    yield here
    here.close()
    issuer.close()


def github_issuer(server, *mappings, **more):
    found = mappings or ({"agent": FIXER, "claims": {"repository": "acme/storefront", "ref": "refs/heads/main"}},)
    return {"issuer": GITHUB, "jwks_url": server.jwks_url, "private": True, "mappings": list(found), **more}


def kubernetes_issuer(server, **more):
    claims = {"/kubernetes.io/namespace": "agents", "/kubernetes.io/serviceaccount/name": "fixer"}
    mappings = [{"agent": FIXER, "claims": claims}]
    return {
        "issuer": KUBERNETES, "jwks_url": server.jwks_url, "private": True, "algorithms": ["ES256"],
        "mappings": mappings, **more,
    }  # fmt: skip


def denied(answer, code, status=400, error="invalid_request"):
    said = answer.json()
    assert (answer.status_code, said["error"]) == (status, error), said
    assert answer.headers["cache-control"] == "no-store"
    assert said["payload"]["code"] == code
    assert said["payload"]["next_step"]
    assert set(said) == {"error", "error_description", "payload"}
    rules = said["payload"]["rules"]
    return rules[0]["rule"] if rules else ""


# --- what works ---


def test_a_ci_job_gets_a_short_token_for_its_run(steady):
    here = steady
    answer = here.ask(here.github(header={"x5t": "aGVsbG8"}), audience=here.audience)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["token_type"], said["issued_token_type"], said["scope"]) == ("Bearer", ACCESS_TOKEN, FIXER)
    assert 290 <= said["expires_in"] <= 300  # what is left of the platform's token, not the 900 s there could be
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    session = here.session(said["access_token"])
    assert (session.principal.id, session.principal.owner) == (FIXER, "person:dana")
    assert (session.run, session.integrity) == (said["run"], "trusted")
    assert session.run.endswith("|740001|9120034567")


def test_a_pod_gets_a_token_of_at_most_a_quarter_of_an_hour(world, kubernetes):
    here = world(issuers=[kubernetes_issuer(kubernetes)])
    said = here.ask(here.pod()).json()
    assert said["expires_in"] in {899, 900}
    assert here.session(said["access_token"]).run.endswith("|8d9b6a3e-0001")
    denied(here.ask(here.pod(namespace="evil")), "unauthenticated")
    denied(here.ask(here.pod(account="other")), "unauthenticated")


def test_the_exchange_is_in_the_ledger_without_a_plain_digest_of_anything(world, github):
    here = world(issuers=[github_issuer(github)])
    token = here.github()
    said = here.ask(token).json()
    (document,) = here.logged("token-issued")
    assert (document["principal"], document["run"]) == (FIXER, said["run"])
    assert document["exchanged"]["issuer"] == GITHUB
    assert document["exchanged"]["tainted"] is False
    assert len(document["exchanged"]["subject"]) == len(document["exchanged"]["token"]) == 64
    kept = json.dumps(document)
    assert token not in kept
    assert said["access_token"] not in kept
    again = here.ask(here.github(jti="another")).json()
    assert here.logged("token-issued")[1]["exchanged"]["subject"] == document["exchanged"]["subject"]
    assert again["session"] != said["session"]


def test_rule_22_a_second_token_of_a_tainted_run_is_tainted(steady):
    here = steady
    here.workspace.state.taint(here.ask(here.github(run_id="1")).json()["session"])
    same = here.ask(here.github(jti="2", run_id="1", run_attempt="2")).json()
    other = here.ask(here.github(jti="3", run_id="777")).json()
    assert here.session(same["access_token"]).integrity == "tainted"
    assert here.session(other["access_token"]).integrity == "trusted"


def test_a_token_chooses_among_several_agents_only_when_asked(world, github):
    both = [
        {"agent": agent, "claims": {"repository_id": "740001", "ref": "refs/heads/main"}} for agent in (FIXER, DEPLOYER)
    ]
    here = world(issuers=[github_issuer(github, *both)])
    assert denied(here.ask(here.github()), "unauthenticated") == "token_ambiguous"
    assert here.ask(here.github(), scope=DEPLOYER).json()["scope"] == DEPLOYER
    assert denied(here.ask(here.github(), scope="agent:release-controller"), "unauthenticated") == "token_unmapped"


def test_keys_rotate_without_a_restart(world, github):
    here = world(issuers=[github_issuer(github, jwks_retry_seconds=1)])
    assert here.ask(here.github()).status_code == 200
    github.keys = [OTHER_KEY]
    here.workspace.clock._high += 2_000
    assert here.ask(here.github(OTHER_KEY)).status_code == 200
    assert denied(here.ask(here.github()), "unauthenticated") == "token_key"


# --- what is tried instead ---


class After(NamedTuple):
    seconds: int


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"aud": "https://github.com/acme"}, "token_audience"),
        ({"aud": ["AUDIENCE", "https://elsewhere.example"]}, "token_audience"),
        ({"aud": None}, "token_audience"),
        ({"iss": f"{GITHUB}.evil.example"}, "token_issuer"),
        ({"iss": f"{GITHUB}/"}, "token_issuer"),
        ({"iss": GITHUB.upper()}, "token_issuer"),
        ({"iss": None}, "token_issuer"),
        ({"exp": After(-1), "iat": After(-300)}, "token_expired"),
        ({"nbf": After(+120)}, "token_early"),
        ({"iat": After(+120), "exp": After(+300)}, "token_early"),
        ({"iat": After(-90_000)}, "token_old"),
        ({"exp": None}, "token_lifetime"),
        ({"iat": None}, "token_lifetime"),
        ({"exp": "never"}, "token_lifetime"),
        ({"sub": None}, "token_subject"),
        ({"repository": "evil/storefront"}, "token_unmapped"),
        ({"ref": "refs/heads/main2"}, "token_unmapped"),
        ({"ref": ["refs/heads/main"]}, "token_unmapped"),
        ({"run_id": None}, "token_run"),
    ],
)
def test_a_token_that_is_not_for_us_now_is_refused(steady, changes, rule):
    # Relative to when this runs: the list above is made when the file is read, minutes before.
    changes = {name: now_s() + value.seconds if isinstance(value, After) else value for name, value in changes.items()}
    if isinstance(changes.get("aud"), list):
        changes = {**changes, "aud": [steady.audience, changes["aud"][1]]}
    before = steady.logged("token-issued")
    assert denied(steady.ask(steady.github(**changes)), "unauthenticated") == rule
    assert steady.logged("token-issued") == before


def test_the_algorithm_is_the_issuers(steady):
    claims = github_claims(steady.audience, now_s())
    header = {"alg": "none", "kid": "gh-1", "typ": "JWT"}
    assert denied(steady.ask(by_hand(header, claims)), "unauthenticated") == "token_header"
    assert denied(steady.ask(signed(claims, ec_key("gh-1"))), "unauthenticated") == "token_header"
    assert steady.issuer.asked <= 1  # nobody asks for the keys again for what is no token of theirs


def test_a_forks_pull_request_is_nobody(world, github):
    proposed = {"event_name": "pull_request", "sub": "repo:acme/storefront:pull_request", "head_ref": "evil"}
    loose = {"agent": FIXER, "claims": {"repository": "acme/storefront", "job_workflow_ref": AT_MAIN}}
    here = world(issuers=[github_issuer(github, loose)])
    assert here.ask(here.github()).status_code == 200
    for changes in (
        {**proposed, "ref": "refs/pull/7/merge", "ref_protected": "false"},
        {**proposed, "event_name": "pull_request_target"},
        {"ref": "refs/pull/7/head"},
    ):
        assert denied(here.ask(here.github(**changes)), "unauthenticated") == "token_unmapped"
    assert [one["code"] for one in here.logged("token-refused")] == ["token_unmapped"] * 3


def test_rule_22_a_run_over_strangers_words_starts_tainted(world, github):
    named = {"agent": FIXER, "claims": {"repository": "acme/storefront", "ref": "refs/heads/main",
                                        "event_name": ["push", "pull_request_target", "issue_comment"]}}  # fmt: skip
    here = world(issuers=[github_issuer(github, named)])
    for event, integrity in (("push", "trusted"), ("issue_comment", "tainted"), ("pull_request_target", "tainted")):
        said = here.ask(here.github(event_name=event, run_id=f"run-{event}", jti=event)).json()
        assert here.session(said["access_token"]).integrity == integrity


def test_a_token_is_exchanged_once_where_that_is_asked(world, github):
    here = world(issuers=[github_issuer(github, once=True)])
    token = here.github()
    assert here.ask(token).status_code == 200
    assert denied(here.ask(token), "unauthenticated") == "token_replayed"
    assert denied(here.ask(here.github(actor="somebody")), "unauthenticated") == "token_replayed"  # the same id again
    assert denied(here.ask(here.github(jti=None)), "unauthenticated") == "token_id"
    assert here.ask(here.github(jti="fresh")).status_code == 200
    assert [one["code"] for one in here.logged("token-refused")] == ["token_replayed", "token_replayed", "token_id"]


def test_a_replay_is_seen_by_another_process(world, github, prepared):
    here = world(issuers=[github_issuer(github, once=True)])
    token = here.github()
    assert here.ask(token).status_code == 200
    here.close()
    again = World(here.scene, {"issuers": [github_issuer(github, once=True)]})
    assert denied(again.ask(token), "unauthenticated") == "token_replayed"
    here.workspace, here.gateway, here.client = again.workspace, again.gateway, again.client


def test_an_access_token_is_no_id_token(steady):
    here = steady
    assert denied(here.ask(here.github(), kind=ACCESS_TOKEN), "unauthenticated") == "token_header"
    as_access = here.github(header={"typ": "at+jwt"})
    assert denied(here.ask(as_access, kind=ID_TOKEN), "unauthenticated") == "token_header"
    assert here.ask(as_access, kind=ACCESS_TOKEN).status_code == 200
    assert denied(here.ask(here.github(header={"typ": "secevent+jwt"})), "unauthenticated") == "token_header"


def test_an_issuer_that_is_down_issues_nothing(world, github):
    here = world(issuers=[github_issuer(github)])
    github.close()
    answer = here.ask(here.github())
    denied(answer, "busy", 503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "30"
    github.__init__(GITHUB_KEY)


def test_an_agent_that_was_revoked_gets_nothing_more(world, github):
    here = world(issuers=[github_issuer(github)])
    said = here.ask(here.github()).json()
    assert here.scene.bywire("agents", "revoke", "fixer", "--reason", "lost").code == 0
    with pytest.raises(EvidenceError):
        here.session(said["access_token"])
    assert denied(here.ask(here.github(jti="2")), "unauthenticated") == "agent_revoked"
    assert [one["code"] for one in here.logged("token-refused")] == ["agent_revoked"]


def test_an_issuer_may_not_name_an_agent_that_is_not_registered(world, github):
    mapping = {"agent": "agent:stranger", "claims": {"repository_id": "740001", "ref": "refs/heads/main"}}
    here = world(issuers=[github_issuer(github, mapping)])
    assert denied(here.ask(here.github()), "unauthenticated") == "agent_unregistered"


# --- the request ---


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token": "x" * 20_000}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"audience": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"client_assertion": "x"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"scope": "agent:fixer agent:deployer"}, "invalid_scope"),
    ],
)
def test_a_request_is_refused_in_the_words_of_the_rfc(steady, fields, error):
    denied(steady.ask(steady.github(), **fields), "invalid_parameters", 400, error)


def test_a_request_has_one_reading(steady):
    form = urlencode({"grant_type": GRANT, "subject_token": steady.github(), "subject_token_type": JWT})
    denied(steady.post(f"{form}&subject_token_type={API_KEY}"), "invalid_parameters")
    denied(steady.post(form, "application/json"), "invalid_parameters")
    denied(steady.post(form, path="/v1/token?audience=x"), "invalid_parameters")
    denied(steady.post(form + "&a=1" * 100), "invalid_parameters")
    denied(steady.post(form + "&x=%ff"), "invalid_parameters")
    assert steady.client.get("/v1/token").status_code == 405
    assert steady.post(form, f"{FORM}; charset=utf-8").status_code == 200


# --- API keys ---


def make_key(here, agent=FIXER, days=7):
    text, row, _ = create_api_key(here.workspace, agent, days=days, note="", settings=ApiKeys())
    return {"key": text, "id": row.id}


def test_an_api_key_buys_a_short_token_and_opens_no_door(steady):
    here = steady
    key = make_key(here)
    with pytest.raises(EvidenceError) as caught:
        here.session(key["key"])
    assert caught.value.code == "session_refused"
    said = here.ask(key["key"], kind=API_KEY).json()
    assert said["expires_in"] in {899, 900}
    assert (said["scope"], said["run"]) == (FIXER, f"key-{key['id']}")
    assert here.session(said["access_token"]).principal.id == FIXER
    secret = key["key"].rpartition("_")[2]
    database = b"".join(path.read_bytes() for path in here.scene.operator.rglob("bywire.db*"))
    assert secret.encode() not in database
    assert key["key"] not in json.dumps(here.logged("api-key")) + json.dumps(here.logged("token-issued"))


def test_rule_22_a_new_exchange_is_no_way_out_of_a_taint(steady):
    here = steady
    key = make_key(here)["key"]
    first = here.ask(key, kind=API_KEY).json()
    here.workspace.state.taint(first["session"])
    assert here.session(here.ask(key, kind=API_KEY).json()["access_token"]).integrity == "tainted"


def test_an_api_key_that_is_not_good_is_refused_in_one_way(world):
    here = world()
    good, gone, spent = make_key(here), make_key(here), make_key(here, days=1)
    revoke_api_key(here.workspace, gone["id"], "leaked")
    assert here.ask(good["key"], kind=API_KEY).status_code == 200
    wrong = good["key"][:-4] + ("AAAA" if not good["key"].endswith("AAAA") else "BBBB")
    unknown = "bwk_" + "0" * 12 + good["key"][16:]
    answers = [here.ask(text, kind=API_KEY) for text in (wrong, unknown, gone["key"], "bwk_x", good["key"] + "A")]
    here.workspace.clock._high += 86_400_000 + 1
    answers.append(here.ask(spent["key"], kind=API_KEY))
    assert {answer.text for answer in answers} == {answers[0].text}
    assert denied(answers[0], "unauthenticated") == "token_api_key"
    assert [one["subject"] for one in here.logged("token-refused")] == [gone["id"], spent["id"]]


def test_an_api_key_is_for_its_agent_and_for_nothing_else(steady):
    here = steady
    key = make_key(here)["key"]
    denied(here.ask(key, kind=API_KEY, scope=DEPLOYER), "invalid_parameters", 400, "invalid_scope")
    assert denied(here.ask(key, kind=JWT), "unauthenticated") == "token_malformed"
    assert denied(here.ask(here.github(), kind=API_KEY), "unauthenticated") == "token_api_key"
    token = here.ask(key, kind=API_KEY).json()["access_token"]
    # Our own tokens buy no others: no token lives longer by being exchanged.
    assert denied(here.ask(token, kind=JWT), "unauthenticated") == "token_issuer"


def test_api_keys_end_with_the_agent_and_with_the_workspace_key(world):
    here = world()
    key, other = make_key(here), make_key(here, DEPLOYER)
    done = here.scene.bywire("agents", "revoke", "fixer", "--reason", "lost", "--json")
    assert done.json[0]["ended"] == {"sessions": 0, "api_keys": 1}
    assert here.scene.bywire("keys", "rotate", "agent", FIXER).code == 0
    assert denied(here.ask(key["key"], kind=API_KEY), "unauthenticated") == "token_api_key"
    assert here.ask(other["key"], kind=API_KEY).status_code == 200
    assert here.scene.bywire("keys", "rotate", "workspace", "--json").json["ended"]["api_keys"] == 1
    assert denied(here.ask(other["key"], kind=API_KEY), "unauthenticated") == "token_api_key"


def test_api_keys_end_with_a_restore(world):
    here = world()
    key = make_key(here)["key"]
    here.workspace.writer.run(lambda tx: end_sessions(tx, here.workspace.clock.now_ms()))
    assert denied(here.ask(key, kind=API_KEY), "unauthenticated") == "token_api_key"


def test_who_guesses_api_keys_is_told_to_wait(world):
    here = world()
    key = make_key(here)["key"]
    wrong = key[:-8] + "AAAAAAAA"
    answers = [here.ask(wrong, kind=API_KEY) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [400] * 20 + [429]
    assert answers[-1].json()["error"] == "temporarily_unavailable"
    assert here.ask(f"{wrong[:-1]}B", kind=API_KEY).status_code == 429
    # All that comes through a proxy has one address: whoever guesses there stops neither this key nor another.
    assert here.ask(key, kind=API_KEY).status_code == 200
    assert here.ask(make_key(here)["key"], kind=API_KEY).status_code == 200


def test_a_crowd_of_bad_requests_stops_no_good_one(world, github):
    here = world(issuers=[github_issuer(github)])
    here.workspace.clock._high = (now_s() // 60 + 1) * 60_000
    statuses = [here.post("no=form").status_code for _ in range(302)]
    assert statuses == [400] * 300 + [429] * 2
    assert here.ask("no token").status_code == 429
    assert here.ask(here.github()).status_code == 200
    assert here.ask(make_key(here)["key"], kind=API_KEY).status_code == 200


def test_one_agent_gets_so_many_tokens_a_minute(world, github):
    here = world(issuers=[github_issuer(github)])
    here.workspace.clock._high = (now_s() // 60 + 1) * 60_000
    statuses = [here.ask(here.github(jti=str(number))).status_code for number in range(62)]
    assert statuses == [200] * 60 + [429] * 2


def test_what_the_command_line_refuses(world):
    here = world(api_keys={"days_max": 7})
    create = ("agents", "api-key", "create")
    refused(here.scene.bywire(*create, "fixer", "--json"), "api_key_lifetime")
    refused(here.scene.bywire(*create, "stranger", "--days", "7", "--json"), "agent_unregistered")
    refused(here.scene.bywire(*create, "release-controller", "--days", "7", "--json"), "agent_built_in")
    key = here.scene.bywire(*create, "fixer", "--days", "7", "--note", "laptop", "--json").json
    listed = here.scene.bywire("agents", "api-key", "list", "--json").json
    assert [(one["id"], one["agent"], one["state"], one["note"]) for one in listed] == [
        (key["id"], FIXER, "active", "laptop")
    ]
    revoke = ("agents", "api-key", "revoke")
    refused(here.scene.bywire(*revoke, "0" * 12, "--reason", "x", "--json"), "api_key_unknown")
    done = here.scene.bywire(*revoke, key["key"], "--reason", "pasted whole", "--json")
    assert (done.code, done.json["id"], key["key"] in done.out) == (0, key["id"], False)
    refused(here.scene.bywire(*revoke, key["id"], "--reason", "x", "--json"), "api_key_revoked")
    (here.scene.operator / "gateway.yaml").write_text("version: 1\napi_keys: {allowed: false}\n")
    refused(here.scene.bywire(*create, "fixer", "--json"), "api_keys_off")


def test_a_gateway_that_takes_no_api_keys_takes_none(world):
    here = world()
    key = make_key(here)["key"]
    here.close()
    off = World(here.scene, {"api_keys": {"allowed": False}})
    denied(off.ask(key, kind=API_KEY), "invalid_parameters")
    here.workspace, here.gateway, here.client = off.workspace, off.gateway, off.client


def test_what_people_see_of_api_keys(world):
    here = world()
    done = here.scene.bywire("agents", "api-key", "create", "fixer", "--note", "laptop")
    assert done.out.strip().startswith("bwk_")
    assert done.out.count("\n") == 1
    assert "shown this once" in done.err
    assert "active" in here.scene.bywire("agents", "api-key", "list").out
