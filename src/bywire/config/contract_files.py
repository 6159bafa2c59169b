"""contracts/UPSTREAM.yaml, version 1: what the tools of one upstream may be asked, and what they do to the world.

The files lie in the operator directory, so that neither an upstream nor a change can widen them. A file speaks for the
upstream that it is named after and for no other; its tools are named `UPSTREAM.TOOL`, which no built-in tool is. What a
file leaves out is what is worst: unreviewed, not repeatable, irreversible, in production, telling others' words.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

import msgspec

from bywire.config.contract_path import read_parameter
from bywire.config.contract_request import read_request
from bywire.config.contract_schema import problem_of
from bywire.config.contract_verify import read_verification
from bywire.config.contract_window import read_window
from bywire.config.operator_config import ENVIRONMENTS
from bywire.config.reading import Node, read_optional
from bywire.config.tool_names import UPSTREAM
from bywire.gateway.connected import MEANINGS
from bywire.gateway.contract import Contract, Idempotency, Reversibility, placeholders
from bywire.model.connected import PRODUCTION, THOUSANDTHS, CostRule, Parameter, Place

DIRECTORY, SUFFIX = "contracts", ".yaml"
BYTES_MAX = 1_048_576
TOOLS_MAX = 512
# Drafted and not looked at yet; a person names the real one.
UNKNOWN_WRITE = "unknown_write"
CATEGORIES = (
    "read",
    "harmless_reversible",
    "repo_write",
    "environment_write",
    "production_orchestration",
    "incident_mitigation",
    "secret_mutation",
    "data_mutation",
    "verification_weakening",
    UNKNOWN_WRITE,
)
RISKS = ("low", "medium", "high", "very-high")
FACTOR_MAX = 1_000_000
DEADLINE_SECONDS_MAX = 600
RATE_MAX = 100_000
COSTS_MAX = 8
COMMANDS_MAX = 64
VALUES_MAX = 64
DESCRIPTION_MAX = 8_192
SERVICE = r"[a-z0-9][a-z0-9._-]{0,62}"
_TOOL = r"[A-Za-z0-9_./-]{1,95}"
_UNIT = r"[a-z][a-z0-9_]{0,31}"
_PROGRAM = r"[A-Za-z0-9_./+-]{1,128}"
_DEFINITION = r"sha256:[0-9a-f]{64}"
_TEMPLATE = r"(?:[A-Za-z0-9:_/.-]|\{[A-Za-z_][A-Za-z0-9_.-]{0,63}\}){1,256}"
_KEYS = (
    "name", "category", "risk", "reviewed", "definition", "description", "schema", "idempotency",
    "idempotency_key_from", "undo", "environment_from", "meaning", "cost", "commands", "request", "rate_per_hour",
    "deadline_seconds", "trusted_output", "window", "evidence", "verify",
)  # fmt: skip
# What a contract reads from the parameters: then there may be no parameter that it does not know.
_READ_FROM = ("environment_from", "meaning", "cost", "commands", "window", "verify")
_UNDO = {
    Reversibility.REVERSIBLE: "call it again with the earlier values",
    Reversibility.COMPENSATABLE: "a second call that makes up for it",
    Reversibility.IRREVERSIBLE: "nothing undoes it",
}


def is_left_over(name: str) -> bool:
    """Whether a file beside the contracts is what an editor or an unfinished write leaves behind; it says so itself."""
    return name.startswith(".") and not name.endswith((".yaml", ".yml"))


def parse(value: Any, source: str, *, upstream: str) -> tuple[Contract, ...]:
    """The contracts of `upstream`, in the file's order.

    `service` and `environment` of the file are for tools that no upstream of gateway.yaml carries out.

    Raises FieldError naming the first fault.
    """
    names = ("version", "upstream", "service", "environment", "tools")
    fields = Node(value, source).fields(names, required=("version", "upstream", "tools"))
    fields["version"].version(1)
    named = fields["upstream"].text("the name of an upstream", pattern=UPSTREAM)
    if named != upstream:
        raise fields["upstream"].refuse(
            f"this file speaks for {upstream}, not for {named}", f"write 'upstream: {upstream}', or rename the file"
        )
    service = read_optional(fields, "service", lambda item: item.text("a service", pattern=SERVICE), "")
    environment = read_optional(fields, "environment", lambda item: item.choice(ENVIRONMENTS), PRODUCTION)
    found: dict[str, Contract] = {}
    verified: dict[str, Node] = {}
    for item in fields["tools"].items("tools", least=0, most=TOOLS_MAX):
        contract = _contract(item, upstream, Place(service, environment))
        if contract.name in found:
            raise item.refuse(f"{contract.name} is listed twice", "keep one of them")
        found[contract.name] = contract
        # It may name a read that stands below it.
        verified |= {contract.name: item.at("verify", item.value["verify"])} if "verify" in item.value else {}
    for name, node in verified.items():
        verification, expected = read_verification(node, found[name], found)
        found[name] = msgspec.structs.replace(found[name], verification=verification, postconditions=expected)
    return tuple(found.values())


def _contract(node: Node, upstream: str, here: Place) -> Contract:
    fields = node.fields(_KEYS, required=("name", "category", "risk", "schema"))
    category = fields["category"].choice(CATEGORIES)
    schema = _schema(fields["schema"])
    if any(word in fields for word in _READ_FROM):
        schema = _closed(fields["schema"], schema)
    read = category == "read"
    for limit in ("rate_per_hour", "cost"):
        if read and limit in fields:
            raise fields[limit].refuse(
                "a read is not counted, so this would limit nothing", f"remove {limit}, or name another category"
            )
    undo = Reversibility(read_optional(fields, "undo", _undo, str(Reversibility.IRREVERSIBLE)))
    return Contract(
        name=f"{upstream}.{fields['name'].text('the name of a tool', pattern=_TOOL)}",
        category=category,
        executor=f"upstream:{upstream}",
        schema=schema,
        idempotency=Idempotency(read_optional(fields, "idempotency", _idempotency, str(Idempotency.NONE))),
        read=read,
        fenced=False,
        deadline_seconds=read_optional(
            fields, "deadline_seconds", lambda item: item.integer(1, DEADLINE_SECONDS_MAX, "seconds"), 60
        ),
        undo=_UNDO[undo],
        reversibility=undo,
        key_template=read_optional(fields, "idempotency_key_from", lambda item: _template(item, schema), ""),
        untrusted_output=not read_optional(fields, "trusted_output", Node.boolean, absent=False),
        rate_per_hour=read_optional(fields, "rate_per_hour", lambda item: item.integer(1, RATE_MAX, "calls"), 0),
        risk=fields["risk"].choice(RISKS),
        upstream=upstream,
        reviewed=read_optional(fields, "reviewed", Node.boolean, absent=False),
        definition=read_optional(fields, "definition", _definition, ""),
        description=read_optional(fields, "description", _description, ""),
        place=read_optional(fields, "environment_from", lambda item: _place(item, schema, here), here),
        meaning=read_optional(fields, "meaning", lambda item: _meaning(item, schema), {}),
        cost=read_optional(fields, "cost", lambda item: _costs(item, schema), ()),
        evidence=read_optional(fields, "evidence", lambda item: _evidence(item, read=read), absent=False),
        commands=read_optional(fields, "commands", lambda item: _commands(item, fields), ()),
        request=read_optional(fields, "request", lambda item: read_request(item, schema), None),
        window=read_optional(fields, "window", lambda item: read_window(item, schema), None),
    )


def _schema(node: Node) -> dict[str, Any]:
    problem = problem_of(node.value)
    if problem:
        raise node.refuse(problem, f"correct the schema in {node.source}")
    found: dict[str, Any] = node.value
    return found


def _closed(node: Node, schema: dict[str, Any]) -> dict[str, Any]:
    """No parameter beside those that the contract knows: another could be the environment or the count as well."""
    if schema.get("additionalProperties", False) is not False or "patternProperties" in schema:
        raise node.refuse(
            "other parameters than the declared ones could mean the same, and nothing here would read them",
            "write 'additionalProperties: false', or take out what reads from the parameters",
        )
    if "$ref" in schema:
        # Some drafts pass over what stands beside a reference.
        raise node.refuse("what it refers to may take other parameters", "write the properties out, without '$ref'")
    return {**schema, "additionalProperties": False}


def _undo(node: Node) -> str:
    return node.choice([str(word) for word in Reversibility])


def _idempotency(node: Node) -> str:
    return node.choice([str(word) for word in Idempotency])


def _definition(node: Node) -> str:
    return node.text("sha256: and 64 hex digits", pattern=_DEFINITION)


def _description(node: Node) -> str:
    return node.text("a description", least=0, most=DESCRIPTION_MAX)


def _template(node: Node, schema: Mapping[str, Any]) -> str:
    template = node.text("a template such as '{owner}:{repo}'", pattern=_TEMPLATE)
    required = schema.get("required", ())
    missing = [name for name in placeholders(template) if name not in required]
    if missing or not placeholders(template):
        raise node.refuse(
            f"{missing[0]} is not required by the schema" if missing else "it names no parameter",
            "name parameters that every call has",
        )
    return template


def _place(node: Node, schema: Mapping[str, Any], here: Place) -> Place:
    fields = node.fields(("parameter", "values"), required=("parameter", "values"))
    given = fields["values"].value
    if not isinstance(given, dict) or len(given) > VALUES_MAX:
        raise fields["values"].expected(f"a mapping of at most {VALUES_MAX} values")
    values = {
        fields["values"].at("a value", name).text("a value"): fields["values"].at(name, item).choice(ENVIRONMENTS)
        for name, item in given.items()
    }
    return Place(here.service, here.environment, read_parameter(fields["parameter"], schema), values)


def _meaning(node: Node, schema: Mapping[str, Any]) -> dict[str, Parameter]:
    found = {word: read_parameter(item, schema) for word, item in node.fields(MEANINGS).items()}
    for whole in found.values():
        if any(whole == part[: len(whole)] for part in found.values() if part != whole):
            raise node.refuse(f"{'.'.join(whole)} is named as a whole and in its part", "keep one of them")
    return found


def _costs(node: Node, schema: Mapping[str, Any]) -> tuple[CostRule, ...]:
    return tuple(_cost(item, schema) for item in node.items("costs", least=0, most=COSTS_MAX))


def _cost(node: Node, schema: Mapping[str, Any]) -> CostRule:
    fields = node.fields(("unit", "parameter", "factor"), required=("unit", "factor"))
    # A negative factor would hand budget back.
    factor = Decimal(repr(fields["factor"].number(0, FACTOR_MAX, open_ends=False)))
    unit = fields["unit"].text("a unit such as replica_hours", pattern=_UNIT)
    if unit == "actions":
        raise fields["unit"].refuse("actions are counted by bywire itself", "name another unit")
    return CostRule(
        unit=unit,
        factor=int((factor * THOUSANDTHS).to_integral_value(ROUND_CEILING)),
        parameter=read_optional(fields, "parameter", lambda item: read_parameter(item, schema), ()),
    )


def _evidence(node: Node, *, read: bool) -> bool:
    if read:
        raise node.refuse("a read rests on no evidence", "remove evidence, or name another category")
    return node.choice(("required",)) == "required"


def _commands(node: Node, contract: Mapping[str, Node]) -> tuple[str, ...]:
    meaning = contract["meaning"].value if "meaning" in contract else {}
    if not isinstance(meaning, dict) or "command" not in meaning:
        raise node.refuse("no parameter is the command, so this would allow everything", "add 'command' to meaning")
    items = node.items("programs", least=1, most=COMMANDS_MAX, distinct=True)
    return tuple(item.text("the name of a program", pattern=_PROGRAM) for item in items)
