"""Tool contracts: what a tool may be asked, what it does to the world, and how an interrupted call is settled.

A tool without a contract does not exist. Parameters are closed JSON Schemas; sizes are bounded before anything else.
"""

import re
from enum import StrEnum
from typing import Any

import jsonschema_rs
import msgspec

from bywire.gateway.condition import Condition
from bywire.gateway.http_request import check_sendable
from bywire.model.action import ActionRequest
from bywire.model.connected import CostRule, Parameter, Place, TimeWindow, Verification
from bywire.model.connection import Route
from bywire.model.errors import BywireError, TargetError
from bywire.seal import jcs

PARAMETERS_BYTES_MAX = 65_536
EVIDENCE_MAX = 256
# Names and keys become columns, log objects and lines for people.
_NAME = re.compile(r"[\x21-\x7e]{0,128}")
_KEY = re.compile(r"[\x20-\x7e]{0,256}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_REGEX_BYTES_MAX = 1_048_576
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
DIGEST_OR_NONE = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}
SEGMENTS = {"type": "array", "maxItems": 64, "items": {"type": "string", "maxLength": 64}}


class Idempotency(StrEnum):
    """What may be done with an interrupted call (RULES 12)."""

    NATIVE = "native"
    QUERYABLE = "queryable"
    NONE = "none"


class Reversibility(StrEnum):
    """What undoing a tool's effect takes (seed 001, 11.1): nothing special, a second effect, or it cannot be done."""

    REVERSIBLE = "reversible"
    COMPENSATABLE = "compensatable"
    IRREVERSIBLE = "irreversible"


class Contract(msgspec.Struct, frozen=True):
    """One tool. `deadline_seconds` bounds its execution; `executor` names who carries it out.

    `uses_grant` False: the call keeps what a grant allowed before, so it needs the grant and leaves its uses alone.
    `undo` and `expected` go into the packet. `preconditions` are asked of the target before the decision,
    `postconditions` after the effect. `key_template` derives the idempotency key from parameters, so that a loop asks
    for the same thing once. `untrusted_output`: what it returns is text that somebody else wrote (RULES 22).
    `credential` names what the executor needs at execution, `rate_per_hour` 0 means no rate of its own.

    A connected tool is one of an `upstream`, named `UPSTREAM.TOOL`, and acts at its own `place`. `risk` is low, medium,
    high or very-high; `reviewed` False: a machine drafted this; `definition` is the digest of what the upstream said of
    the tool when it was approved. `meaning` says which parameter is the image, the host and so on, `commands` which
    programs a command may start, `request` which HTTP request it is, `window` for how much time a call may ask.
    With `evidence` a call rests on a statement of the ledger, which it names. `verification` is the read whose answer
    its `postconditions` are about.
    """

    name: str
    category: str
    executor: str
    schema: dict[str, Any]
    idempotency: Idempotency = Idempotency.NATIVE
    read: bool = False
    exposure_reducing: bool = False
    fenced: bool = True
    uses_grant: bool = True
    deadline_seconds: int = 60
    undo: str = ""
    expected: str = ""
    reversibility: Reversibility = Reversibility.REVERSIBLE
    preconditions: tuple[Condition, ...] = ()
    postconditions: tuple[Condition, ...] = ()
    key_template: str = ""
    untrusted_output: bool = False
    credential: str = ""
    rate_per_hour: int = 0
    risk: str = ""
    upstream: str = ""
    reviewed: bool = True
    definition: str = ""
    description: str = ""
    place: Place | None = None
    meaning: dict[str, Parameter] = {}
    cost: tuple[CostRule, ...] = ()
    commands: tuple[str, ...] = ()
    request: Route | None = None
    window: TimeWindow | None = None
    evidence: bool = False
    verification: Verification | None = None

    @property
    def tells_others_words(self) -> bool:
        """Whether its answer is somebody else's text: an untrusted read's, or a platform's that takes a credential.

        Of an upstream's tool its contract says so, with or without a credential.
        """
        return self.untrusted_output or (bool(self.credential) and not self.upstream)

    def key_for(self, values: dict[str, Any]) -> str:
        """The idempotency key that the template and the call's parameters give; empty without a template.

        An upstream's parameters may hold anything, so that their key is a digest; `values` are the canonical ones.
        """
        if not self.key_template:
            return ""
        if self.upstream:
            named = {name: values.get(name) for name in placeholders(self.key_template)}
            return f"derived:{jcs.digest([self.key_template, named])}"
        return self.key_template.format_map(values)


