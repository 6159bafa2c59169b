"""`verify` of a contract: the read that shows whether a write happened, and what its answer must say then.

It names a read of the same file, so that the answer comes from where the effect went, and compares with parameters that
every call has: an expectation that a call could leave out would expect nothing.
"""

from collections.abc import Mapping
from typing import Any

from bywire.config.contract_path import is_required, read_parameter
from bywire.config.reading import Node
from bywire.gateway.condition import Comparison, Condition
from bywire.gateway.contract import Contract
from bywire.model.connected import Parameter, Verification

FIELDS_MAX = 16
PARAMETERS_MAX = 64
VALUE_CHARS_MAX = 1_024
NUMBER_MAX = 10**15
FIELD = r"[A-Za-z_][A-Za-z0-9_.-]{0,127}"
_PARAMETER = r"[^\x00]{1,128}"
# What the door itself says of a target that shows nothing.
_OURS = ("omitted", "unavailable")


def read_verification(
    node: Node, contract: Contract, tools: Mapping[str, Contract]
) -> tuple[Verification, tuple[Condition, ...]]:
    """(the read, its conditions); `tools` are those of the file, by full name. Raises FieldError."""
    if contract.read:
        raise node.refuse("a read has no effect to be shown", "remove verify, or name another category")
    fields = node.fields(("tool", "parameters", "expect"), required=("tool", "expect"))
    reads = {name.partition(".")[2]: tool for name, tool in tools.items() if tool.read}
    reading = reads[fields["tool"].choice(sorted(reads))]
    taken: dict[str, Parameter] = {}
    fixed: dict[str, Any] = {}
    if "parameters" in fields:
        for name, item in fields["parameters"].mapping("parameters", pattern=_PARAMETER, most=PARAMETERS_MAX).items():
            if name not in reading.schema.get("properties", {}):
                raise item.refuse(f"{reading.name} has no such parameter", "name a parameter of its schema")
            parameter, fixed_value = _operand(item, contract)
            if parameter:
                taken[name] = parameter
            else:
                fixed[name] = fixed_value
    missing = [name for name in reading.schema.get("required", ()) if name not in {*taken, *fixed}]
    if missing:
        raise node.refuse(f"{reading.name} requires {missing[0]}", "say under parameters what it is")
    expected = fields["expect"].mapping("fields", pattern=FIELD, most=FIELDS_MAX)
    if not expected or any(name in _OURS for name in expected):
        raise fields["expect"].refuse("this expects nothing", "name fields of the answer, such as json.replicas")
    conditions = tuple(_condition(name, item, contract) for name, item in expected.items())
    return Verification(reading.name, taken, fixed), conditions


def _condition(name: str, node: Node, contract: Contract) -> Condition:
    fields = node.fields(tuple(map(str, Comparison)))
    if len(fields) != 1:
        raise node.refuse("one comparison a field: equals, at_most, or present", "write one of them")
    ((word, item),) = fields.items()
    test = Comparison(word)
    if test is Comparison.PRESENT:
        if not item.boolean():
            raise item.refuse("what must not be there cannot be asked for", "write `present: true`")
        return Condition(name, name, test)
    parameter, value = _operand(item, contract, number=test is Comparison.AT_MOST)
    return Condition(name, name, test, parameter=parameter, value=value)


def _operand(node: Node, contract: Contract, *, number: bool = False) -> tuple[Parameter, Any]:
    """(the parameter of the call, None), or ((), a constant)."""
    fields = node.fields(("parameter", "value"))
    if len(fields) != 1:
        raise node.refuse("either a parameter of the call or a value", "write `parameter: NAME`, or `value: ...`")
    if "parameter" in fields:
        parameter = read_parameter(fields["parameter"], contract.schema)
        if not is_required(contract.schema, parameter):
            raise fields["parameter"].refuse(
                f"{'.'.join(parameter)} is not required by the schema", "name a parameter that every call has"
            )
        return parameter, None
    item = fields["value"]
    if number or type(item.value) is int:
        return (), item.integer(-NUMBER_MAX, NUMBER_MAX)
    if isinstance(item.value, bool):
        return (), item.boolean()
    return (), item.text("text, a whole number, true or false", least=0, most=VALUE_CHARS_MAX)
