"""The routes of the service: what each request means, and which refusals it can meet."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from storefront import VERSION
from storefront.assistant import ASSETS, QUESTION_CHARACTERS_MAX, Assistant
from storefront.card_network import CardNetwork, Charge, HttpCardNetwork, SandboxCardNetwork, Unreachable
from storefront.catalogue import find_product
from storefront.payments import KeyReused, Payments, TooManyOpen
from storefront.quotes import CURRENCIES, Quote, quote
from storefront.wire import Refused, Request, Response, json_response

_KEY = re.compile(r"[A-Za-z0-9._:-]{1,100}", re.ASCII)
_TOKEN = re.compile(r"tok_[a-z0-9_]{1,60}", re.ASCII)

Route = Callable[[Request], Awaitable[Response]]


class Storefront:
    """Answers requests; holds the payments and the assistant."""

    def __init__(self, payments: Payments, assistant: Assistant) -> None:
        self._payments = payments
        self._assistant = assistant
        self._routes: dict[str, tuple[str, Route]] = {
            "/healthz": ("GET", self._health),
            "/version": ("GET", self._version),
            "/quote": ("GET", self._quote),
            "/pay": ("POST", self._pay),
            "/assistant": ("POST", self._ask),
            "/internal/warm": ("POST", self._warm),
        }

    async def answer(self, request: Request) -> Response:
        """Answer one request; raises `Refused` with the status for the peer."""
        method, route = self._routes.get(request.path, ("", None))
        if route is None:
            raise Refused(404, "no such path")
        if request.method != method:
            raise Refused(405, f"{request.path} answers {method} only")
        return await route(request)

    async def _health(self, _request: Request) -> Response:
        return json_response(200, {"status": "ok"})

    async def _version(self, _request: Request) -> Response:
        return Response(200, VERSION.encode(), "text/plain")

    async def _quote(self, request: Request) -> Response:
        return json_response(200, _quoted(request.query).as_json())

    async def _pay(self, request: Request) -> Response:
        order = request.json()
        quoted = _quoted(order)
        key, token = order.get("idempotency_key"), order.get("card_token")
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise Refused(400, "idempotency_key is missing or malformed")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise Refused(400, "card_token is missing or malformed; card numbers are not accepted")
        try:
            status = await self._payments.pay(Charge(key, quoted.amount_minor, quoted.currency.code, token))
        except KeyReused:
            raise Refused(409, "idempotency_key was used for another payment") from None
        except (Unreachable, TooManyOpen):
            raise Refused(503, "the card network is unavailable and nothing was charged; try again") from None
        return json_response(202 if status == "pending" else 200, {"status": status, "charged": quoted.as_json()})

    async def _ask(self, request: Request) -> Response:
        question = request.json().get("question")
        if not isinstance(question, str) or not 0 < len(question) <= QUESTION_CHARACTERS_MAX:
            raise Refused(400, f"question must be text of 1 to {QUESTION_CHARACTERS_MAX} characters")
        return json_response(200, self._assistant.reply(question).as_json())

    async def _warm(self, _request: Request) -> Response:
        return json_response(200, {"warmed": 0})


def assemble(card_network_url: str = "") -> Storefront:
    """Return the service; without an URL the card network is the sandbox."""
    network: CardNetwork = HttpCardNetwork(card_network_url) if card_network_url else SandboxCardNetwork()
    return Storefront(Payments(network), Assistant.load(ASSETS))


def _quoted(fields: dict[str, Any]) -> Quote:
    product = find_product(str(fields.get("product", "")))
    currency = CURRENCIES.get(str(fields.get("currency", "")))
    if product is None:
        raise Refused(404, "no such product")
    if currency is None:
        raise Refused(400, f"currency must be one of {', '.join(CURRENCIES)}")
    return quote(product, currency)
