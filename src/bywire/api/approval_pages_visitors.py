"""Who looks at the pages: a cookie that says nothing, and what this process remembers under it.

A sign-in gives the visitor a new cookie, so that nobody can have put theirs there before. A proof is good for one
verdict and five minutes. Nothing is kept on disk: a restart signs everybody out. Nothing at all is kept of who has not
signed in, so that no crowd of them pushes anybody out: their cookie carries its end and our mark.
"""

import hmac
import re
import threading
from collections import OrderedDict
from hashlib import sha256

from bywire.adapters.key_files import draw_secret
from bywire.approvals.channel_sign_in import AGE_MS_MAX, Proved, challenge_of

VISITORS_MAX = 1_024
ANONYMOUS_MS = 900_000
_ANONYMOUS = re.compile(r"([A-Za-z0-9_-]{16,128}\.([0-9]{1,16}))\.([0-9a-f]{64})")


class Visitor:
    """One browser. `person` is empty until they proved who they are; times in ms since the epoch."""

    def __init__(self, secret: str, csrf: str, until_ms: int) -> None:
        self.secret = secret
        self.csrf = csrf
        self.challenge = challenge_of(secret)
        self.person = ""
        self.key_id = ""
        self.proved_ms = 0
        self.until_ms = until_ms

    def is_fresh(self, now_ms: int) -> bool:
        """Whether they proved who they are within five minutes, and answered nothing since."""
        return bool(self.proved_ms) and 0 <= now_ms - self.proved_ms <= AGE_MS_MAX

    def fits(self, csrf: str) -> bool:
        """Whether a form came from a page that we gave to this visitor."""
        return hmac.compare_digest(csrf.encode(), self.csrf.encode())


class Visitors:
    """Visitors of one process. People are remembered, bounded: those who were not seen for longest go first."""

    def __init__(self, session_ms: int) -> None:
        self._session_ms = session_ms
        self._key = draw_secret().encode()
        self._known: OrderedDict[str, Visitor] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, secret: str, now_ms: int) -> Visitor | None:
        """Whose cookie this is."""
        with self._lock:
            name = _name(secret)
            found = self._known.get(name)
            if found is not None and now_ms < found.until_ms:
                self._known.move_to_end(name)
                return found
            self._known.pop(name, None)
        return self._anonymous(secret, now_ms)

    def begin(self, now_ms: int) -> Visitor:
        """Somebody new."""
        until_ms = now_ms + ANONYMOUS_MS
        told = f"{draw_secret()}.{until_ms}"
        secret = f"{told}.{self._mark('cookie', told)}"
        return Visitor(secret, self._mark("csrf", secret), until_ms)

    def signed_in(self, visitor: Visitor, proved: Proved, now_ms: int) -> Visitor:
        """The same browser as a person, under another cookie."""
        made = Visitor(draw_secret(), draw_secret(), now_ms + self._session_ms)
        made.person, made.key_id, made.proved_ms = proved.person, proved.key_id, proved.at_ms
        with self._lock:
            self._known.pop(_name(visitor.secret), None)
            if len(self._known) >= VISITORS_MAX:
                self._known.popitem(last=False)
            self._known[_name(made.secret)] = made
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

    def _anonymous(self, secret: str, now_ms: int) -> Visitor | None:
        """Whoever has a cookie of `begin`, for as long as it says."""
        found = _ANONYMOUS.fullmatch(secret)
        if found is None or not hmac.compare_digest(found[3], self._mark("cookie", found[1])):
            return None
        until_ms = int(found[2])
        return Visitor(secret, self._mark("csrf", secret), until_ms) if now_ms < until_ms else None

    def _mark(self, kind: str, text: str) -> str:
        return hmac.new(self._key, f"{kind}\x00{text}".encode(), sha256).hexdigest()


def _name(secret: str) -> str:
    """What a cookie is known under: whoever reads our memory by its timing learns no cookie."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
