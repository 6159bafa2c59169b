"""Policies, git, HTTP, the target and the door: what reaches a running bywire from outside."""

import json
from typing import Any

import msgspec
from registry import ALICE, NOW, TRUST, WORKSPACE_KEY, Parser, parser, sealed

from bywire.model.errors import BywireError

# --- policy ---


REGO = b"""package bywire.action
import rego.v1
default decision := {"effect": "deny", "reasons": [], "obligations": [], "tier": "low", "required": {}}
decision := {"effect": "allow", "reasons": [], "obligations": [], "tier": "low", "required": {}} if {
  input.x == 1
  some item in input.items
  startswith(item, "a")
}
"""


def _bundle(rego: bytes) -> dict[str, bytes]:
    from bywire.adapters.knowledge_base import shipped_policy

    manifest = json.loads(shipped_policy()["manifest.json"])
    manifest["entrypoints"] = ["data.bywire.action.decision"]
    return {"manifest.json": json.dumps(manifest).encode(), "action.rego": rego}


@parser("policy/bundle.py:parse_bundle")
def _() -> Parser:
    from bywire.policy.bundle import parse_bundle

    return Parser(lambda raw: parse_bundle(_bundle(raw)), (REGO,))


@parser("policy/bundle.py:parse_bundle (manifest)")
def _() -> Parser:
    from bywire.policy.bundle import parse_bundle

    manifest = json.loads(_bundle(REGO)["manifest.json"])
    return Parser(lambda raw: parse_bundle({"manifest.json": raw, "action.rego": REGO}), (manifest,), "json")


@parser("policy/bundle.py:parse_bundle (table)")
def _() -> Parser:
    from bywire.policy.bundle import parse_bundle

    return Parser(lambda raw: parse_bundle({**_bundle(REGO), "table/t.json": raw}), ({"rows": [{"a": 1}]},), "json")


@parser("policy/endorsement.py:verify_bundle")
def _() -> Parser:
    from bywire.model.statement import POLICY_BUNDLE
    from bywire.policy.bundle import parse_bundle
    from bywire.policy.endorsement import verify_bundle

    bundle = parse_bundle(_bundle(REGO))
    said = {"digest": bundle.digest, "revision": bundle.manifest.revision, "person": "person:alice", "at_ms": NOW}
    return Parser(
        lambda predicate: verify_bundle(sealed(predicate, POLICY_BUNDLE, ALICE), bundle, TRUST), (said,), "value"
    )


@parser("policy/shadow.py:verify_shadow")
def _() -> Parser:
    from bywire.model.statement import SHADOW_RULE
    from bywire.policy.shadow import verify_shadow

    said = {
        "rule": "rollout.first_step",
        "owner": "person:alice",
        "expires_at_ms": NOW + 1_000,
        "environment": "staging",
        "service": "storefront",
        "reason": "we look at it",
        "at_ms": NOW,
    }
    return Parser(lambda predicate: verify_shadow(sealed(predicate, SHADOW_RULE, ALICE), TRUST), (said,), "value")


@parser("policy/lint.py:lint")
def _() -> Parser:
    from bywire.policy.bundle import parse_bundle
    from bywire.policy.lint import lint

    return Parser(lambda raw: lint(parse_bundle(_bundle(raw))), (REGO,))


@parser("policy/engine/canonical_input.py:canonical_input")
def _() -> Parser:
    from bywire.policy.engine import canonical_input

    seed = {"version": 1, "x": 1, "items": ["a"], "n": 1.5, "deep": {"a": [{"b": None}]}}
    # The engine denies whatever its encoder raises.
    refusals = (BywireError, TypeError, UnicodeEncodeError)
    return Parser(lambda value: canonical_input({"input": value}), (seed,), "value", refusals)


# --- git, HTTP and the local target ---


COMMIT = (
    b"tree " + b"a" * 40 + b"\nparent " + b"b" * 40 + b"\nauthor Dana <dana@example.test> 1767607200 +0000\n"
    b"committer Dana <dana@example.test> 1767607200 +0000\n\nfirst\n\nCo-authored-by: Bob <bob@example.test>\n"
)
RAW = (
    b":100644 100644 " + b"a" * 40 + b" " + b"b" * 40 + b" M\0src/a.py\0:100644 100644 " + b"a" * 40 + b" " + b"b" * 40
)
PATCH = b"""diff --git a/src/a.py b/src/a.py
index aaaa..bbbb 100644
--- a/src/a.py
+++ b/src/a.py
@@ -1,2 +3 @@ def x
-a
-b
+c
diff --git "a/\\303\\251" "b/\\303\\251"
--- "a/\\303\\251"
+++ "b/\\303\\251"
@@ -0,0 +1 @@
+new
"""


@parser("adapters/git_diff.py:decode_path")
def _() -> Parser:
    from bywire.adapters.git_diff import decode_path

    return Parser(decode_path, (b"src/\xc3\xa9.py",))


