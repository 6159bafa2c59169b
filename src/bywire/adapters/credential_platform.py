"""A platform that hands out credentials, asked over one pinned origin: Vault, Kubernetes, GitHub.

Answers are bounded, of one shape, and secret: no error repeats any part of them. Whatever goes wrong here happened
before the action, so it is always the same TargetError, `credential_unavailable`, and never an unknown outcome.
"""

import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from bywire.adapters.operator_secret import secret_text
from bywire.adapters.pinned_http import PinnedHttp, Resolve, parse_origin, resolved
from bywire.model.errors import BywireError, ConfigError, TargetError
from bywire.model.gateway_credentials import Found

T = TypeVar("T")

TIMEOUT_SECONDS = 5.0
ANSWER_BYTES_MAX = 131_072
VALUE_CHARS_MAX = 16_384


class Minted(msgspec.Struct, frozen=True):
    """A credential and its end, ms since the epoch. Its representation shows no value."""

    value: str
    expires_at_ms: int

    def __repr__(self) -> str:
        return f"Minted(expires_at_ms={self.expires_at_ms})"


class CredentialPlatform:
    """One platform. `name` is that of the credential, for messages."""

    def __init__(
        self,
        name: str,
        address: str,
        *,
        private: bool,
        ca_file: str = "",
        environment: Mapping[str, str] | None = None,
        resolve: Resolve = resolved,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """Raises ConfigError `origin_invalid`, `ca_unreadable`."""
        self.name = name
        self._environment = environment
        self._client = PinnedHttp(
            parse_origin(address, private=private),
            resolve=resolve,
            context=tls_context(ca_file),
            timeout_seconds=timeout_seconds,
        )

    def token(self, found: Found) -> str:
        """What the platform is asked with. Raises TargetError `credential_unavailable`."""
        try:
            return secret_text(found, self._environment)
        except ConfigError as error:
            raise self.refused(error.message, error.next_step) from error

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, shape: type[T]) -> T:
        """One request; its 2xx answer in this shape. Raises TargetError `credential_unavailable`."""
        told = {"Accept": "application/json", "User-Agent": "bywire", **headers}
        if body is not None:
            told["Content-Type"] = "application/json"
        origin = self._client.origin
        try:
            with self._client.exchange(method, path, told, body) as exchange:
                if not 200 <= exchange.status < 300:
                    raise self.refused(f"{origin} answered {exchange.status}", "look into its log")
                content = b"".join(exchange.parts(ANSWER_BYTES_MAX))
        except TimeoutError as error:
            raise self.refused(f"{origin} gave no whole answer of bounded size in time") from error
        except BywireError as error:
            raise error if error.code == "credential_unavailable" else self.refused(error.message) from error
        try:
            return msgspec.json.decode(content, type=shape)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            # Without its cause: that one quotes what it could not read.
            raise self.refused(f"{origin} answered in another form than its API has") from None

    def minted(self, value: str, expires_at_ms: int, now_ms: int) -> Minted:
        """A credential that may be sent: plain text, of bounded length, not over."""
        if not 0 < len(value) <= VALUE_CHARS_MAX or not value.isascii() or not value.isprintable() or " " in value:
            raise self.refused("what came is no token")
        if expires_at_ms <= now_ms:
            raise self.refused("what came has expired already", "compare the clocks of both machines")
        return Minted(value, expires_at_ms)

    def instant_ms(self, text: str) -> int:
        """A platform's RFC 3339 time."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self.refused("its expiry is no time") from None
        if moment.tzinfo is None:
            raise self.refused("its expiry has no time zone")
        return int(moment.timestamp() * 1000)

    def refused(self, why: str, next_step: str = "") -> TargetError:
        """The one error."""
        return TargetError(
            f"there is no credential {self.name}: {why}",
            code="credential_unavailable",
            next_step=next_step or f"look at `credentials.{self.name}` in gateway.yaml, and whether it can be reached",
        )


def tls_context(ca_file: str) -> ssl.SSLContext:
    """TLS that believes the authorities in `ca_file`, or the system's when it is empty. ConfigError `ca_unreadable`."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise ConfigError(
            f"{ca_file} holds no certificates that can be read", code="ca_unreadable", next_step=f"check {ca_file}"
        ) from error
