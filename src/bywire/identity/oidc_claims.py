"""From verified claims to an agent: which mapping they fit, and which run they are at work on.

A mapping names claims that must be there and be so; nothing is taken from a claim that it does not name. A `*` stays
inside one segment of a path. Tokens of platforms that carry work nobody has reviewed are no agent's unless the operator
says so, and then their session is tainted from the start (RULES 22).
"""

import hashlib
import re
from collections.abc import Mapping as Lookup
from functools import lru_cache
from typing import Any

import msgspec

from bywire.identity.oidc import CLAIM_CHARS_MAX, Subject
from bywire.model.errors import EvidenceError
from bywire.model.gateway_issuers import ClaimRule, Issuer, Mapping, Value

RUN_CHARS_MAX = 200
STARS_MAX = 2
PATTERNS_CACHED_MAX = 4_096
# What a platform's own tokens call the run: GitHub Actions, GitLab CI, a pod of Kubernetes.
RUNS_KNOWN: tuple[tuple[str, ...], ...] = (
    ("repository_id", "run_id"),
    ("project_id", "pipeline_id"),
    ("/kubernetes.io/pod/uid",),
)
# What starts a run, as GitHub Actions and GitLab CI say it; and where both code and input are those of people who may
# write to the repository.
EVENT_CLAIMS = ("event_name", "pipeline_source")
REVIEWED_EVENTS = frozenset(
    {
        "push",
        "schedule",
        "workflow_dispatch",
        "merge_group",
        "release",
        "deployment",
        "create",
        "web",
        "parent_pipeline",
    }
)
_PROPOSED_EVENT = re.compile(r"(?:external_)?(?:pull|merge)_request(?:_[a-z_]+)?")
_PROPOSED_REF = re.compile(r"refs/(?:pull|merge-requests)/.*", re.DOTALL)
_RUN_PART = re.compile(r"[A-Za-z0-9._/@:-]{1,128}")
_SEGMENT = r"[^/:@|\x00-\x20]*"
_NEXT = "have the operator add a mapping to `issuers` of gateway.yaml that these claims fit"


class Admission(msgspec.Struct, frozen=True):
    """Who a token stands for, on which run, and whether what it works on was written by strangers."""

    agent: str
    run: str
    tainted: bool


def admission(subject: Subject, issuer: Issuer, agent: str = "") -> Admission:
    """The one agent that the claims stand for; `agent` chooses where they fit several.

    Raises EvidenceError `token_unmapped`, `token_ambiguous`, `token_run`.
    """
    fitting = [mapping for mapping in issuer.mappings if agent in {"", mapping.agent} and fits(mapping, subject.claims)]
    if not fitting:
        raise EvidenceError("no mapping of this issuer fits the token's claims", code="token_unmapped", next_step=_NEXT)
    if len({mapping.agent for mapping in fitting}) > 1:
        raise EvidenceError(
            "the token's claims fit more than one agent",
            code="token_ambiguous",
            next_step="name one in the request: scope=agent:NAME",
        )
    mapping = fitting[0]
    return Admission(mapping.agent, _run(subject, mapping), tainted=_is_unreviewed(subject.claims))


def fits(mapping: Mapping, claims: Lookup[str, Any]) -> bool:
    """Whether every claim that a mapping names is as it says.

    A run for a change that was only proposed is one only where the mapping names the event: a fork's author wrote it.
    """
    if not all(_fits(rule, claim(claims, rule.claim)) for rule in mapping.claims):
        return False
    return any(rule.claim in EVENT_CLAIMS for rule in mapping.claims) or not _is_proposed(claims)


def claim(claims: Lookup[str, Any], name: str) -> Any:
    """The claim with this name, or at this JSON Pointer; None when it is not there."""
    found: Any = claims
    for member in claim_path(name):
        if not isinstance(found, dict):
            return None
        found = found.get(member)
    return found


def claim_path(name: str) -> tuple[str, ...]:
    """The members that a claim's name leads through."""
    if not name.startswith("/"):
        return (name,)
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/"))


def _is_proposed(claims: Lookup[str, Any]) -> bool:
    events = [claims.get(name) for name in EVENT_CLAIMS]
    ref = claims.get("ref")
    return (isinstance(ref, str) and _PROPOSED_REF.fullmatch(ref) is not None) or any(
        isinstance(event, str) and _PROPOSED_EVENT.fullmatch(event) for event in events
    )


def _is_unreviewed(claims: Lookup[str, Any]) -> bool:
    """Whether the run works on what strangers may write: a proposed change, an issue, a comment, an unknown event."""
    events = [claims[name] for name in EVENT_CLAIMS if name in claims]
    return _is_proposed(claims) or not all(isinstance(event, str) and event in REVIEWED_EVENTS for event in events)


def _fits(rule: ClaimRule, found: Any) -> bool:
    return any(_equal(value, found) for value in rule.values)


def _equal(value: Value, found: Any) -> bool:
    if isinstance(value, str) and isinstance(found, str) and "*" in value:
        return len(found) <= CLAIM_CHARS_MAX and _pattern(value).fullmatch(found) is not None
    # True is no 1, and a number in quotes is text.
    return type(value) is type(found) and bool(value == found)


@lru_cache(maxsize=PATTERNS_CACHED_MAX)
def _pattern(text: str) -> re.Pattern[str]:
    """`*` is any text within a segment; at most STARS_MAX of them, which the configuration's reader sees to."""
    return re.compile(_SEGMENT.join(re.escape(part) for part in text.split("*")))


def _run(subject: Subject, mapping: Mapping) -> str:
    """The run, with the issuer in its name: two issuers may count alike."""
    for names in (mapping.run,) if mapping.run else RUNS_KNOWN:
        values = [claim(subject.claims, name) for name in names]
        if all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
            return f"oidc-{_digest(subject.issuer)[:12]}|{_joined([str(value) for value in values])}"
    raise EvidenceError(
        "the token does not say which run it is for",
        code="token_run",
        next_step="name the claims that say so: `run` of the mapping in gateway.yaml",
    )


def _joined(values: list[str]) -> str:
    """One text for a list of values, and another one for every other list."""
    text = "|".join(values)
    plain = all(_RUN_PART.fullmatch(value) for value in values) and len(text) <= RUN_CHARS_MAX
    return text if plain else f"sha256:{_digest(repr(values))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
