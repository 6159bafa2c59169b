"""`/channels/...`: what Slack, Teams and other systems say that a person answered, each signed its own way.

The signature is looked at before anything else is; what is not the platform's is told nothing but that. Only such are
counted: behind a proxy all come from one address, and who forges must not keep a person's denial out. A person hears
what became of their answer: on Slack in a message that only they see, elsewhere in the HTTP answer.
"""

import logging
from collections.abc import Sequence

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bywire.adapters.channel_senders import SlackSender
from bywire.api.errors import RefusedError, as_json, told
from bywire.api.reading import body_of, header
from bywire.approvals import channel_slack, channel_teams, channel_webhook
from bywire.identity.exchange import Rates
from bywire.model.errors import BywireError
from bywire.wiring import payload
from bywire.wiring.call_pool import PEOPLE, BusyError
from bywire.wiring.channels import ApprovalChannels, Settled
from bywire.wiring.gateway import Gateway

FAILURES_PER_MINUTE = 300
REMEMBERED_MAX = 1_024
_STATUS = {
    "callback_refused": 401,
    "callback_replayed": 409,
    "approval_changed": 409,
    "approval_settled": 409,
    "not_found": 404,
    "secret_unreadable": 503,
    "secret_malformed": 503,
}
_logger = logging.getLogger("bywire.channels")


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The routes of this surface."""
    heard = _Callbacks(gateway)
    return [
        Route("/channels/slack", heard.slack, methods=["POST"]),
        Route("/channels/teams", heard.teams, methods=["POST"]),
        Route("/channels/webhook", heard.webhook, methods=["POST"]),
    ]


class _Callbacks:
    """What is heard at one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._channels: ApprovalChannels = gateway.channels
        self._said = gateway.settings.channels
        self._now_ms = gateway.workspace.clock.now_ms
        self._failures = Rates(FAILURES_PER_MINUTE, REMEMBERED_MAX)

    async def slack(self, request: Request) -> Response:
        """A pressed button. Slack waits three seconds, so that the answer to the person follows by itself."""
        said = self._said.slack
        timestamp, signature = _one(request, b"x-slack-request-timestamp"), _one(request, b"x-slack-signature")
        body = await body_of(request, channel_slack.BODY_BYTES_MAX)
        members: list[str] = []

        def work() -> Settled | None:
            secret = self._channels.secret(said.signing_secret if said is not None else None)
            assert said is not None  # noqa: S101  `secret` has raised otherwise
            heard = channel_slack.heard(
                body,
                timestamp,
                signature,
                secret=secret.encode(),
                team=said.team,
                place=said.channel,
                now_ms=self._now_ms(),
            )
            if not heard.verdict:
                return None  # the link's own button was pressed: nothing was said
            members.append(heard.member)
            return self._channels.hear(heard)

        try:
            await self._gateway.run(work, PEOPLE)
        except (BywireError, BusyError) as error:
            if not members:
                return self._refused(request, error)
            # Slack shows no answer of ours: it would take anything but 200 for a failure and show that.
            return Response(status_code=200, background=BackgroundTask(self._whisper, members[0], _words(error)))
        return Response(status_code=200)

    async def teams(self, request: Request) -> Response:
        """What a person wrote to the outgoing webhook; they read the answer there, so that refusals are 200, too."""
        said, authorization = self._said.teams, _one(request, b"authorization")
        body = await body_of(request, channel_teams.BODY_BYTES_MAX)

        def work() -> Settled:
            secret = self._channels.secret(said.secret if said is not None else None)
            tenant = said.tenant if said is not None else ""
            heard = channel_teams.heard(body, authorization, secret=secret, tenant=tenant, now_ms=self._now_ms())
            return self._channels.hear(heard)

        try:
            settled = await self._gateway.run(work, PEOPLE)
        except (BywireError, BusyError) as error:
            if isinstance(error, BusyError) or error.code == "callback_refused" or error.code not in _TOLD:
                return self._refused(request, error)
            return as_json({"type": "message", "text": channel_teams.escaped(_words(error))})
        text = f"{settled.verdict} {settled.approval}: it is {settled.state} now"
        return as_json({"type": "message", "text": channel_teams.escaped(text)})

    async def webhook(self, request: Request) -> Response:
        """A verdict of another system's person."""
        said = self._said.webhook
        signed = [_one(request, name) for name in (b"webhook-id", b"webhook-timestamp", b"webhook-signature")]
        body = await body_of(request, channel_webhook.BODY_BYTES_MAX)

        def work() -> Settled:
            secret = self._channels.secret(said.verdict_secret if said is not None else None)
            return self._channels.hear(channel_webhook.heard(body, *signed, secret=secret, now_ms=self._now_ms()))

        try:
            settled = await self._gateway.run(work, PEOPLE)
        except (BywireError, BusyError) as error:
            return self._refused(request, error)
        return as_json({"id": settled.approval, "state": settled.state, "entry": settled.entry})

    def _refused(self, request: Request, error: BywireError | BusyError) -> Response:
        """The answer to what was not taken; what failed its verification is counted, and told to wait in the end."""
        client = request.client.host if request.client else ""
        is_forged = isinstance(error, BywireError) and error.code == "callback_refused"
        if is_forged and not self._failures.count(client, self._now_ms()):
            raise RefusedError(payload.busy(), 429)
        return _refused(error)

    def _whisper(self, member: str, text: str) -> None:
        said = self._said.slack
        if said is None:
            return
        try:
            sender = SlackSender(said, self._channels.secret(said.token))
            try:
                sender.whisper(member, text)
            finally:
                sender.close()
        except (BywireError, OSError) as error:
            _logger.warning("channel slack: %s", getattr(error, "code", type(error).__name__))


_TOLD = frozenset(
    {
        "approval_changed", "approval_role", "approval_settled", "callback_replayed", "channel_capped",
        "duties_separated", "member_unknown", "not_found", "secret_found",
    }
)  # fmt: skip


def _words(error: Exception) -> str:
    if isinstance(error, BywireError) and error.code in _TOLD:
        return f"{error.message}. {error.next_step}"
    return "it was not done; look at the request, and try again"


def _refused(error: BywireError | BusyError) -> Response:
    if isinstance(error, BusyError):
        return told(payload.busy())
    code = payload.UNAUTHENTICATED if error.code == "callback_refused" else payload.CONFLICT
    said = payload.refusal(code, error.message, next_step=error.next_step)
    return told({**said, "cause": error.code}, _STATUS.get(error.code, 403))


def _one(request: Request, name: bytes) -> bytes:
    """One header, once."""
    return header(request.scope["headers"], name)
