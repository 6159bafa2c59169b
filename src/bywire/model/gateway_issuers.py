"""Whom the gateway believes about who somebody is: OIDC issuers with their mappings to agents, and API keys."""

import msgspec

Value = str | int | bool


class ClaimRule(msgspec.Struct, frozen=True):
    """What one claim must be: equal to one of `values`, or, for text with `*`, of that form.

    `claim` is a member's name, or a JSON Pointer (RFC 6901) such as `/kubernetes.io/namespace`.
    """

    claim: str
    values: tuple[Value, ...]


class Mapping(msgspec.Struct, frozen=True):
    """Tokens that every one of `claims` fits are `agent`'s, at work on the run that the claims `run` name together.

    `run` empty: what the platform's own tokens name (GitHub's run, GitLab's pipeline, the Kubernetes pod).
    """

    agent: str
    claims: tuple[ClaimRule, ...]
    run: tuple[str, ...] = ()


class Issuer(msgspec.Struct, frozen=True):
    """One OIDC issuer. `issuer` is compared exactly; its keys come from `jwks_url` or `jwks_file` and nowhere else.

    `audience` empty means the door of the workspace. `types` are the header types that are taken, "" for none.
    `once`: each token is exchanged once, by its `jti`. `jwks_token_file` holds what the key set is asked for with;
    it goes to the origin of `jwks_url` alone. Times in seconds: keys are fetched again when older than
    `jwks_fresh_seconds` or when a key is missing, never more often than every `jwks_retry_seconds`, and are believed
    for `jwks_stale_seconds` while the issuer cannot be reached.
    """

    issuer: str
    mappings: tuple[Mapping, ...]
    audience: str = ""
    algorithms: tuple[str, ...] = ("RS256",)
    types: tuple[str, ...] = ("JWT", "")
    jwks_url: str = ""
    jwks_file: str = ""
    jwks_token_file: str = ""
    ca_file: str = ""
    private: bool = False
    once: bool = False
    max_age_seconds: int = 3_600
    leeway_seconds: int = 30
    jwks_fresh_seconds: int = 600
    jwks_retry_seconds: int = 30
    jwks_stale_seconds: int = 21_600


class ApiKeys(msgspec.Struct, frozen=True):
    """Whether API keys are taken at all, and for how long one may be made."""

    allowed: bool = True
    days_max: int = 90


class ExchangeLimits(msgspec.Struct, frozen=True):
    """How often, a minute, one client is refused, tokens are exchanged for one agent, and one API key is sent wrong.

    `refusals_per_hour` bounds how many refusals of authentic tokens are written to the ledger.
    """

    client_per_minute: int = 300
    agent_per_minute: int = 60
    failures_per_minute: int = 20
    refusals_per_hour: int = 120
    remembered: int = 4_096
