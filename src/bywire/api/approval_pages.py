"""`/approvals`: what waits for a person, shown whole, and their answer where the tier lets a page take it.

A page of another site can send a person's browser here; it cannot read what comes back, frame it, or press a button:
the cookie stays home (SameSite=Strict), the form's token is the visitor's own, and the packet's digest is in the form,
so that what was seen is what is answered. Everything works without script.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bywire.api.approval_pages_view import HEADERS, listed, page, shown, style
from bywire.api.approval_pages_visitors import Visitor, Visitors
from bywire.api.errors import RefusedError
from bywire.api.reading import body_of, fields_of
from bywire.approvals.channel_heard import Heard
from bywire.approvals.channel_sign_in import AGE_MS_MAX, PROOF_CHARS_MAX, claimed_by, verify_sign_in
from bywire.identity.exchange import Rates
from bywire.model.errors import BywireError, ConflictError, EvidenceError
from bywire.wiring.approval_view import state_of
from bywire.wiring.approving import found_row
from bywire.wiring.call_pool import PEOPLE, BusyError
from bywire.wiring.channels import APPROVED, WEB, Settled
from bywire.wiring.gateway import Gateway

FORM_BYTES_MAX = 32_768
FORM_FIELDS_MAX = 8
LISTED_MAX = 200
SIGN_INS_PER_MINUTE = 20
VERDICTS_PER_MINUTE = 20
REMEMBERED_MAX = 4_096
_ID = re.compile(r"ap-[0-9a-f]{12}")
_STATUS = {"not_found": 404, "approval_settled": 409, "approval_changed": 409, "rate": 429, "busy": 503}

Shown = Callable[[Request, Visitor], Awaitable[Response]]


def routes(gateway: Gateway) -> Sequence[BaseRoute]:
    """The routes of this surface."""
    pages = _Pages(gateway)

    async def css(_: Request) -> Response:
        return style()

    return [
        Route("/approvals", pages.seen(pages.list), methods=["GET"]),
        Route("/approvals/style.css", css, methods=["GET"]),
        Route("/approvals/sign-in", pages.met(pages.ask_proof), methods=["GET"]),
        Route("/approvals/sign-in", pages.told(pages.met(pages.sign_in)), methods=["POST"]),
        Route("/approvals/sign-out", pages.told(pages.met(pages.sign_out)), methods=["POST"]),
        Route("/approvals/{id}", pages.seen(pages.request), methods=["GET"]),
        Route("/approvals/{id}/wait", pages.seen(pages.wait), methods=["GET"]),
        Route("/approvals/{id}/verdict", pages.told(pages.seen(pages.verdict)), methods=["POST"]),
    ]


class _Pages:
    """The pages of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._channels = gateway.channels
        self._now_ms = gateway.workspace.clock.now_ms
        self._visitors = Visitors(gateway.settings.channels.web.session_seconds * 1_000)
        url = urlsplit(gateway.settings.url)
        self._root = url.path.rstrip("/")
        self._secure = url.scheme == "https"
        # The prefix is a promise of the browser's: no other host of the domain has set it.
        self._cookie = "__Host-bywire" if self._secure and not self._root else "bywire-approvals"
        self._sign_ins = Rates(SIGN_INS_PER_MINUTE, REMEMBERED_MAX)
        self._verdicts = Rates(VERDICTS_PER_MINUTE, REMEMBERED_MAX)

    def met(self, show: Shown) -> Callable[[Request], Awaitable[Response]]:
        """`show` for whoever it is, with errors as pages."""

        async def answer(request: Request) -> Response:
            visitor = None
            try:
                visitor = self._visitor(request)
                if visitor is None:
                    return page("arrive.html", 200, here=self._here(request), **self._frame("Approvals", None))
                return self._with_cookie(await show(request, visitor), visitor)
            except BusyError:
                return self._refused(
                    visitor, 503, "too much is asked of this gateway now", "try again in a few seconds"
                )
            except RefusedError as refused:
                said = refused.said
                return self._refused(visitor, refused.status, str(said["reason"]), str(said["next_step"]))
            except BywireError as error:
                return self._refused(
                    visitor, _STATUS.get(error.code, 403), error.message, error.next_step, self._here(request)
                )

        return answer

    def seen(self, show: Shown) -> Callable[[Request], Awaitable[Response]]:
        """`show` for people who proved who they are; the same page to sign in for all others, whatever they ask for."""

        async def known(request: Request, visitor: Visitor) -> Response:
            return await (show if self._is_person(visitor) else self.ask_proof)(request, visitor)

        return self.met(known)

    def told(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """A form's POST: from a page of ours, as far as the browser says. Origin was looked at before."""

        async def checked(request: Request) -> Response:
            fields = fields_of(request.scope)
            if fields.get(b"sec-fetch-site", b"same-origin") != b"same-origin":
                return self._refused(None, 403, "a page of another site sent this form", "open the request here")
            kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if kind != b"application/x-www-form-urlencoded":
                return self._refused(None, 415, "this is no form", "use the page's own form")
            return await answer(request)

        return checked

    async def list(self, _: Request, visitor: Visitor) -> Response:
        """Every request, newest first."""
        found = await self._gateway.run(lambda: listed(self._channels, LISTED_MAX), PEOPLE)
        return page("list.html", 200, requests=found, **self._frame("Approvals", visitor))

    async def request(self, request: Request, visitor: Visitor, note: str = "", status: int = 200) -> Response:
        """One request, whole."""
        about = _id_in(request)

        def work() -> dict[str, object]:
            row = found_row(self._gateway.workspace.approvals.row(about), about)
            return shown(self._channels, row, visitor.person)

        one, fresh = await self._gateway.run(work, PEOPLE), visitor.is_fresh(self._now_ms())
        return page("request.html", status, one=one, note=note, fresh=fresh, **self._frame(about, visitor))

    async def wait(self, request: Request, visitor: Visitor) -> Response:
        """How a request stands, looked at again and again."""
        about = _id_in(request)
        row = await self._gateway.run(lambda: found_row(self._gateway.workspace.approvals.row(about), about), PEOPLE)
        state = state_of(row, self._now_ms())
        said = f"{row.packet.action.get('tool', '')} on {row.packet.service} in {row.packet.environment}"
        return page("wait.html", 200, id=about, state=state, said=said, **self._frame(about, visitor))

    async def ask_proof(self, request: Request, visitor: Visitor, note: str = "", status: int = 0) -> Response:
        """How to say who you are. A link only shows its proof: that a page was looked at signs nobody in."""
        proof = request.query_params.get("proof", "")[: PROOF_CHARS_MAX + 1]
        asked = request.query_params.get("next", "") or request.path_params.get("id", "")
        claimed = claimed_by(proof) if proof else ""
        return page(
            "sign_in.html",
            status or (200 if request.url.path.endswith("/sign-in") else 401),
            proof=proof if claimed else "",
            claimed=claimed,
            challenge=visitor.challenge,
            next=asked if _ID.fullmatch(asked) else "",
            note=note or ("this link is no proof; make a new one" if proof and not claimed else ""),
            **self._frame("Say who you are", visitor),
        )

    async def sign_in(self, request: Request, visitor: Visitor) -> Response:
        """Take a proof, once, and go on to the request that was asked for, and nowhere else."""
        form, now_ms = await self._form(request, visitor), self._now_ms()
        workspace = self._gateway.workspace

        def work() -> Visitor:
            proved = verify_sign_in(form.get("proof", ""), workspace.trust, now_ms, visitor.challenge)
            if proved.person not in {person.id for person in workspace.operator.people}:
                raise EvidenceError(
                    f"{proved.person} is not one of the people", code="sign_in_refused", next_step="see operator.yaml"
                )
            if not self._channels.store.heard_first(proved.id, now_ms, now_ms + 2 * AGE_MS_MAX):
                raise EvidenceError(
                    "this proof was used before", code="sign_in_refused", next_step="bywire approvals link --as NAME"
                )
            return self._visitors.signed_in(visitor, proved, now_ms)

        try:
            made, asked = await self._gateway.run(work, PEOPLE), form.get("next", "")
        except EvidenceError as error:
            # Only after the proof was looked at: behind a proxy all have one address, and a good proof is taken.
            if not self._sign_ins.count(_client(request), now_ms):
                raise _too_often() from error
            raise
        return self._with_cookie(self._go(asked if _ID.fullmatch(asked) else ""), made)

    async def sign_out(self, request: Request, visitor: Visitor) -> Response:
        """Forget the visitor."""
        await self._form(request, visitor)
        self._visitors.forget(visitor)
        return self._with_cookie(self._go(""), self._visitors.begin(self._now_ms()))

    async def verdict(self, request: Request, visitor: Visitor) -> Response:
        """A channel-asserted verdict: with a proof of its own, on the packet that was shown."""
        about, form, now_ms = _id_in(request), await self._form(request, visitor), self._now_ms()
        if not self._verdicts.count(visitor.person, now_ms):
            raise _too_often()
        verdict = form.get("verdict", "")
        heard = Heard(
            channel=WEB,
            member=visitor.person,
            approval=about,
            digest=form.get("digest", ""),
            verdict=verdict,
            once="",
            reason=form.get("reason", "").strip(),
        )

        def work() -> Settled:
            row = found_row(self._gateway.workspace.approvals.row(about), about)
            if not self._channels.channels.web.verdicts:
                raise EvidenceError(self._channels.why_not(row.packet, WEB), code="channel_capped")
            self._channels.check_current(row, heard.digest, now_ms)
            if not self._visitors.use_proof(visitor, now_ms):
                raise EvidenceError(
                    "each answer needs a proof of its own, not older than five minutes",
                    code="proof_needed",
                    next_step="prove again who you are, then answer",
                )
            return self._channels.assert_verdict(heard, visitor.person)

        settled = await self._gateway.run(work, PEOPLE)
        said = "agreed to" if settled.verdict == APPROVED else "denied"
        return await self.request(request, visitor, note=f"{settled.person} {said} it, ledger entry #{settled.entry}")

    def _visitor(self, request: Request) -> Visitor | None:
        """Who this is; None for somebody who comes from another site without their cookie, and may have one."""
        found = self._visitors.find(request.cookies.get(self._cookie, ""), self._now_ms())
        if found is not None:
            return found
        site = fields_of(request.scope).get(b"sec-fetch-site", b"")
        if site in {b"cross-site", b"same-site"} and request.method == "GET":
            return None
        return self._visitors.begin(self._now_ms())

    def _is_person(self, visitor: Visitor) -> bool:
        """Whether they are still one of the people, and their key is still believed."""
        key = self._gateway.workspace.trust.entry(visitor.key_id) if visitor.person else None
        people = self._gateway.workspace.operator.people
        return key is not None and key.valid_at(None) and visitor.person in {person.id for person in people}

    async def _form(self, request: Request, visitor: Visitor) -> dict[str, str]:
        """The fields of a form that this visitor was given. EvidenceError `form_refused`."""
        body = await body_of(request, FORM_BYTES_MAX)
        try:
            found = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX)
        except ValueError:
            found = []
        form = dict(found)
        if len(form) != len(found) or not visitor.fits(form.get("csrf", "")):
            raise EvidenceError(
                "this form is not one that you were given, or you have signed in since",
                code="form_refused",
                next_step="open the page again",
            )
        return form

    def _frame(self, title: str, visitor: Visitor | None) -> dict[str, str]:
        person, csrf = (visitor.person, visitor.csrf) if visitor is not None else ("", "")
        return {"title": title, "root": self._root, "person": person, "csrf": csrf}

    def _refused(self, visitor: Visitor | None, status: int, note: str, next_step: str, here: str = "") -> Response:
        frame = self._frame("Not done", visitor)
        return page(
            "refused.html", status, note=note, next_step=next_step, here=here or f"{self._root}/approvals", **frame
        )

    def _here(self, request: Request) -> str:
        """Our own page that a request is about; never anything that came with it."""
        about = str(request.path_params.get("id", ""))
        return f"{self._root}/approvals/{about}" if _ID.fullmatch(about) else f"{self._root}/approvals"

    def _go(self, about: str) -> Response:
        place = f"{self._root}/approvals/{about}" if about else f"{self._root}/approvals"
        return RedirectResponse(place, 303, HEADERS)

    def _with_cookie(self, response: Response, visitor: Visitor) -> Response:
        if "set-cookie" not in response.headers:
            place = "/" if self._cookie.startswith("__Host-") else f"{self._root}/approvals"
            response.set_cookie(
                self._cookie, visitor.secret, path=place, httponly=True, samesite="strict", secure=self._secure
            )
        return response


def _id_in(request: Request) -> str:
    """The id in the path. ConflictError `not_found`, as for one that nobody has."""
    about = str(request.path_params["id"])
    if _ID.fullmatch(about) is None:
        raise ConflictError("there is no such request", code="not_found", next_step="look at the list")
    return about


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _too_often() -> BywireError:
    return BywireError("this was tried too often", code="rate", next_step="try again in a minute")
