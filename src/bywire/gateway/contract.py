"""Tool contracts: what a tool may be asked, what it does to the world, and how an interrupted call is settled.

A tool without a contract does not exist. Parameters are closed JSON Schemas; sizes are bounded before anything else.
"""

from enum import StrEnum
from typing import Any

import jsonschema_rs
import msgspec

from bywire.model.errors import BywireError
from bywire.seal import jcs

PARAMETERS_BYTES_MAX = 65_536
KEY_CHARS_MAX = 256
EVIDENCE_MAX = 256
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
DIGEST_OR_NONE = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}
SEGMENTS = {"type": "array", "maxItems": 64, "items": {"type": "string", "maxLength": 64}}


class Idempotency(StrEnum):
    """What may be done with an interrupted call (RULES 12)."""

    NATIVE = "native"
    QUERYABLE = "queryable"
    NONE = "none"


class Contract(msgspec.Struct, frozen=True):
    """One tool. `deadline_seconds` bounds its execution; `executor` names who carries it out.

    `precondition` is the parameter-independent fact the executor must find unchanged (the target's version), or empty.
    `postconditions` are checked against the observation after execution. `undo` and `expected` go into the packet.
    """

    name: str
    category: str
    executor: str
    schema: dict[str, Any]
    idempotency: Idempotency = Idempotency.NATIVE
    read: bool = False
    exposure_reducing: bool = False
    fenced: bool = True
    deadline_seconds: int = 60
    undo: str = ""
    expected: str = ""


class ContractError(BywireError):
    """The call does not fit the tool's contract; nothing was decided and nothing happened."""

    code = "contract_violated"


def parameters(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """A closed object schema: no parameter beyond these."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": sorted(required),
        "properties": {**required, **(optional or {})},
    }


class Catalogue:
    """The contracts known to one door, with their schemas compiled once."""

    def __init__(self, contracts: tuple[Contract, ...]) -> None:
        self._contracts = {contract.name: contract for contract in contracts}
        self._validators = {contract.name: jsonschema_rs.validator_for(contract.schema) for contract in contracts}

    def find(self, tool: str) -> Contract | None:
        """The contract of `tool`, or None: the policy then denies by default."""
        return self._contracts.get(tool)

    def names(self) -> tuple[str, ...]:
        """Every tool that exists."""
        return tuple(sorted(self._contracts))

    def check(self, contract: Contract, values: dict[str, Any]) -> None:
        """Raise ContractError unless `values` fit the contract."""
        if len(jcs.canonical(values)) > PARAMETERS_BYTES_MAX:
            raise ContractError(
                f"the parameters of {contract.name} are too large",
                next_step=f"send at most {PARAMETERS_BYTES_MAX} bytes",
            )
        error = next(iter(self._validators[contract.name].iter_errors(values)), None)
        if error is not None:
            where = ".".join(str(part) for part in error.instance_path) or "the parameters"
            raise ContractError(
                f"{contract.name}: {where}: {error.message}", next_step="call the tool with the parameters it declares"
            )
