"""AuthZEN 1.0: `POST /access/v1/evaluation`, `/access/v1/evaluations` and the metadata document.

Who asks carries the action out. So an allowed write is an intent that is durable before `decision` is true, and
`context.intent` names it for `/v1/report`; an allowed read is only recorded. A deny is an answer; whatever kept the
gateway from deciding is an HTTP error with the payload. Subject, service and environment are never believed: the
subject has to be the token's own principal, and where a tool acts is in its contract.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bywire.api import authzen_answer as answers
from bywire.api.authzen_answer import EVALUATIONS_MAX, Evaluation, Options
from bywire.api.errors import RefusedError, as_json, malformed
from bywire.api.reading import decoded, fields_of, json_of, token_of, trace_of
from bywire.model.ask import Ask
from bywire.model.errors import BywireError
from bywire.wiring import payload
from bywire.wiring.gateway import Gateway, upstream_of

_QUESTION = ("subject", "action", "resource", "context")
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,200}")


class _Batch(msgspec.Struct, frozen=True):
    """`/access/v1/evaluations`: members beside `evaluations` and `options` are defaults for each."""

    evaluations: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(max_length=EVALUATIONS_MAX)] = ()
    options: Options = Options()


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The routes of this surface."""
    bytes_max = gateway.settings.limits.body_bytes

    async def evaluation(request: Request) -> Response:
        asker, request_id = _Asker(gateway, request), _request_id(request)
        body = await json_of(request, bytes_max)
        answer = await asker.evaluate(decoded(body, Evaluation), request_id, lambda: decoded(body, dict[str, Any]))
        return as_json(answer, headers=_echoed(request_id))

    async def evaluations(request: Request) -> Response:
        asker, request_id = _Asker(gateway, request), _request_id(request)
        document = decoded(await json_of(request, bytes_max), dict[str, Any])
        return as_json(await asker.evaluate_all(document, request_id), headers=_echoed(request_id))

    async def configuration(_: Request) -> Response:
        url = gateway.settings.url
        return as_json(
            {
                "policy_decision_point": url,
                "access_evaluation_endpoint": f"{url}/access/v1/evaluation",
                "access_evaluations_endpoint": f"{url}/access/v1/evaluations",
            }
        )

    return [
        Route("/access/v1/evaluation", evaluation, methods=["POST"]),
        Route("/access/v1/evaluations", evaluations, methods=["POST"]),
        Route("/.well-known/authzen-configuration", configuration, methods=["GET"]),
    ]


class _Asker:
    """The questions of one HTTP request."""

    def __init__(self, gateway: Gateway, request: Request) -> None:
        self._gateway = gateway
        self._token = token_of(request)
        self._trace = trace_of(request)

    async def evaluate(
        self, asked: Evaluation, request_id: str, document: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """One answer; `document` is the question as it was sent. Raises RefusedError for what kept us from one."""
        self._check_subject(asked)
        _check_resource(asked, self._gateway.workspace.operator.service)
        ask = Ask(
            tool=asked.action.name,
            parameters=answers.parameters_of(asked),
            key=asked.context.key or request_id,
            change=asked.context.change,
            plan=asked.context.plan,
            evidence=asked.context.evidence,
            tokens=asked.context.tokens,
            surface="authzen",
            trace=self._trace,
        )
        workspace_key = self._gateway.workspace.workspace_key
        if asked.context.binding_token:
            answers.check_binding(asked.context.binding_token, answers.question_hash(document()), workspace_key)
        exact = answers.REPLACE not in asked.context.obligations
        answered = await self._gateway.agrant(self._token, ask, exact=exact)
        if not answered.payload:
            return answers.allowed(answered, ask)
        if answered.code not in payload.ANSWERS:
            raise RefusedError(answered.payload)
        context: dict[str, Any] = {"payload": answered.payload}
        if answered.outcome.approval_id:
            expires_ms = self._gateway.approval_expires_ms(answered.outcome.approval_id)
            context["access_request"] = answers.access_request(
                answered, answers.question_hash(document()), self._gateway.settings.url, expires_ms, workspace_key
            )
        return {"decision": False, "context": context}

    async def evaluate_all(self, document: dict[str, Any], request_id: str) -> dict[str, Any]:
        """Each answer, in order, as far as `evaluations_semantic` goes. Without `evaluations` it is one question."""
        batch = _converted(document, _Batch)
        defaults: dict[str, Any] = {name: document[name] for name in _QUESTION if name in document}
        if not batch.evaluations:
            return await self.evaluate(_read(defaults), request_id, lambda: defaults)
        last = {"deny_on_first_deny": False, "permit_on_first_permit": True}.get(batch.options.evaluations_semantic)
        found: list[dict[str, Any]] = []
        for index, one in enumerate(batch.evaluations):
            answer = await self._one_of_many({**defaults, **one}, f"{request_id}.{index}" if request_id else "")
            found.append(answer)
            if answer["decision"] is last:
                break
        return {"evaluations": found}

    async def _one_of_many(self, document: dict[str, Any], request_id: str) -> dict[str, Any]:
        """An answer of a batch; what kept us from one is said in it, and it is no permit."""
        try:
            return await self.evaluate(_read(document), request_id, lambda: document)
        except RefusedError as refused:
            if refused.said["code"] in {payload.UNAUTHENTICATED, payload.BUSY}:
                raise
            error = {"status": refused.status, "message": refused.said["reason"]}
            return {"decision": False, "context": {"error": error, "payload": refused.said}}

    def _check_subject(self, asked: Evaluation) -> None:
        """Nobody asks for somebody else: the answer would be an intent in their name."""
        try:
            principal = self._gateway.principal(self._token)
        except BywireError as error:
            raise RefusedError(payload.of_error(error)) from error
        named = asked.subject.id if ":" in asked.subject.id else f"{asked.subject.type}:{asked.subject.id}"
        if named != principal.id or (asked.subject.type not in {str(principal.kind), "user", "principal"}):
            said = payload.refusal(
                payload.UNAUTHENTICATED,
                "the subject is not who the token stands for",
                next_step=f"ask as {principal.id}, or with the other principal's own token",
            )
            raise RefusedError(said, 403)


def _check_resource(asked: Evaluation, service: str) -> None:
    """What is asked about has to be what the tool acts on: an answer about something else would be believed."""
    tool, resource = asked.action.name, asked.resource
    known = {"tool": tool, "upstream": upstream_of(tool), "service": service}
    if known.get(resource.type) != resource.id:
        raise malformed(
            "the resource is not what this tool acts on", 'send {"type": "tool", "id": the name of the tool}'
        )


def _read(document: dict[str, Any]) -> Evaluation:
    found: Evaluation = _converted(document, Evaluation)
    return found


def _converted(document: dict[str, Any], shape: type[Any]) -> Any:
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        raise malformed(f"this is no AuthZEN question: {error}", "send subject, action and resource") from error


def _request_id(request: Request) -> str:
    value = fields_of(request.scope).get(b"x-request-id", b"")
    if value and _REQUEST_ID.fullmatch(value) is None:
        raise malformed("X-Request-ID is too long or not plain text", "send up to 200 printable ASCII characters")
    return value.decode("ascii")


def _echoed(request_id: str) -> dict[str, str]:
    return {"x-request-id": request_id} if request_id else {}
