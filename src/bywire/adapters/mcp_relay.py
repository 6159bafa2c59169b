"""What one client wants to hear while its call is under way, and how it says that it went away.

The door knows nothing of notifications, so that they travel beside it: the surface sets a `Relay` for the call's
thread, the link to the upstream finds it there. Everything is bounded: an upstream that floods is heard no more, and
its answer is taken all the same.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from bywire.adapters.mcp_followed import Follower

NOTICES_MAX = 1_000
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

# (method, parameters) of a notification.
Hear = Callable[[str, dict[str, Any]], None]


class Refusal(msgspec.Struct, frozen=True):
    """An upstream's JSON-RPC error, for a surface that speaks JSON-RPC itself."""

    code: int
    message: str


class Relay:
    """One call's way back to its client. `hear` is called from the call's thread and must not block."""

    def __init__(
        self,
        hear: Hear,
        *,
        progress_token: int | str | None = None,
        log_level: str = "",
        meta: Mapping[str, str] | None = None,
    ) -> None:
        self.progress_token = progress_token
        self.log_level = log_level
        self.meta = dict(meta or {})
        self.refusal: Refusal | None = None
        self.follower = Follower("")
        self._hear = hear
        self._heard = 0
        self._lock = threading.Lock()
        self._cancelled = False
        self._on_cancel: Callable[[], None] | None = None

    def notice(self, method: str, params: dict[str, Any]) -> None:
        """Pass a notification of the upstream on, if the client asked for its kind."""
        if method == "notifications/progress" and self.progress_token is not None:
            params = {**params, "progressToken": self.progress_token}
        elif method != "notifications/message" or not wanted(params.get("level"), self.log_level):
            return
        self._heard += 1
        if self._heard <= NOTICES_MAX:
            self._hear(method, params)

    def cancel(self) -> None:
        """The client went away: whoever waits for a read is woken up. From any thread."""
        with self._lock:
            self._cancelled = True
            wake = self._on_cancel
        if wake is not None:
            wake()

    @property
    def is_cancelled(self) -> bool:
        """Whether the client went away."""
        return self._cancelled

    @contextmanager
    def cancellable(self, wake: Callable[[], None]) -> Iterator[None]:
        """`wake` is called when the client goes away inside; TimeoutError when it already did."""
        with self._lock:
            if self._cancelled:
                raise TimeoutError("the client went away")
            self._on_cancel = wake
        try:
            yield
        finally:
            with self._lock:
                self._on_cancel = None


RELAY: ContextVar[Relay | None] = ContextVar("bywire_mcp_relay", default=None)


@contextmanager
def cancelled_by(relay: Relay | None, wake: Callable[[], None], *, effect: bool) -> Iterator[None]:
    """`wake` is called when the client goes away; what may have an effect is waited for all the same."""
    if relay is None or effect:
        yield
        return
    with relay.cancellable(wake):
        yield


def wanted(level: Any, least: str) -> bool:
    """Whether a log message of this level is one that a client with that least level hears; "" hears none."""
    return least in LEVELS and level in LEVELS and LEVELS.index(level) >= LEVELS.index(least)
