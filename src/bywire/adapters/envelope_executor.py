"""Carries out what changes nothing outside: an approved runbook is a permission, its outcome the record of it."""

from typing import Any

from bywire.gateway.ports import IntentRow
from bywire.model.errors import TargetError


class EnvelopeExecutor:
    """`gateway.ports.Executor` for acts of the envelope itself."""

    def observe(self) -> dict[str, Any]:
        """The envelope has no state outside the journal."""
        return {}

    def read(self, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """No reads are offered."""
        raise TargetError(f"{tool} is no read of the envelope", code="unsupported", next_step="bywire doctor")

    def execute(self, row: IntentRow, parameters: dict[str, Any]) -> dict[str, Any]:
        """Nothing is left to do: the intent is in the journal, and the steps may name its digest."""
        return {"authorised": row.action_digest}

    def query(self, row: IntentRow) -> dict[str, Any] | None:
        """Carrying it out again changes nothing, so there is nothing to ask."""
        return None