@parser("adapters/git_diff.py:parse_raw")
def _() -> Parser:
    from bywire.adapters.git_diff import parse_raw

    # Its writer is git itself; nobody else can make it malformed.
    return Parser(parse_raw, (RAW + b" R100\0old.py\0new.py\0",), refusals=(BywireError, ValueError, IndexError))


@parser("adapters/git_diff.py:parse_patch")
def _() -> Parser:
    from bywire.adapters.git_diff import parse_patch

    return Parser(parse_patch, (PATCH,))


@parser("adapters/git_diff.py:parse_commit")
def _() -> Parser:
    from bywire.adapters.git_diff import parse_commit

    return Parser(parse_commit, (COMMIT,))


@parser("adapters/git_diff.py:parse_person")
def _() -> Parser:
    from bywire.adapters.git_diff import parse_person

    return Parser(parse_person, ("Dana Doe <dana@example.test> 1767607200 +0000",), "text")


REQUEST = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\r\n"


@parser("adapters/router_http.py:parse_request_head")
def _() -> Parser:
    from bywire.adapters import router_http as http

    chunked = b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return Parser(http.parse_request_head, (REQUEST, chunked), refusals=(http.MessageError,))


@parser("adapters/router_http.py:parse_response_head")
def _() -> Parser:
    from bywire.adapters import router_http as http

    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: x\r\n\r\n"
    return Parser(lambda raw: http.parse_response_head(raw, b"GET"), (head,), refusals=(http.MessageError,))


@parser("adapters/router_http.py:read_body (chunked)")
def _() -> Parser:
    import asyncio

    from bywire.adapters import router_http as http

    async def read(raw: bytes) -> bytes:
        reader = asyncio.StreamReader(limit=http.HEAD_BYTES_MAX)
        reader.feed_data(raw)
        reader.feed_eof()
        return await http.read_body(reader, -1)

    return Parser(
        lambda raw: asyncio.run(read(raw)),
        (b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",),
        refusals=(http.MessageError, asyncio.IncompleteReadError),
    )


@parser("adapters/router_split.py:segment_of")
def _() -> Parser:
    from bywire.adapters.router_split import segment_of

    return Parser(lambda raw: segment_of(raw, frozenset({"ios"})), (b"ios",), refusals=())


@parser("adapters/pinned_http.py:parse_origin")
def _() -> Parser:
    from bywire.adapters.pinned_http import parse_origin

    seed = "https://api.example.com:8443"
    return Parser(lambda text: parse_origin(text, private=True), (seed,), "text")


@parser("adapters/local_target_server.py:Verb")
def _() -> Parser:
    from bywire.adapters.local_target_verbs import Verb

    decoder = msgspec.json.Decoder(Verb)
    weight = {
        "verb": "set_weight",
        "key": "k",
        "epoch": 1,
        "expect_version": 2,
        "digest": "a" * 64,
        "weight": 5,
        "segments": ["ios"],
        "lease_seconds": 30,
    }
    # Of our own uid only; the server answers MsgspecError and drops the connection for the rest.
    return Parser(
        decoder.decode, (weight, {"verb": "status"}), "json", (msgspec.MsgspecError, UnicodeError, RecursionError)
    )


# --- the door ---


@parser("gateway/contract.py:Catalogue.check")
def _() -> Parser:
    from bywire.gateway.contract import Catalogue, Contract
    from bywire.gateway.contracts import CONTRACTS
    from bywire.model.connection import Route

    route = Route("POST", "/a/{x}/{+y}", query=("q",), headers={"if-match": "h"}, body="form")
    routed = Contract("up.any", "repo_write", "upstream:up", {"type": "object"}, upstream="up", request=route)
    catalogue = Catalogue((*CONTRACTS, routed))
    contract = catalogue.find("set_canary_weight")
    values = {"artifact": "a" * 64, "weight": 5, "segments": ["ios"], "lease_seconds": 30}
    placed = {"x": "a", "y": "b/c", "q": [1, True], "h": "W/1", "field": "text"}

    def call(value: Any) -> Any:
        given = value if isinstance(value, dict) else {"weight": value}
        if "x" in given or not isinstance(value, dict):
            return catalogue.check(routed, given if "x" in given else {**placed, "x": value})
        return catalogue.check(contract, given)

    return Parser(call, (values, placed), "value")


@parser("gateway/redaction.py:Redactor.canonical")
def _() -> Parser:
    from bywire.gateway.redaction import Redactor

    seed = {"text": "token ghp_" + "a1B2" * 9, "more": ["https://u:p@example.com/", {"password": "hunter2"}]}
    return Parser(Redactor(WORKSPACE_KEY).canonical, (seed,), "value")


@parser("gateway/sealing.py:open_parameters")
def _() -> Parser:
    from bywire.gateway.sealing import open_parameters, seal_parameters

    box = seal_parameters({"a": 1}, WORKSPACE_KEY, "intent", "a" * 64, NOW)
    return Parser(lambda raw: open_parameters(raw, WORKSPACE_KEY, "intent", "a" * 64, NOW), (box,))
