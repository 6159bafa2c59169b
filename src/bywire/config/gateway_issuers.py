"""`issuers` and `api_keys` of gateway.yaml: who may say who an agent is, and for which claims.

A mapping that could fit strangers is refused here: one that names no claim by which the issuer tells its tenants apart,
a `*` where an owner's name would stand, a repository without the branch or environment.
"""

import re

from bywire.config.agents_config import AGENT
from bywire.config.reading import Node, read_optional
from bywire.identity.oidc_claims import STARS_MAX
from bywire.identity.oidc_keys import ALGORITHMS
from bywire.identity.registration import BUILT_IN
from bywire.model.gateway_issuers import ApiKeys, ClaimRule, Issuer, Mapping, Value

ISSUERS_MAX = 16
MAPPINGS_MAX = 64
CLAIMS_MAX = 16
VALUES_MAX = 16
RUN_CLAIMS_MAX = 4
DAYS_MAX = 366
TYPES = ("JWT", "at+jwt", "none")
# By these an issuer tells its tenants apart; a mapping names one of them, and no `*` stands in it.
TENANTS = (
    "sub", "repository", "repository_id", "repository_owner", "repository_owner_id", "project_path", "project_id",
    "namespace_path", "namespace_id", "client_id", "azp", "email", "/kubernetes.io/namespace",
)  # fmt: skip
# Whose client asked, not who: everybody who signs in there has these.
CLIENTS = ("client_id", "azp")
# A repository's token says what ran; whoever may push any branch could run anything.
REPOSITORIES = ("repository", "repository_id", "repository_owner", "repository_owner_id",
                "project_path", "project_id", "namespace_path", "namespace_id")  # fmt: skip
WHERE = ("ref", "ref_protected", "environment", "job_workflow_ref", "workflow_ref")
# Bounds of every time a person may set, in seconds: name -> (least, most).
SECONDS_BOUNDS: dict[str, tuple[int, int]] = {
    "max_age_seconds": (30, 86_400),
    "leeway_seconds": (0, 120),
    "jwks_fresh_seconds": (10, 86_400),
    "jwks_retry_seconds": (1, 3_600),
    "jwks_stale_seconds": (0, 604_800),
}
_ISSUER = r"https?://[^\s?#@\\]{1,500}"
_URL = r"https?://[^\s@?#\\]{1,500}"
_AUDIENCE = r"[\x21-\x7e]{1,256}"
_CLAIM = r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}|(?:/[A-Za-z0-9_.:~-]{1,128}){1,6}"
# Any branch, any tag: no better than none.
_ANY_REF = re.compile(r"refs/(?:[^/]*/)?\*")
_KEYS = (
    "issuer", "audience", "algorithms", "types", "jwks_url", "jwks_file", "jwks_token_file", "ca_file", "private",
    "once", "mappings", *SECONDS_BOUNDS,
)  # fmt: skip


def read_issuers(node: Node) -> tuple[Issuer, ...]:
    """Raises FieldError naming the first fault."""
    found: list[Issuer] = []
    for item in node.items("issuers", least=0, most=ISSUERS_MAX):
        issuer = _issuer(item)
        if any(issuer.issuer.rstrip("/") == other.issuer.rstrip("/") for other in found):
            raise item.refuse(f"{issuer.issuer} is there twice", "merge the two, and write the issuer as its tokens do")
        found.append(issuer)
    return tuple(found)


def read_api_keys(node: Node) -> ApiKeys:
    """Raises FieldError naming the first fault."""
    fields, absent = node.fields(("allowed", "days_max")), ApiKeys()
    return ApiKeys(
        allowed=read_optional(fields, "allowed", lambda item: item.boolean(), absent.allowed),
        days_max=read_optional(fields, "days_max", lambda item: item.integer(1, DAYS_MAX, "days"), absent.days_max),
    )


def _issuer(node: Node) -> Issuer:
    fields = node.fields(_KEYS, required=("issuer", "mappings"))
    if ("jwks_url" in fields) == ("jwks_file" in fields):
        raise node.refuse("an issuer's keys are in one place", "name jwks_url, or jwks_file")
    if "jwks_file" in fields and {"jwks_token_file", "ca_file"} & fields.keys():
        raise node.refuse("a file is asked for with no token", "remove jwks_token_file and ca_file")
    private = read_optional(fields, "private", lambda item: item.boolean(), absent=False)
    url = read_optional(fields, "jwks_url", lambda item: item.text("the URL of a key set", pattern=_URL, most=512), "")
    if url.startswith("http:") and not private:
        raise fields["jwks_url"].refuse("http is for private addresses", "write https, or add `private: true`")
    seconds = {
        name: fields[name].integer(*bounds, "seconds") for name, bounds in SECONDS_BOUNDS.items() if name in fields
    }
    return Issuer(
        issuer=fields["issuer"].text("an issuer, exactly as its tokens' `iss` says it", pattern=_ISSUER, most=512),
        mappings=tuple(_mapping(item) for item in fields["mappings"].items("mappings", least=1, most=MAPPINGS_MAX)),
        audience=read_optional(fields, "audience", lambda item: item.text("an audience", pattern=_AUDIENCE), ""),
        algorithms=read_optional(fields, "algorithms", _algorithms, ("RS256",)),
        types=read_optional(fields, "types", _types, ("JWT", "")),
        jwks_url=url,
        jwks_file=read_optional(fields, "jwks_file", _absolute, ""),
        jwks_token_file=read_optional(fields, "jwks_token_file", _absolute, ""),
        ca_file=read_optional(fields, "ca_file", _absolute, ""),
        private=private,
        once=read_optional(fields, "once", lambda item: item.boolean(), absent=False),
        **seconds,
    )


