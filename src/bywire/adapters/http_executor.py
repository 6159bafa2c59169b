"""Carries tools out over HTTP at one origin: the operator's routes say which request each tool is.

A path's `{parameter}` is filled with a percent-encoded value that can leave no segment; the other parameters of a write
are its JSON body. The credential is a bearer token of this one request. The intent's key travels as `Idempotency-Key`.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from bywire.adapters.pinned_http import Answer, PinnedHttp
from bywire.gateway.ports import Credential, IntentRow
from bywire.model.connection import Route
from bywire.model.errors import TargetError

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
        text = answer.body.decode("utf-8", "replace").replace(credential.value, "[credential]")
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
        path, rest = _filled(route.path, parameters)
        headers = {"Authorization": f"Bearer {credential.value}", "Accept": "application/json", "User-Agent": "bywire"}
        body = None
        if route.method != "GET":
            headers |= {"Content-Type": "application/json", "Idempotency-Key": quote(key, safe="")}
            body = msgspec.json.encode(rest)
        answer = self._client.send(route.method, path, headers, body)
        if not OK <= answer.status < MULTIPLE:
            # Replaced before it is cut: half a credential would not be recognised any more.
            said = answer.body.decode("utf-8", "replace").replace(credential.value, "[credential]")[:_SAID_CHARS_MAX]
            raise TargetError(
                f"{self._client.origin} answered {answer.status}: {said}",
                code="target_refused",
                next_step="read the answer; the request is recorded",
            )
        return answer


def _filled(template: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(path, parameters that the path does not hold)."""
    rest, path = dict(parameters), template
    for name, value in parameters.items():
        place = f"{{{name}}}"
        if place in template:
            text = str(value)
            if text in {"", ".", ".."}:
                raise TargetError(f"{name} cannot be part of a path", code="unsupported", next_step="name another one")
            path = path.replace(place, quote(text, safe=""))
            del rest[name]
    return path, rest