def placeholders(template: str) -> tuple[str, ...]:
    """The parameters that a key template names."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(template)))


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
        if len(self._contracts) != len(contracts):
            raise ValueError("two contracts claim one name")
        self._validators = {contract.name: compiled(contract.schema) for contract in contracts}

    def find(self, tool: str) -> Contract | None:
        """The contract of `tool`, or None: the policy then denies by default."""
        return self._contracts.get(tool)

    def names(self) -> tuple[str, ...]:
        """Every tool that exists."""
        return tuple(sorted(self._contracts))

    def check(self, contract: Contract | None, values: dict[str, Any]) -> dict[str, Any]:
        """A private copy of `values`, which nobody else can change any more; without a contract only its size is bound.

        Raises ContractError unless they fit schema and request, EvidenceError `not_canonical` for what is no JSON.
        """
        # The canonical form of what is far too large is never made: that takes a while. It is at least half as long.
        if (
            encoded_size(values) > 2 * PARAMETERS_BYTES_MAX
            or len(encoded := jcs.canonical(values)) > PARAMETERS_BYTES_MAX
        ):
            raise ContractError("the parameters are too large", next_step=f"send at most {PARAMETERS_BYTES_MAX} bytes")
        copy = msgspec.json.decode(encoded)
        if contract is None:
            return dict(copy)
        error = next(iter(self._validators[contract.name].iter_errors(copy)), None)
        if error is not None:
            where = ".".join(str(part) for part in error.instance_path) or "the parameters"
            unknown = bool(error.schema_path) and error.schema_path[-1] == "additionalProperties"
            why = "has a parameter that nobody declared" if unknown else error.message
            raise ContractError(
                f"{contract.name}: {where}: {why}", next_step="call the tool with the parameters it declares"
            )
        _check_sendable(contract, copy)
        return dict(copy)


def _check_sendable(contract: Contract, values: dict[str, Any]) -> None:
    """What the tool's request cannot hold is refused here, before anybody decides on it or is asked to approve it."""
    if contract.request is None:
        return
    try:
        check_sendable(contract.request, values)
    except TargetError as error:
        raise ContractError(f"{contract.name}: {error.message}", next_step=error.next_step) from error


def compiled(schema: dict[str, Any]) -> Any:
    """A validator that fetches nothing and matches in linear time. Raises ValueError for what is no such schema."""
    return jsonschema_rs.validator_for(
        schema,
        # Errors are shown and logged, and the value may be a secret: they name the rule, never the value.
        mask="the value",
        offline=True,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=_REGEX_BYTES_MAX),
    )


def encoded_size(values: dict[str, Any]) -> int:
    """About how many bytes of JSON they are, soon; 0 for what is no JSON."""
    try:
        return len(msgspec.json.encode(values))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return 0


def check_names(request: ActionRequest) -> None:
    """Bound everything of a request beside its parameters. Raises ContractError."""
    names = (request.tool, request.service, request.environment, request.change)
    digests = (*request.evidence, *([request.plan] if request.plan else []))
    if len(request.evidence) > EVIDENCE_MAX or not all(map(_DIGEST.fullmatch, digests)):
        raise ContractError(
            f"evidence is at most {EVIDENCE_MAX} digests, a plan is one", next_step="send sha256 digests in hex"
        )
    if not all(map(_NAME.fullmatch, names)) or _KEY.fullmatch(request.idempotency_key) is None:
        raise ContractError(
            "a name or the idempotency key is too long or not plain text",
            next_step="use printable ASCII: names up to 128 characters, keys up to 256",
        )
