"""Where the bearer token comes from: given, called for, or exchanged for an API key or a workload's OIDC token.

A token is fetched when it is first needed and once more after the gateway refused it. It appears in no error, repr or
log of this package.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from bywire_sdk import system
from bywire_sdk.errors import Unauthenticated
from bywire_sdk.limits import Limits

_API_KEY = "urn:bywire:api-key"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_TOKEN = re.compile(r"[\x21-\x7e]+")
# Renewed this long before it ends, so that a call never carries one that expires under way.
_EARLY_SECONDS = 30.0

Send = Callable[[str, dict[str, str], bytes], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """RFC 8693 at the gateway's `/v1/token`: exactly one of these becomes a short bywire token.

    `api_key` as text, `api_key_file`, or `oidc_token_file` such as a projected Kubernetes service account token. Files
    are read anew for every exchange, since platforms rotate them. `agent`, such as `agent:deploy-bot`, says
    who to be where the subject may be several.
    """

    api_key: str = field(default="", repr=False)
    api_key_file: str | Path = ""
    oidc_token_file: str | Path = ""
    agent: str = ""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.api_key, self.api_key_file, self.oidc_token_file))) != 1:
            raise ValueError("an exchange takes exactly one of api_key, api_key_file, oidc_token_file")


class Tokens(Protocol):
    """What `Client` asks for its token."""

    def current(self, send: Send) -> str:
        """The token to send now. Raises Unauthenticated when there is none."""
        ...

    def renewable(self, refused: str) -> bool:
        """Forget `refused`; whether `current` may now give another."""
        ...


class Given:
    """One token, as it is."""

    def __init__(self, token: str, limits: Limits) -> None:
        self._token = checked(token, limits)

    def current(self, send: Send) -> str:
        """The token."""
        return self._token

    def renewable(self, refused: str) -> bool:
        """Never: whoever gave it has to give another."""
        return False


class Kept:
    """A token fetched on demand, kept until it nearly expires or is refused. Thread-safe."""

    def __init__(self, fetch: Callable[[Send], tuple[str, float]], limits: Limits) -> None:
        self._fetch, self._limits = fetch, limits
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def current(self, send: Send) -> str:
        """The kept token, or a new one."""
        with self._lock:
            if not self._token or system.seconds() >= self._until:
                token, lasts_seconds = self._fetch(send)
                self._token = checked(token, self._limits)
                self._until = system.seconds() + lasts_seconds
            return self._token

    def renewable(self, refused: str) -> bool:
        """Always; another thread may have renewed it already."""
        with self._lock:
            if self._token == refused:
                self._token = ""
        return True


def called(source: Callable[[], str], limits: Limits) -> Kept:
    """Tokens of a callable, which is asked again after a refusal."""
    return Kept(lambda _: (source(), float("inf")), limits)


def exchanged(exchange: Exchange, limits: Limits) -> Kept:
    """Tokens of the gateway's exchange."""
    return Kept(lambda send: _exchange(exchange, send, limits), limits)


def checked(token: object, limits: Limits) -> str:
    """A token that fits into one header. Raises Unauthenticated, without the token."""
    if not isinstance(token, str) or len(token) > limits.token_bytes_max or _TOKEN.fullmatch(token) is None:
        raise Unauthenticated.local("what was given as the token is none", "see `bywire agents token`")
    return token


def _exchange(exchange: Exchange, send: Send, limits: Limits) -> tuple[str, float]:
    subject, kind = _subject(exchange, limits)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject,
        "subject_token_type": kind,
    }
    if exchange.agent:
        form["scope"] = exchange.agent
    headers = {"content-type": "application/x-www-form-urlencoded"}
    document = send("/v1/token", headers, urlencode(form).encode())
    token, lasts = document.get("access_token"), document.get("expires_in")
    if not isinstance(token, str) or isinstance(lasts, bool) or not isinstance(lasts, int | float):
        raise Unauthenticated.local("the exchange gave no token", "see that this is the gateway's URL")
    return token, max(float(lasts) - _EARLY_SECONDS, float(lasts) / 2)


def _subject(exchange: Exchange, limits: Limits) -> tuple[str, str]:
    """(subject token, its type)."""
    if exchange.api_key:
        return checked(exchange.api_key, limits), _API_KEY
    place = exchange.api_key_file or exchange.oidc_token_file
    try:
        text = system.read_text(place, limits.token_bytes_max)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no small text file"
        raise Unauthenticated.local(f"{place} cannot be read: {why}", "put the key or token there") from None
    kind = _API_KEY if exchange.api_key_file else _JWT
    return checked(text, limits), kind
