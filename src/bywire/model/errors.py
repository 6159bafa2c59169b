"""Every error a person or program can see: a stable code, what happened, and what to do next.

A deny is not an error: it is a `Decision` (see `decision.py`). Errors are for broken machines, broken files and
wrong calls.
"""


class BywireError(Exception):
    """Root of all errors bywire raises on purpose.

    `code` is stable and lower_snake_case; `message` says what happened and why; `next_step` says what to do.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.next_step = next_step

    def as_json(self) -> dict[str, str]:
        """The wire shape used by every surface."""
        return {"code": self.code, "message": self.message, "next_step": self.next_step}


class ConfigError(BywireError):
    """A file that a person writes (bywire.yaml, operator.yaml, manifests) is wrong."""

    code = "config_invalid"


class EvidenceError(BywireError):
    """A statement, envelope, bundle or proof is malformed, unsigned, or signed by nobody we trust."""

    code = "evidence_invalid"


class PolicyError(BywireError):
    """A policy bundle does not parse, lint or compile; or a decision could not be made (which is a deny)."""

    code = "policy_invalid"


class LedgerError(BywireError):
    """The log is inconsistent with itself, with its checkpoint, or with what a witness knows."""

    code = "ledger_invalid"


class ConflictError(BywireError):
    """Somebody else moved first: compare-and-swap lost, key reused for another action, workspace busy."""

    code = "conflict"


class RateError(ConflictError):
    """Somebody asks more often than they may; in `retry_after_ms` there is room again."""

    code = "too_often"

    def __init__(self, message: str, *, code: str | None = None, next_step: str = "", retry_after_ms: int = 0) -> None:
        super().__init__(message, code=code, next_step=next_step)
        self.retry_after_ms = retry_after_ms


class TargetError(BywireError):
    """The thing being deployed to refused, was fenced off, or did not answer."""

    code = "target_failed"


class WorkError(BywireError):
    """A build, test or service process could not run or did not end well."""

    code = "work_failed"
