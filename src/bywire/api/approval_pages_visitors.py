"""Who looks at the pages: a cookie that says nothing, and what this process remembers under it.

A sign-in gives the visitor a new cookie, so that nobody can have put theirs there before. A proof is good for one
verdict and five minutes. Nothing is kept on disk: a restart signs everybody out.
"""

import hmac
import threading
from collections import OrderedDict
from hashlib import sha256

from bywire.adapters.key_files import draw_secret
from bywire.approvals.channel_sign_in import AGE_MS_MAX, Proved, challenge_of

VISITORS_MAX = 1_024
ANONYMOUS_MS = 900_000


class Visitor:
    """One browser. `person` is empty until they proved who they are; times in ms since the epoch."""

    def __init__(self, secret: str, now_ms: int) -> None:
        self.secret = secret
        self.csrf = draw_secret()
        self.challenge = challenge_of(secret)
        self.person = ""
        self.key_id = ""
        self.proved_ms = 0
        self.until_ms = now_ms + ANONYMOUS_MS

    def is_fresh(self, now_ms: int) -> bool:
        """Whether they proved who they are within five minutes, and answered nothing since."""
        return bool(self.proved_ms) and 0 <= now_ms - self.proved_ms <= AGE_MS_MAX

    def fits(self, csrf: str) -> bool:
        """Whether a form came from a page that we gave to this visitor."""
        return hmac.compare_digest(csrf.encode(), self.csrf.encode())


class Visitors:
    """Visitors of one process, bounded: those who were not seen for longest go first, the anonymous before all."""

    def __init__(self, session_ms: int) -> None:
        self._session_ms = session_ms
        self._known: OrderedDict[str, Visitor] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, secret: str, now_ms: int) -> Visitor | None:
        """Whose cookie this is."""
        with self._lock:
            name = _name(secret)
            found = self._known.get(name)
            if found is None or now_ms >= found.until_ms:
                self._known.pop(name, None)
                return None
            self._known.move_to_end(name)
            return found

    def begin(self, now_ms: int) -> Visitor:
        """Somebody new."""
        made = Visitor(draw_secret(), now_ms)
        with self._lock:
            self._put(made)
        return made

    def signed_in(self, visitor: Visitor, proved: Proved, now_ms: int) -> Visitor:
        """The same browser as a person, under another cookie."""
        made = Visitor(draw_secret(), now_ms)
        made.person, made.key_id, made.proved_ms = proved.person, proved.key_id, proved.at_ms
        made.until_ms = now_ms + self._session_ms
        with self._lock:
            self._known.pop(_name(visitor.secret), None)
            self._put(made)
        return made

    def forget(self, visitor: Visitor) -> None:
        """Sign out."""
        with self._lock:
            self._known.pop(_name(visitor.secret), None)

    def use_proof(self, visitor: Visitor, now_ms: int) -> bool:
        """Use the visitor's proof up; False when there was none that is fresh. A double click finds it used."""
        with self._lock:
            fresh = visitor.is_fresh(now_ms)
            visitor.proved_ms = 0
            return fresh

    def _put(self, made: Visitor) -> None:
        if len(self._known) >= VISITORS_MAX:
            oldest = next((name for name, one in self._known.items() if not one.person), next(iter(self._known)))
            del self._known[oldest]
        self._known[_name(made.secret)] = made


def _name(secret: str) -> str:
    """What a cookie is known under: whoever reads our memory by its timing learns no cookie."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
