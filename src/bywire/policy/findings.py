"""What the lint says: a place, what is wrong there, and what to do."""

import msgspec

from bywire.policy.rego_syntax import Place


class Finding(msgspec.Struct, frozen=True):
    """One objection."""

    place: Place
    message: str
    remedy: str

    def __str__(self) -> str:
        """One line: `file:line:col: what: what to do`."""
        return f"{self.place}: {self.message}; {self.remedy}"
