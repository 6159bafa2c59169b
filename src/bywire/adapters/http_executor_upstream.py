"""Executor for the tools of one HTTP upstream: each contract says which request its tool is.

What comes back is kept bounded as `{status, headers, json | text}`; an answer that is encoded, no text or too large is
never handed on in part as if it were whole. A refusal carries the upstream's status and words. Of a write that the
upstream failed at, nobody knows whether it happened.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bywire.adapters.http_executor import MULTIPLE, OK, sent
from bywire.adapters.pinned_http import Answer, PinnedHttp, parse_origin
from bywire.gateway.contract import Contract
from bywire.gateway.credential_forms import without
from bywire.gateway.ports import Credential, IntentRow
from bywire.model.connection import Route
from bywire.model.errors import BywireError, EvidenceError, TargetError
from bywire.model.gateway import Upstream
from bywire.seal import jcs

READ_BYTES_MAX = 1_048_576
# What a write's outcome keeps, in the ledger too.
WRITE_BYTES_MAX = 262_144
SAID_CHARS_MAX = 2_000
HEADER_CHARS_MAX = 1_024
_HEADERS = (
    "content-language", "content-type", "etag", "last-modified", "link", "location", "retry-after", "x-next-page",
    "x-page", "x-per-page", "x-prev-page", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset",
    "x-request-id", "x-total", "x-total-count", "x-total-pages",
)  # fmt: skip
_RETRY_SECONDS_MAX = 86_400
# Of these alone a server says that it did nothing.
_UNDONE = frozenset({501, 503})


class RefusedError(TargetError):
    """The upstream said no: `more` holds its status, and what it said, for whoever asked."""

    code = "target_refused"

    def __init__(self, message: str, more: Mapping[str, str]) -> None:
        super().__init__(message, next_step="read the answer; the request is recorded")
        self.more = dict(more)

    def as_json(self) -> dict[str, str]:
        """The wire shape, with the upstream's own words."""
        return {**super().as_json(), **self.more}


class UnsureError(BywireError):
    """The upstream failed at a write: nobody knows whether it happened."""

    code = "upstream_unsure"

    def __init__(self, message: str, more: Mapping[str, str]) -> None:
        super().__init__(message, next_step="look at the upstream, then bywire reconcile settle")
        self.more = dict(more)

    def as_json(self) -> dict[str, str]:
        """The wire shape, with the upstream's own words."""
        return {**super().as_json(), **self.more}


