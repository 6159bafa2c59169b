"""Who follows which resource of one MCP server, whose one connection all agents share.

A place is one URI for one follower, so that nobody ends what another follows. A principal has a bounded number of
places: its oldest makes room. A follower's places end with its session or stream.
"""

import collections
import threading

import msgspec

from bywire.model.errors import TargetError

FOLLOWED_MAX, FOLLOWED_EACH_MAX = 256, 64


class Follower(msgspec.Struct, frozen=True):
    """One session or stream, `of`, of one principal; `of` is empty where there is none."""

    principal: str
    of: str = ""


class Followed:
    """Thread-safe. At most FOLLOWED_MAX resources, and FOLLOWED_EACH_MAX places of one principal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._places: dict[str, collections.OrderedDict[tuple[str, str], None]] = {}
        self._counts: dict[str, int] = {}

    def uris(self) -> list[str]:
        """What anybody follows, sorted."""
        with self._lock:
            return sorted(self._counts)

    def add(self, uri: str, follower: Follower) -> bool:
        """Give a place; returns whether `uris` is another set now. TargetError when the server has no room for it."""
        with self._lock:
            own = self._places.setdefault(follower.principal, collections.OrderedDict())
            if (uri, follower.of) in own:
                own.move_to_end((uri, follower.of))
                return False
            released = len(own) >= FOLLOWED_EACH_MAX and self._released(follower.principal, next(iter(own)))
            if uri not in self._counts and len(self._counts) >= FOLLOWED_MAX:
                if not own:
                    del self._places[follower.principal]
                raise TargetError(
                    f"{self._name}: more than {FOLLOWED_MAX} resources are followed",
                    code="upstream_refused",
                    next_step="unsubscribe from some",
                )
            own[uri, follower.of] = None
            self._counts[uri] = self._counts.get(uri, 0) + 1
            return released or self._counts[uri] == 1

    def remove(self, uri: str, follower: Follower) -> bool:
        """Take a place back; returns whether nobody follows the resource any more."""
        with self._lock:
            held = (uri, follower.of) in self._places.get(follower.principal, ())
            return held and self._released(follower.principal, (uri, follower.of))

    def release(self, follower: Follower) -> bool:
        """Take all its places back; returns whether `uris` is another set now."""
        with self._lock:
            held = [place for place in self._places.get(follower.principal, ()) if place[1] == follower.of]
            released = [self._released(follower.principal, place) for place in held]
            return any(released)

    def _released(self, principal: str, place: tuple[str, str]) -> bool:
        own, uri = self._places[principal], place[0]
        del own[place]
        if not own:
            del self._places[principal]
        self._counts[uri] -= 1
        if self._counts[uri]:
            return False
        del self._counts[uri]
        return True