def _mapping(node: Node) -> Mapping:
    fields = node.fields(("agent", "claims", "run"), required=("agent", "claims"))
    agent = fields["agent"].text("an agent such as agent:deploy-bot", pattern=AGENT)
    if agent in BUILT_IN:
        raise fields["agent"].refuse(f"{agent} works inside bywire only", "register an agent for what runs elsewhere")
    claims = fields["claims"].mapping("claims", pattern=_CLAIM, most=CLAIMS_MAX)
    rules = tuple(ClaimRule(name, _values(name, item)) for name, item in claims.items())
    if not any(name in TENANTS for name in claims):
        raise fields["claims"].refuse(
            "no claim here says whose token it is, so the issuer's other users would fit, too",
            "name sub, repository_id, project_id, /kubernetes.io/namespace or another of its kind",
        )
    rule_of = {rule.claim: rule for rule in rules}
    if "email" in claims and ("email_verified" not in rule_of or rule_of["email_verified"].values != (True,)):
        raise fields["claims"].refuse(
            "an address that nobody verified is whoever claims it", "add `email_verified: true`, or name sub instead"
        )
    if not (set(TENANTS) - set(CLIENTS)) & claims.keys():
        raise fields["claims"].refuse(
            "everybody who signs in with this client would be this agent",
            "name sub or another claim of their own, too",
        )
    if "sub" not in claims and set(REPOSITORIES) & claims.keys() and not set(WHERE) & claims.keys():
        raise fields["claims"].refuse(
            "whoever may push any branch of the repository would be this agent",
            f"name one of {', '.join(WHERE)}, too",
        )
    return Mapping(agent=agent, claims=rules, run=read_optional(fields, "run", _run, ()))


def _values(name: str, node: Node) -> tuple[Value, ...]:
    if isinstance(node.value, list):
        return tuple(_value(name, item) for item in node.items("values", least=1, most=VALUES_MAX, distinct=True))
    return (_value(name, node),)


def _value(name: str, node: Node) -> Value:
    """Text, a whole number or a truth value. A `*` stands after a beginning that says whose it is."""
    if name == "ref_protected" and node.value is not True and node.value != "true":
        raise node.refuse("a branch that is not protected says nothing", 'write true, or "true" as the issuer does')
    if isinstance(node.value, bool):
        return node.boolean()
    if isinstance(node.value, int):
        return node.integer(-(2**53), 2**53)
    text = node.text("what the claim must be", most=512)
    if "*" not in text:
        return text
    if name in TENANTS:
        raise node.refuse("a `*` here would fit names that others may register", "write the whole name")
    # What follows an `@` is the ref of a workflow, and is as open or closed as `ref` itself.
    if text.count("*") > STARS_MAX or any(map(_is_open, (text, *text.split("@")[1:]))):
        raise node.refuse(
            "this would fit too much", f"begin with a plain name of at least two characters; at most {STARS_MAX} `*`"
        )
    return text


def _is_open(text: str) -> bool:
    """Whether a pattern has no beginning of its own, or is every branch or every tag."""
    first = re.split(r"[/:@|]", text)[0]
    return "*" in text[:2] or (first != text and "*" in first) or _ANY_REF.match(text) is not None


def _run(node: Node) -> tuple[str, ...]:
    items = node.items("claims", least=1, most=RUN_CLAIMS_MAX, distinct=True)
    return tuple(item.text("the name of a claim", pattern=_CLAIM) for item in items)


def _algorithms(node: Node) -> tuple[str, ...]:
    items = node.items("algorithms", least=1, most=len(ALGORITHMS), distinct=True)
    return tuple(item.choice(ALGORITHMS) for item in items)


def _types(node: Node) -> tuple[str, ...]:
    items = node.items("types", least=1, most=len(TYPES), distinct=True)
    return tuple("" if item.choice(TYPES) == "none" else item.choice(TYPES) for item in items)


def _absolute(node: Node) -> str:
    return node.text("an absolute path", pattern=r"/[^\x00-\x1f]*", most=512)