class UpstreamExecutor:
    """`gateway.ports.CredentialedExecutor` for one upstream; without a credential it asks without one."""

    def __init__(self, client: PinnedHttp, routes: Mapping[str, Route], *, below: str, credentialed: bool) -> None:
        self._client = client
        self._routes = routes
        self._below = below
        self._credentialed = credentialed

    def observe(self) -> dict[str, Any]:
        """The upstream says nothing about itself as a whole."""
        return {}

    def read(self, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """A read at an upstream that needs no credential."""
        return self._read(tool, parameters, None)

    def read_with(self, tool: str, parameters: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """A read. TargetError when it has no answer that can be handed on."""
        return self._read(tool, parameters, credential)

    def execute(self, row: IntentRow, parameters: dict[str, Any]) -> dict[str, Any]:
        """A write at an upstream that needs no credential."""
        return self._write(row, parameters, None)

    def execute_with(self, row: IntentRow, parameters: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """A write under the intent's key. TargetError: the upstream refused it; UnsureError: it failed at it."""
        return self._write(row, parameters, credential)

    def query(self, row: IntentRow) -> dict[str, Any] | None:
        """What happened to an interrupted request is not asked here: a person settles it."""
        raise TargetError(
            f"{self._client.origin} cannot be asked what became of {row.tool}",
            code="unsupported",
            next_step="bywire reconcile settle",
        )

    def close(self) -> None:
        """Give idle connections back."""
        self._client.close()

    def _read(self, tool: str, parameters: dict[str, Any], credential: Credential | None) -> dict[str, Any]:
        try:
            answer = self._sent(tool, parameters, credential, key="")
        except TimeoutError as error:
            raise TargetError(str(error), code="no_answer", next_step="ask again, or look at the upstream") from error
        if not OK <= answer.status < MULTIPLE:
            raise RefusedError(*self._refusal(answer, credential))
        kept = _kept(answer, credential, READ_BYTES_MAX)
        if "omitted" in kept:
            raise TargetError(
                f"{self._client.origin} answered with what cannot be handed on: {kept['omitted']}",
                code="answer_unreadable",
                next_step="ask for less, or for plain text or JSON",
            )
        return kept

    def _write(self, row: IntentRow, parameters: dict[str, Any], credential: Credential | None) -> dict[str, Any]:
        try:
            answer = self._sent(row.tool, parameters, credential, key=row.key)
        except TargetError as error:
            if error.code == "redirect_refused":
                # Many answer so to what they have just done.
                raise UnsureError(error.message, {}) from error
            raise
        if answer.status >= 500 and answer.status not in _UNDONE:
            raise UnsureError(*self._refusal(answer, credential))
        if not OK <= answer.status < MULTIPLE:
            raise RefusedError(*self._refusal(answer, credential))
        return _kept(answer, credential, WRITE_BYTES_MAX)

    def _sent(self, tool: str, parameters: dict[str, Any], credential: Credential | None, *, key: str) -> Answer:
        route = self._routes.get(tool)
        if route is None:
            raise TargetError(
                f"{tool} names no request", code="unsupported", next_step="add `request` to its contract, or use MCP"
            )
        if (credential is None) == self._credentialed or (
            credential is not None and credential.origin != str(self._client.origin)
        ):
            raise TargetError(
                f"there is no credential for {self._client.origin}",
                code="credential_unavailable",
                next_step="bywire doctor",
            )
        return sent(self._client, route, parameters, credential, key=key, below=self._below)

    def _refusal(self, answer: Answer, credential: Credential | None) -> tuple[str, dict[str, str]]:
        kept = _kept(answer, credential, READ_BYTES_MAX)
        value = kept.get("text", kept.get("json", kept.get("omitted", "")))
        said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        more = {"status": str(answer.status), "said": said[:SAID_CHARS_MAX]}
        if "content-type" in kept["headers"] and len(said) <= SAID_CHARS_MAX:
            more["content_type"] = kept["headers"]["content-type"]
        after = answer.headers.get("retry-after", "")
        if after.isascii() and after.isdigit() and len(after) < 7:
            more["retry_after_seconds"] = str(min(int(after), _RETRY_SECONDS_MAX))
        return f"{self._client.origin} answered {answer.status}", more


def upstream_executor(
    upstream: Upstream, contracts: tuple[Contract, ...], *, client: PinnedHttp | None = None
) -> UpstreamExecutor:
    """The executor `upstream:NAME` of an upstream of kind http. Raises ConfigError `origin_invalid`."""
    parts = urlsplit(upstream.url)
    origin = parse_origin(f"{parts.scheme}://{parts.netloc}", private=upstream.private)
    return UpstreamExecutor(
        client or PinnedHttp(origin, timeout_seconds=upstream.timeout_seconds),
        {one.name: one.request for one in contracts if one.upstream == upstream.name and one.request is not None},
        below=parts.path.rstrip("/"),
        credentialed=bool(upstream.credential),
    )


def _kept(answer: Answer, credential: Credential | None, bytes_max: int) -> dict[str, Any]:
    """What is kept of an answer; `omitted` says why there is no body."""
    headers = {name: value[:HEADER_CHARS_MAX] for name, value in answer.headers.items() if name in _HEADERS}
    kept = {"status": answer.status, "headers": headers, **_body(answer, bytes_max)}
    found: dict[str, Any] = without(kept, credential)
    return found


def _body(answer: Answer, bytes_max: int) -> dict[str, Any]:
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        # It was not asked for, and what it unpacks to has no bound.
        return {"omitted": "the body is encoded"}
    if len(answer.body) > bytes_max:
        return {"omitted": f"the body has more than {bytes_max} bytes"}
    try:
        text = answer.body.decode("utf-8")
    except UnicodeDecodeError:
        return {"omitted": "the body is not UTF-8"}
    if "json" in answer.headers.get("content-type", "").partition(";")[0].lower():
        try:
            value = msgspec.json.decode(text)
            jcs.canonical({"json": value})
        except (msgspec.DecodeError, RecursionError, EvidenceError):
            # Numbers that JSON readers disagree on, or what is no JSON at all: it stays what was sent.
            return {"text": text}
        return {"json": value}
    return {"text": text}
