"""A link to one MCP server as its client, whatever carries it: the version is negotiated here, once for a connection.

The newest version is tried first (`server/discover`); a server that does not know it is greeted by the handshake of the
older ones. This client declares no capability: what a server then asks of it (sampling, elicitation, roots) is refused
(RULES 23), and said to `refused`.
"""

import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bywire import __version__
from bywire.adapters import mcp_message as rpc
from bywire.adapters.mcp_followed import Followed, Follower
from bywire.adapters.mcp_message import HANDSHAKE, MODERN, Message
from bywire.adapters.mcp_relay import RELAY, Hear, Refusal
from bywire.gateway.credential_forms import without
from bywire.gateway.ports import Credential
from bywire.model.errors import TargetError
from bywire.model.trace_context import PASSED_ON

# Older servers that still answer our handshake; what they lack, nothing here needs.
HANDSHAKE_KNOWN = (*HANDSHAKE, "2025-03-26", "2024-11-05")
CLIENT = {"name": "bywire", "version": __version__}
REFUSED_MAX = 16
SAID_CHARS_MAX = 2_000


class Spoken(msgspec.Struct, frozen=True):
    """What was agreed with a server. `session` is empty where there is none."""

    version: str
    capabilities: dict[str, Any]
    server: dict[str, Any]
    session: str = ""
    instructions: str = ""

    @property
    def is_modern(self) -> bool:
        """Whether each request carries its own version."""
        return self.version == MODERN


class Sent(msgspec.Struct, frozen=True):
    """One request on its way. `spoken` is None while the version is negotiated; `effect`: it may change something."""

    message: dict[str, Any]
    spoken: Spoken | None
    authorization: str = ""
    effect: bool = False
    headers: Mapping[str, str] = {}
    hear: Hear | None = None
    seconds: float = 0

    @property
    def id(self) -> int:
        """The request's id."""
        found: int = self.message["id"]
        return found


class SessionGoneError(Exception):
    """The server does not know the session any more, so it has not looked at the request."""


