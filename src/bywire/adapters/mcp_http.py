"""A link to an MCP server over streamable HTTP: a POST for each request, answered by an object or a bounded stream."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from bywire.adapters import mcp_message as rpc
from bywire.adapters.mcp_events import Event, EventParser
from bywire.adapters.mcp_headers import encode_value
from bywire.adapters.mcp_link import REFUSED_MAX, Link, Sent, SessionGoneError, Spoken
from bywire.adapters.mcp_message import MODERN, NAMED_BY, Message, MessageError
from bywire.adapters.mcp_relay import RELAY, Hear, cancelled_by
from bywire.adapters.pinned_http import Abort, Exchange, PinnedHttp
from bywire.model.errors import BywireError, TargetError

ANSWER_BYTES_MAX = 8 * 1024 * 1024
STREAM_BYTES_MAX = 16 * 1024 * 1024
STREAM_MESSAGES_MAX = 10_000
RESUMED_MAX = 4
SESSION_CHARS_MAX = 512
WATCH_SECONDS, WATCH_WAIT_SECONDS, WATCH_WAIT_SECONDS_MAX = 300.0, 1.0, 60.0
_ACCEPT = "application/json, text/event-stream"
_GONE, _UNAUTHORISED, _ACCEPTED = 404, (401, 403), (200, 202)


class McpHttp(Link):
    """`timeout_seconds` bounds one request with its whole answer."""

    def __init__(
        self,
        name: str,
        client: PinnedHttp,
        path: str,
        *,
        timeout_seconds: float,
        refused: Callable[[str], None],
        changed: Hear,
    ) -> None:
        super().__init__(name, refused=refused, changed=changed)
        self._client = client
        self._path = path
        self._timeout = timeout_seconds
        self._session = ""
        self._watching: threading.Thread | None = None
        self._watch_lock = threading.Lock()
        self._stopped = threading.Event()
        self._watched: Exchange | None = None

    @property
    def origin(self) -> str:
        """The only place that a credential of this upstream may go to."""
        return str(self._client.origin)

    def session_of_greeting(self) -> str:
        """As the last answer's header named it."""
        return self._session

    def carry(self, sent: Sent) -> Message:
        """As `Link.carry`. A request without effect may be sent twice, and ends when its client goes away."""
        abort = Abort()
        with cancelled_by(RELAY.get(), abort.set, effect=sent.effect), self._exchange(sent, abort) as exchange:
            return self._answer(exchange, sent)

    def tell(self, message: dict[str, Any], spoken: Spoken, authorization: str) -> None:
        """POST it."""
        headers = self._headers(spoken, authorization)
        with contextlib.suppress(BywireError, OSError):
            self._client.send("POST", self._path, headers, rpc.encoded(message), reuse=True)

    def watch(self, authorization: Callable[[], str]) -> None:
        """Keep a stream open on which the server says that something changed; once, in a thread of its own."""
        with self._watch_lock:
            if self._watching is None and not self._stopped.is_set():
                self._watching = threading.Thread(
                    target=self._watch, args=(authorization,), name=f"bywire-mcp-{self.name}", daemon=True
                )
                self._watching.start()

    def close(self) -> None:
        """End the stream and give connections back."""
        self._stopped.set()
        if self._watched is not None:
            self._watched.abort()
        if self._watching is not None:
            self._watching.join(5)
        self._client.close()

    def _follow_again(self) -> None:
        watched = self._watched
        if watched is not None:
            watched.abort()

    def _exchange(self, sent: Sent, abort: Abort) -> contextlib.AbstractContextManager[Exchange]:
        message = sent.message
        headers = self._headers(sent.spoken, sent.authorization) | dict(sent.headers)
        if sent.spoken is None or sent.spoken.is_modern:
            headers |= modern_headers(message) if message["method"] != "initialize" else {}
        return self._client.exchange(
            "POST",
            self._path,
            headers,
            rpc.encoded(message),
            reuse=not sent.effect,
            timeout_seconds=sent.seconds or self._timeout,
            abort=abort,
        )

    def _headers(self, spoken: Spoken | None, authorization: str) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": _ACCEPT, "User-Agent": "bywire"}
        if authorization:
            headers["Authorization"] = f"Bearer {authorization}"
        if spoken is not None:
            headers["MCP-Protocol-Version"] = spoken.version
            if spoken.session:
                headers["Mcp-Session-Id"] = spoken.session
        return headers

    def _answer(self, exchange: Exchange, sent: Sent) -> Message:
        if sent.message["method"] == "initialize":
            self._session = _visible(exchange.headers.get("mcp-session-id", ""))
        if exchange.status == _GONE and sent.spoken is not None and sent.spoken.session:
            raise SessionGoneError
        if exchange.status in _UNAUTHORISED:
            raise TargetError(
                f"{self.name} does not accept the gateway's credential ({exchange.status})",
                code="upstream_unauthorised",
                next_step="correct `credential` of the upstream in gateway.yaml",
            )
        kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream" and exchange.status in _ACCEPTED:
            return self._streamed(exchange, sent)
        content = b"".join(exchange.parts(ANSWER_BYTES_MAX))
        answer = _whole(content) if kind == "application/json" else None
        if answer is not None and answer.id in {sent.id, None} and not answer.is_request:
            return answer
        if 400 <= exchange.status < 500:
            raise TargetError(
                f"{self.name} answered {exchange.status} without saying why",
                code="upstream_refused",
                next_step="check the upstream's URL and version",
            )
        # Its content type is not repeated: in lower case no removal would find a credential there.
        raise TimeoutError(f"{self.name} answered {exchange.status} and no answer of MCP")

    def _streamed(self, exchange: Exchange, sent: Sent) -> Message:
        """The response from a stream; one that its server closed before is taken up again where it ended."""
        parser = EventParser()
        last, answer = self._listen(exchange, parser, sent)
        resumed = 0
        while answer is None and last and resumed < RESUMED_MAX and sent.spoken is not None:
            resumed += 1
            self._stopped.wait(min(parser.retry_ms / 1000, self._timeout))
            headers = self._headers(sent.spoken, sent.authorization) | {
                "Last-Event-ID": last,
                "Accept": "text/event-stream",
            }
            del headers["Content-Type"]
            with self._client.exchange("GET", self._path, headers, None, timeout_seconds=self._timeout) as again:
                if again.status != _ACCEPTED[0]:
                    break
                last, answer = self._listen(again, parser, sent)
        if answer is None:
            raise TimeoutError(f"{self.name} ended the stream without an answer")
        return answer

    def _listen(self, exchange: Exchange, parser: EventParser, sent: Sent) -> tuple[str, Message | None]:
        """(last event id, the response) of one stream. Whatever follows the response is not read."""
        last = ""
        refused = 0
        for count, event in enumerate(_events(exchange, parser)):
            last = _visible(event.id)
            if not event.data:
                continue
            message = _whole(event.data)
            if message is None or count > STREAM_MESSAGES_MAX:
                raise TimeoutError(f"{self.name} sends what is no message, or too many")
            if message.is_request:
                refused += 1
                if refused > REFUSED_MAX:
                    raise TimeoutError(f"{self.name} keeps asking its client")
                self._asked_back(message, sent.spoken, sent.authorization)
            elif message.is_notification:
                self._heard(message, sent.hear)
            elif message.id == sent.id and type(message.id) is int:
                exchange.has_enough()
                return last, message
        return last, None

    def _watch(self, authorization: Callable[[], str]) -> None:
        wait = WATCH_WAIT_SECONDS
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                if not self._watch_once(authorization()):
                    return
            except (BywireError, OSError, SessionGoneError):
                wait = min(2 * wait, WATCH_WAIT_SECONDS_MAX)
            if time.monotonic() - began > WATCH_WAIT_SECONDS_MAX:
                wait = WATCH_WAIT_SECONDS
            self._stopped.wait(wait)

    def _watch_once(self, authorization: str) -> bool:
        """One stream of changes until it ends; False when the server offers none."""
        spoken = self.spoken(authorization)
        headers = self._headers(spoken, authorization)
        body = None
        if spoken.is_modern:
            message = self._listening()
            headers |= modern_headers(message)
            body = rpc.encoded(message)
        else:
            del headers["Content-Type"]
            headers["Accept"] = "text/event-stream"
        method = "POST" if spoken.is_modern else "GET"
        with self._client.exchange(method, self._path, headers, body, timeout_seconds=WATCH_SECONDS) as exchange:
            if exchange.status != _ACCEPTED[0] or "event-stream" not in exchange.headers.get("content-type", ""):
                return exchange.status >= 500
            self._watched = exchange
            try:
                self._listen(exchange, EventParser(), Sent({"id": -1}, spoken, authorization))
            finally:
                self._watched = None
        return True


def modern_headers(message: dict[str, Any]) -> dict[str, str]:
    """The headers that repeat the body for whoever routes by them (2026-07-28, "Request Metadata")."""
    params = message.get("params") or {}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": str(message["method"])}
    named = NAMED_BY.get(message["method"])
    if named is not None and isinstance(params.get(named), str):
        headers["Mcp-Name"] = encode_value(params[named])
    return headers


def _events(exchange: Exchange, parser: EventParser) -> Iterator[Event]:
    try:
        for part in exchange.parts(STREAM_BYTES_MAX):
            yield from parser.parse_part(part)
    except TargetError as error:
        raise TimeoutError(error.message) from error


def _whole(content: bytes) -> Message | None:
    try:
        return rpc.parse_message(content)
    except MessageError:
        return None


def _visible(text: str) -> str:
    """A header value that may be sent back: visible ASCII, bounded."""
    return text if len(text) <= SESSION_CHARS_MAX and all("!" <= one <= "~" for one in text) else ""
