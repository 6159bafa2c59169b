"""The client: one method for each thing that can be asked of the gateway. Blocking and thread-safe.

It fails closed. Whatever is not unmistakably a yes raises; no method answers with a default, and no token travels to
another place than the URL that was given.
"""

import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import urlencode

from bywire_sdk import protocol, system, tracing
from bywire_sdk.connection import Connections
from bywire_sdk.errors import ApprovalNeeded, BadAnswer, Invalid, OutcomeUnknown, Unauthenticated, Unreachable
from bywire_sdk.limits import Limits
from bywire_sdk.origin import origin
from bywire_sdk.protocol import Advice, Answer, Ask, Options, Permitted, Reported, Tool
from bywire_sdk.tokens import Exchange, Given, Tokens, called, exchanged
from bywire_sdk.values import copied
from bywire_sdk.version import VERSION

T = TypeVar("T")
PENDING = "pending"
URL_VARIABLE, SUBJECT_TOKEN_VARIABLE = "BYWIRE_URL", "BYWIRE_SUBJECT_TOKEN_FILE"
Parameters = Mapping[str, Any] | None
_JSON_BODY = {"content-type": "application/json"}


class Client:
    """A gateway at `url`, asked in the name of whoever the token stands for.

    Exactly one of `token`, `token_source` (called for a token, and once more when it was refused) and `exchange`. `run`
    names the piece of work that this client does: governed functions do a thing once in a run, so a job that may be
    restarted gives its own id here. Raises ValueError for a URL that a token must not be sent to.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        token_source: Callable[[], str] | None = None,
        exchange: Exchange | None = None,
        run: str = "",
        limits: Limits | None = None,
        allow_plaintext: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.run = run or system.fresh_id()
        self._tokens = _tokens(token, token_source, exchange, self.limits)
        self.face: Any = None  # the asyncio face of this client, made when first needed
        self._connections = Connections(origin(url, allow_plaintext=allow_plaintext), self.limits, tls)

    @classmethod
    def from_environment(
        cls, *, agent: str = "", run: str = "", limits: Limits | None = None, tls: ssl.SSLContext | None = None
    ) -> Self:
        """The gateway that BYWIRE_URL names, for the workload whose platform keeps its token in a file.

        BYWIRE_SUBJECT_TOKEN_FILE names that file (an OIDC token, such as a projected Kubernetes service account token),
        which is read anew for each exchange. `agent` says who to be where the subject may be several. Raises ValueError
        for a variable that is not set, and for a URL that a token must not be sent to: none permits clear text.
        """
        exchange = Exchange(oidc_token_file=system.variable(SUBJECT_TOKEN_VARIABLE), agent=agent)
        return cls(system.variable(URL_VARIABLE), exchange=exchange, run=run, limits=limits, tls=tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are idle."""
        self._connections.close()

    def call(
        self,
        tool: str,
        parameters: Parameters = None,
        *,
        wait_seconds: float = 0,
        **more: Unpack[Options],
    ) -> Answer:
        """Have the gateway carry a tool out. With `wait_seconds`, wait for people that long and then resume."""
        ask = self.ask(tool, parameters, **more)
        return self._waiting(wait_seconds, lambda: self._call(ask))

    def permit(
        self,
        tool: str,
        parameters: Parameters = None,
        *,
        wait_seconds: float = 0,
        **more: Unpack[Options],
    ) -> Permitted | Answer:
        """Ask for leave to do it here. `Permitted`: do it with its parameters, then `report`. `Answer`: it was done."""
        return self.permit_ask(self.ask(tool, parameters, **more), wait_seconds)

    def permit_ask(self, ask: Ask, wait_seconds: float = 0) -> Permitted | Answer:
        """`permit` for a call that was made up before."""
        return self._waiting(
            wait_seconds, lambda: protocol.read_permit(self._post("/v1/permit", ask), dry_run=ask.dry_run)
        )

    def report(self, intent: str, status: str, result: Mapping[str, Any] | None = None, *, error: str = "") -> Reported:
        """Say how a permitted action ended: `committed`, `failed` (it did not happen) or `unknown`. Once."""
        document: dict[str, Any] = {"intent": intent, "status": status}
        if result is not None:
            document["result"] = dict(result)
        if error:
            document["error"] = error
        body = protocol.encoded(document)
        return protocol.read_report(self._send("POST", "/v1/report", _JSON_BODY, body))

    def advise(self, tool: str, parameters: Parameters = None, **more: Unpack[Options]) -> Advice:
        """What the answer would be now. It authorises nothing and leaves nothing behind."""
        return protocol.read_advice(self._post("/v1/advise", self.ask(tool, parameters, **more)))

    def tools(self, upstream: str = "") -> tuple[Tool, ...]:
        """The tools of an upstream, or the built-in ones, that this agent could ever be allowed to call."""
        query = f"?{urlencode({'upstream': upstream})}" if upstream else ""
        return protocol.read_tools(self._send("GET", f"/v1/tools{query}", {}, b""))

    def approval_state(self, needed: ApprovalNeeded) -> str:
        """`pending`, or how the approval ended."""
        state = self._send("GET", f"/v1/approvals/{approval_id(needed)}/state", {}, b"").get("state")
        if not isinstance(state, str) or not state:
            raise BadAnswer.local("an approval without a state", "see that the gateway's version fits")
        return state

    def wait_for_approval(self, needed: ApprovalNeeded, timeout_seconds: float) -> str:
        """Poll until people have decided; returns how. Raises `needed` again when the time is up.

        Nothing is resumed by this: make the same call with `key=needed.key`.
        """
        ends = system.seconds() + timeout_seconds
        for pause in pauses(self.limits):
            state = self.approval_state(needed)
            if state != PENDING:
                return state
            left = ends - system.seconds()
            if left <= 0:
                break
            system.pause(min(pause, left))
        raise needed

    def ask(self, tool: str, parameters: Parameters = None, **more: Unpack[Options]) -> Ask:
        """A call ready to be sent, on a private copy of its parameters. Raises Invalid."""
        key = more.get("key") or f"sdk-{system.fresh_id()}"
        if protocol.KEY.fullmatch(key) is None:
            raise Invalid.local("the idempotency key is no short plain text", "use printable ASCII, at most 256")
        return Ask(
            tool=tool,
            parameters=copied(dict(parameters or {}), self.limits.depth_max),
            key=key,
            change=more.get("change", ""),
            plan=more.get("plan", ""),
            dry_run=more.get("dry_run", False),
            tokens=more.get("tokens", 0),
            traceparent=more.get("traceparent") or tracing.current(),
        )

    def _waiting(self, wait_seconds: float, attempt: Callable[[], T]) -> T:
        ends, before = system.seconds() + wait_seconds, ""
        for pause in pauses(self.limits):
            try:
                return attempt()
            except ApprovalNeeded as needed:
                left = ends - system.seconds()
                if left <= 0:
                    raise
                if needed.approval_id == before:  # people have agreed, and it is not its hour yet
                    system.pause(min(pause, left))
                before = needed.approval_id
                self.wait_for_approval(needed, left)
        raise AssertionError("pauses do not end")

    def _call(self, ask: Ask) -> Answer:
        try:
            return protocol.read_answer(self._post("/v1/call", ask))
        except Unreachable as error:
            if not error.sent:
                raise
            reason = f"whether it was carried out is not known: {error.reason}"
            raise OutcomeUnknown.local(reason, "make the same call with the same key", key=ask.key) from error

    def _post(self, path: str, ask: Ask) -> dict[str, Any]:
        trace = {"traceparent": ask.traceparent} if protocol.TRACEPARENT.fullmatch(ask.traceparent) else {}
        return self._send("POST", path, _JSON_BODY | trace, ask.body())

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        token = self._tokens.current(self._exchange_token)
        try:
            return self._once(method, path, headers, body, token)
        except Unauthenticated:
            # Refused before anything was decided, so once more with another token repeats nothing.
            if not self._tokens.renewable(token):
                raise
        return self._once(method, path, headers, body, self._tokens.current(self._exchange_token))

    def _once(self, method: str, path: str, headers: Mapping[str, str], body: bytes, token: str) -> dict[str, Any]:
        sent = {"accept": "application/json", "user-agent": f"bywire-sdk/{VERSION}", **headers}
        if token:
            sent["authorization"] = f"Bearer {token}"
        return protocol.read(self._connections.exchange(method, path, sent, body), self.limits)

    def _exchange_token(self, path: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        return self._once("POST", path, headers, body, "")


def approval_id(needed: ApprovalNeeded) -> str:
    """The id of an approval, fit for a path. Raises BadAnswer."""
    if protocol.APPROVAL_ID.fullmatch(needed.approval_id) is None or needed.approval_id.strip(".") == "":
        raise BadAnswer.local("an approval is needed, and the gateway does not say which", "see `bywire approvals`")
    return needed.approval_id


def pauses(limits: Limits) -> "Pauses":
    """The rhythm in which the client asks again."""
    return Pauses(limits.poll_first_seconds, limits.poll_most_seconds)


class Pauses:
    """Pauses in seconds that double up to a most, without end."""

    def __init__(self, first: float, most: float) -> None:
        self._next, self._most = first, most

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> float:
        now = min(self._next, self._most)
        self._next = now * 2
        return now


def _tokens(token: str, source: Callable[[], str] | None, exchange: Exchange | None, limits: Limits) -> Tokens:
    if sum((bool(token), source is not None, exchange is not None)) != 1:
        raise ValueError("pass exactly one of token, token_source, exchange")
    if exchange is not None:
        return exchanged(exchange, limits)
    return called(source, limits) if source is not None else Given(token, limits)
