"""Carries tools out over HTTP at one origin: the operator's routes say which request each tool is.

The request is made from the parameters that were decided on (`gateway/http_request.py`), and from nothing else a caller
sent. The credential is a bearer token of this one request. The intent's key travels as `Idempotency-Key`.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bywire.adapters.pinned_http import Answer, PinnedHttp
from bywire.gateway.credential_forms import taken_out
from bywire.gateway.http_request import request_of
from bywire.gateway.ports import Credential, IntentRow
from bywire.model.connection import Route
from bywire.model.errors import TargetError
from bywire.model.trace_context import PASSED_ON

OK, MULTIPLE = 200, 300
_SAID_CHARS_MAX = 200
# How much a read that names no bound is told.
READ_BYTES = 262_144


class HttpExecutor:
    """`gateway.ports.CredentialedExecutor` for one connection. It holds no credential; each call brings its own."""

    def __init__(self, client: PinnedHttp, routes: Mapping[str, Route], name: str) -> None:
        self._client = client
        self._routes = routes
        self._name = name

    def observe(self) -> dict[str, Any]:
        """The origin says nothing about itself as a whole."""
        return {}

    def read(self, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Nothing here is read without a credential."""
        raise TargetError(f"{tool} needs a credential", code="credential_unavailable", next_step="bywire doctor")

    def read_with(self, tool: str, parameters: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """A GET."""
        answer = self._send(self._route(tool), parameters, credential, key="")
        text = taken_out(answer.body.decode("utf-8", "replace"), credential)
        # The policy's bound on how much is read holds here, also for platforms that know none.
        most = parameters.get("max_bytes", READ_BYTES)
        kept = text.encode()[:most].decode("utf-8", "ignore")
        return {"text": kept} if kept == text else {"text": kept, "cut_to_bytes": most}

    def execute(self, row: IntentRow, parameters: dict[str, Any]) -> dict[str, Any]:
        """Nothing here is carried out without a credential."""
        raise TargetError(f"{row.tool} needs a credential", code="credential_unavailable", next_step="bywire doctor")

    def execute_with(self, row: IntentRow, parameters: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """One request under the intent's key. TargetError when the origin refused it."""
        answer = self._send(self._route(row.tool), parameters, credential, key=row.key)
        return {"status": answer.status, "answer": answer.body.decode("utf-8", "replace")}

    def query(self, row: IntentRow) -> dict[str, Any] | None:
        """What happened to an interrupted request is not asked here: a person settles it."""
        raise TargetError(
            f"{self._client.origin} cannot be asked what became of {row.tool}",
            code="unsupported",
            next_step="bywire reconcile settle",
        )

    def _route(self, tool: str) -> Route:
        route = self._routes.get(tool)
        if route is None:
            raise TargetError(
                f"the connection {self._name} has no route for {tool}",
                code="unsupported",
                next_step=f"add `routes.{tool}` to the connection in operator.yaml",
            )
        return route

    def _send(self, route: Route, parameters: dict[str, Any], credential: Credential, *, key: str) -> Answer:
        if credential.origin != str(self._client.origin):
            raise TargetError(
                f"the credential is for {credential.origin}, this connection leads to {self._client.origin}",
                code="credential_unavailable",
                next_step="bywire doctor",
            )
        answer = sent(self._client, route, parameters, credential, key=key)
        if not OK <= answer.status < MULTIPLE:
            # Replaced before it is cut: half a credential would not be recognised any more.
            said = taken_out(answer.body.decode("utf-8", "replace"), credential)[:_SAID_CHARS_MAX]
            raise TargetError(
                f"{self._client.origin} answered {answer.status}: {said}",
                code="target_refused",
                next_step="read the answer; the request is recorded",
            )
        return answer


def sent(
    client: PinnedHttp,
    route: Route,
    parameters: dict[str, Any],
    credential: Credential | None,
    *,
    key: str,
    below: str = "",
) -> Answer:
    """One request for one call; `below` is the part of the path that every route of an upstream shares."""
    made = request_of(route, parameters)
    headers = {"Accept": "application/json", "User-Agent": "bywire", **made.headers}
    if trace := PASSED_ON.get():
        headers["traceparent"] = trace
    if credential is not None:
        headers["Authorization"] = f"Bearer {credential.value}"
    if made.body is not None:
        headers["Idempotency-Key"] = quote(key, safe="")
    return client.send(route.method, f"{below}{made.target}", headers, made.body, reuse=not key)