class Link(ABC):
    """One MCP server. Thread-safe."""

    def __init__(self, name: str, *, refused: Callable[[str], None], changed: Hear) -> None:
        self.name = name
        self._refused = refused
        self._changed = changed
        self._spoken: Spoken | None = None
        self._negotiating = threading.RLock()
        self._ids = itertools.count(1)
        self._followed = Followed(name)

    @abstractmethod
    def carry(self, sent: Sent) -> Message:
        """The response to a request.

        TargetError when it surely had no effect, TimeoutError when nobody knows; SessionGoneError.
        """

    @abstractmethod
    def tell(self, message: dict[str, Any], spoken: Spoken, authorization: str) -> None:
        """Send what needs no answer. Failing is not an error: the server is asked again anyway."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """The only place that a credential of this upstream may go to."""

    @abstractmethod
    def watch(self, authorization: Callable[[], str]) -> None:
        """Have the server say what changes, from now on."""

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def follow(self, uri: str, follower: Follower, *, follows: bool) -> bool:
        """Keep who follows this resource, and have a server of the newest version say when it changes, or no more.

        Returns whether the server has to be asked for something else than before. TargetError: it has no room.
        """
        is_other = self._followed.add(uri, follower) if follows else self._followed.remove(uri, follower)
        if is_other:
            self._say_followed()
        return is_other

    def release(self, follower: Follower) -> None:
        """A session or stream is over. A server of an older version goes on saying what nobody is told any more."""
        if self._followed.release(follower):
            self._say_followed()

    def _say_followed(self) -> None:
        spoken = self._spoken
        if spoken is not None and spoken.is_modern:
            self._follow_again()

    @abstractmethod
    def _follow_again(self) -> None:
        """What is followed is another set now."""

    def _listening(self) -> dict[str, Any]:
        """The request by which a server of the newest version says what changes."""
        wanted: dict[str, Any] = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
        if uris := self._followed.uris():
            wanted["resourceSubscriptions"] = uris
        return rpc.request("subscriptions/listen", {"_meta": modern_meta(), "notifications": wanted}, next(self._ids))

    def ask(
        self,
        method: str,
        params: dict[str, Any],
        *,
        authorization: str = "",
        effect: bool = False,
        headers: Mapping[str, str] | None = None,
        hear: Hear | None = None,
    ) -> dict[str, Any]:
        """The result of one request, as an object; errors as with `carry`. `hear` in place of the relay's own."""
        for _ in range(2):
            spoken = self.spoken(authorization)
            sent = self._sent(spoken, method, params, authorization, effect=effect, headers=headers or {}, hear=hear)
            try:
                return self._result(self.carry(sent), method, authorization)
            except SessionGoneError:
                self._forget(spoken)
        raise TargetError(f"{self.name} forgets its sessions at once", code="upstream_refused", next_step="restart it")

    def last_words(self) -> str:
        """What a program that is the server said last, beside its answers; nothing where there is no program."""
        return ""

    def spoken(self, authorization: str = "") -> Spoken:
        """What is agreed with the server, negotiated first if nothing is."""
        known = self._spoken
        if known is None:
            with self._negotiating:
                known = self._spoken or self._negotiate(authorization)
                self._spoken = known
        return known

    def _forget(self, spoken: Spoken | None) -> None:
        with self._negotiating:
            if self._spoken is spoken or spoken is None:
                self._spoken = None

    def _sent(
        self,
        spoken: Spoken,
        method: str,
        params: dict[str, Any],
        authorization: str,
        *,
        effect: bool,
        headers: Mapping[str, str],
        hear: Hear | None,
    ) -> Sent:
        message_id, relay = next(self._ids), RELAY.get()
        meta: dict[str, Any] = {}
        if relay is not None:
            meta |= relay.meta
            if relay.progress_token is not None:
                meta["progressToken"] = message_id
        if spoken.is_modern:
            meta |= modern_meta()
            if relay is not None and relay.log_level:
                meta[rpc.META_LOG_LEVEL] = relay.log_level
        if (trace := PASSED_ON.get()) and method == "tools/call":
            meta["traceparent"] = trace
        full = {**params, "_meta": meta} if meta else params
        return Sent(
            message=rpc.request(method, full, message_id),
            spoken=spoken,
            authorization=authorization,
            effect=effect,
            headers=headers,
            hear=hear or (relay.notice if relay is not None else None),
        )

    def _result(self, answer: Message, method: str, authorization: str) -> dict[str, Any]:
        if not isinstance(answer.error, msgspec.UnsetType):
            raise self._failed(answer.error, authorization)
        result = answer.result
        if not isinstance(result, dict):
            raise TimeoutError(f"{self.name} answered {method} with no object")
        kind = result.get("resultType", "complete")
        if kind == "input_required":
            self._refused("input_required")
            raise TargetError(
                f"{self.name} asks the client's user or model for input, which is not passed on",
                code="input_refused",
                next_step="give the tool everything it needs as parameters",
            )
        if kind != "complete":
            raise TimeoutError(f"{self.name} answered {method} with an unknown kind of result")
        return result

    def _failed(self, error: dict[str, Any], authorization: str) -> TargetError:
        code, said = error.get("code"), str(error.get("message") or "no reason given")
        message = self._plain(said, authorization)[:SAID_CHARS_MAX]
        relay = RELAY.get()
        if relay is not None and isinstance(code, int) and abs(code) <= rpc.ID_MAX:
            relay.refusal = Refusal(code, message)
        return TargetError(f"{self.name} refused: {message}", code="upstream_refused", next_step="correct the request")

    def _plain(self, text: str, authorization: str) -> str:
        """What a server says, without the authorization that it was sent; before it is cut, which would hide a part."""
        return str(without(text, Credential(self.name, authorization, self.origin, 0, minted=False)))

    def _negotiate(self, authorization: str) -> Spoken:
        probe = rpc.request("server/discover", {"_meta": modern_meta()}, next(self._ids))
        answer = self._probed(Sent(probe, None, authorization, seconds=self.probe_seconds))
        found = None if answer is None else _modern(answer)
        return found or self._greeted(authorization)

    probe_seconds = 0.0

    def _probed(self, sent: Sent) -> Message | None:
        try:
            return self.carry(sent)
        except SessionGoneError:
            return None
        except TargetError as error:
            if error.code in {"upstream_refused", "upstream_malformed"}:
                return None  # it does not know the method, which is what was asked
            raise

    def _greeted(self, authorization: str) -> Spoken:
        params = {"protocolVersion": HANDSHAKE[0], "capabilities": {}, "clientInfo": CLIENT}
        answer = self.carry(Sent(rpc.request("initialize", params, next(self._ids)), None, authorization))
        result = self._result(answer, "initialize", authorization)
        version = result.get("protocolVersion")
        if version not in HANDSHAKE_KNOWN:
            shown = self._plain(str(version), authorization)[:40]
            raise TargetError(
                f"{self.name} speaks version {shown!r} of MCP, which bywire does not",
                code="upstream_version",
                next_step=f"use a server that speaks one of {', '.join((MODERN, *HANDSHAKE))}",
            )
        spoken = Spoken(
            version=str(version),
            capabilities=_object(result.get("capabilities")),
            server=_object(result.get("serverInfo")),
            session=self.session_of_greeting(),
            instructions=str(result.get("instructions") or "")[:SAID_CHARS_MAX],
        )
        self.tell(rpc.notification("notifications/initialized"), spoken, authorization)
        return spoken

    def session_of_greeting(self) -> str:
        """The session that the last answer to `initialize` named."""
        return ""

    def _asked_back(self, message: Message, spoken: Spoken | None, authorization: str) -> None:
        """Answer what the server asks of its client: a ping; everything else is refused."""
        if spoken is None or isinstance(message.id, msgspec.UnsetType) or message.id is None:
            return
        if message.method == "ping":
            self.tell(rpc.result(message.id, {}), spoken, authorization)
            return
        self._refused(str(message.method))
        refusal = rpc.failure(message.id, rpc.METHOD_NOT_FOUND, "bywire answers no request of a server")
        self.tell(refusal, spoken, authorization)

    def _heard(self, message: Message, hear: Hear | None) -> None:
        """A notification: about a call to its client, about the server to whoever watches it."""
        method = str(message.method)
        if method in {"notifications/progress", "notifications/message"}:
            if hear is not None:
                hear(method, message.arguments)
        elif method.startswith(("notifications/tools/", "notifications/prompts/", "notifications/resources/")):
            self._changed(method, message.arguments)


def modern_meta() -> dict[str, Any]:
    """What every request of the newest version carries."""
    return {rpc.META_VERSION: MODERN, rpc.META_CLIENT: CLIENT, rpc.META_CAPABILITIES: {}}


def _modern(answer: Message) -> Spoken | None:
    """What `server/discover` said; None when the server is older."""
    result = answer.result
    if not isinstance(result, dict) or MODERN not in _texts(result.get("supportedVersions")):
        return None
    return Spoken(
        version=MODERN,
        capabilities=_object(result.get("capabilities")),
        server=_object(_object(result.get("_meta")).get(rpc.META_SERVER) or result.get("serverInfo")),
        instructions=str(result.get("instructions") or "")[:SAID_CHARS_MAX],
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
