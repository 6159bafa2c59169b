"""What a connected tool's parameters mean: the place it leads to, what it costs, and which parameter is which.

The contract says how to read them, the call's own parameters say what; nothing else does. What cannot be read as the
contract says is refused, so that no rule is passed by a value that only the upstream understands.
"""

import re
import shlex
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from bywire.gateway.contract import ContractError
from bywire.model.connected import THOUSANDTHS, Cost, CostRule

NUMBER_MAX = 10**15
# In thousandths of a unit and for one call; a day of them still adds up exactly in 64 bits.
AMOUNT_MAX = 10**12
# Text that a shell runs as it stands, text that is only kept, and text that is only looked up. No rule reads them; the
# inspection knows what they are.
SCRIPT, TEXT, REPLACED = "script", "text", "replaced"
MEANINGS = ("image", "replicas", "amount", "currency", "command", "host", SCRIPT, TEXT, REPLACED)
ACTIONS, TOKENS = "actions", "tokens"
LISTED_MAX = 64
_DIGITS_MAX = 32
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|[0-9a-f:.]{2,45}")


def costs(rules: tuple[CostRule, ...], parameters: dict[str, Any], tokens: int) -> tuple[Cost, ...]:
    """What a call costs, one entry a unit, by unit. `tokens` only ever adds. Raises ContractError.

    A parameter that a cost needs and that is missing, negative or no number is refused: it would cost nothing.
    """
    if type(tokens) is not int or not 0 <= tokens <= AMOUNT_MAX // THOUSANDTHS:
        raise ContractError("tokens is no count", next_step="send a whole number that is not negative")
    found: dict[str, int] = {TOKENS: tokens * THOUSANDTHS} if tokens else {}
    for rule in rules:
        value = number(parameters.get(rule.parameter), rule.parameter) if rule.parameter else Decimal(1)
        amount = int((value * rule.factor).to_integral_value(ROUND_CEILING))
        found[rule.unit] = found.get(rule.unit, 0) + amount
        if found[rule.unit] > AMOUNT_MAX:
            raise ContractError(f"{rule.parameter or rule.unit} is too large", next_step="ask for less")
    return tuple(Cost(unit, found[unit]) for unit in sorted(found))


def meaning(
    named: dict[str, str], environment: str, parameters: dict[str, Any], shown: Callable[[str], str]
) -> dict[str, Any]:
    """`action.meaning` of the policy input: the parameters that the contract `named`, in one shape.

    Raises ContractError for a value that cannot be read so. {"images": [text], "replicas": int, "amount": number,
    "currency": text, "command": [text], "hosts": [name], "environment": text}: a key is absent when the contract names
    none, a list is empty when the call names none. `parameters` are the raw ones; `shown` takes out of each text what
    may not be recorded, after it was read.
    """
    found: dict[str, Any] = {"environment": environment}
    for word, parameter in named.items():
        if word in {SCRIPT, TEXT, REPLACED}:
            continue
        value = parameters.get(parameter)
        if word == "image":
            found["images"] = [shown(text) for text in _texts(value, parameter)]
        elif word == "host":
            found["hosts"] = [shown(host_of(text, parameter)) for text in _texts(value, parameter)]
        elif word == "command":
            found["command"] = [shown(text) for text in _command(value, parameter)]
        elif value is None:
            continue
        elif word == "currency":
            found["currency"] = shown(_text(value, parameter).upper())
        else:
            found[word] = _plain(number(value, parameter), parameter, whole=word == "replicas")
    return found


def number(value: Any, parameter: str) -> Decimal:
    """A number that is not negative, exactly; text is read when it is nothing but digits. Raises ContractError."""
    spelt = value if isinstance(value, str) else repr(value)
    is_number = type(value) in {int, float} or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)
    try:
        read = Decimal(spelt) if is_number and len(spelt) <= _DIGITS_MAX else Decimal("NaN")
    except InvalidOperation:
        read = Decimal("NaN")
    if not read.is_finite() or read < 0 or read > NUMBER_MAX:
        raise ContractError(
            f"{parameter} must be a number from 0 to {NUMBER_MAX}", next_step=f"send {parameter} as a plain number"
        )
    return read


def host_of(text: str, parameter: str) -> str:
    """The host that a name, `user@host`, `host:port` or URL leads to, in lower case. Raises ContractError."""
    rest = text.strip()
    try:
        address = urlsplit(rest if "://" in rest else f"//{rest.rpartition('@')[2]}")
        found = (address.hostname or "").rstrip(".").lower()
    except ValueError:
        found = ""
    if _HOST.fullmatch(found) is None or "\\" in rest:
        raise ContractError(f"{parameter} names no host", next_step=f"send {parameter} as a host name or a URL")
    return found


def _command(value: Any, parameter: str) -> list[str]:
    if not isinstance(value, str):
        return _texts(value, parameter)
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ContractError(
            f"{parameter} cannot be split into arguments", next_step="close its quotes, or send a list"
        ) from error


def _texts(value: Any, parameter: str) -> list[str]:
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    if len(items) > LISTED_MAX:
        raise ContractError(f"{parameter} lists more than {LISTED_MAX}", next_step="send fewer")
    return [_text(item, parameter) for item in items]


def _text(value: Any, parameter: str) -> str:
    if not isinstance(value, str):
        raise ContractError(f"{parameter} must be text", next_step=f"send {parameter} as text")
    return value


def _plain(read: Decimal, parameter: str, *, whole: bool) -> int | float:
    """Numbers as JCS spells them: a whole one stays whole."""
    if read == read.to_integral_value():
        return int(read)
    if whole:
        raise ContractError(f"{parameter} must be a whole number", next_step=f"round {parameter}")
    return float(read)
