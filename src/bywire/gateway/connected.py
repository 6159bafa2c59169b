"""What a connected tool's parameters mean: the place it leads to, what it costs, and which parameter is which.

The contract says how to read them, the call's own parameters say what; nothing else does. What cannot be read as the
contract says is refused, so that no rule is passed by a value that only the upstream understands.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any
from urllib.parse import SplitResult, urlsplit

from bywire.gateway.contract import ContractError
from bywire.model.connected import THOUSANDTHS, Cost, CostRule, Parameter, value_at

NUMBER_MAX = 10**15
# In thousandths of a unit and for one call; a day of them still adds up exactly in 64 bits.
AMOUNT_MAX = 10**12
# Text that a shell runs as it stands, text that is only kept, and text that is only looked up. No rule reads them; the
# inspection knows what they are.
SCRIPT, TEXT, REPLACED = "script", "text", "replaced"
MEANINGS = ("image", "replicas", "amount", "currency", "command", "host", SCRIPT, TEXT, REPLACED)
ACTIONS, TOKENS = "actions", "tokens"
LISTED_MAX = 64
# Where a URL leads that names no port (RFC 9110 4.2, RFC 6455 3, RFC 3986 of the others).
SSH_PORT = 22
SCHEME_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "git": 9418, "ftp": 21} | dict.fromkeys(
    ("ssh", "git+ssh", "ssh+git", "sftp"), SSH_PORT
)
UNKNOWN_PORT = "?"
_DIGITS_MAX = 32
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?|[0-9a-f:.]{2,45}")
# The spellings that every reader takes for the same host: `[user@]host[:port]`, `user@host:path`, and a URL, with a
# login only where the scheme is a remote shell's. No '@', backslash or space comes after the host.
_LOGIN = r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}@"
_AT = r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,254})"
_AFTER = r"[^\s@\\\x00-\x1f\x7f]"
_ONE_READING = re.compile(
    rf"(?:{_LOGIN})?{_AT}(?::[0-9]{{1,5}})?|{_LOGIN}{_AT}:{_AFTER}+"
    rf"|(?:[A-Za-z][A-Za-z0-9+.-]{{0,31}}://|(?:ssh|git\+ssh|ssh\+git|sftp)://{_LOGIN})"
    rf"{_AT}(?::[A-Za-z0-9]{{0,5}})?(?:[/?#]{_AFTER}*)?"
)


def costs(rules: tuple[CostRule, ...], parameters: dict[str, Any], tokens: int) -> tuple[Cost, ...]:
    """What a call costs, one entry a unit, by unit. `tokens` only ever adds. Raises ContractError.

    A parameter that a cost needs and that is missing, negative or no number is refused: it would cost nothing.
    """
    if type(tokens) is not int or not 0 <= tokens <= AMOUNT_MAX // THOUSANDTHS:
        raise ContractError("tokens is no count", next_step="send a whole number that is not negative")
    found: dict[str, int] = {TOKENS: tokens * THOUSANDTHS} if tokens else {}
    for rule in rules:
        name = ".".join(rule.parameter)
        value = number(value_at(parameters, rule.parameter), name) if name else Decimal(1)
        amount = int((value * rule.factor).to_integral_value(ROUND_CEILING))
        found[rule.unit] = found.get(rule.unit, 0) + amount
        if found[rule.unit] > AMOUNT_MAX:
            raise ContractError(f"{name or rule.unit} is too large", next_step="ask for less")
    return tuple(Cost(unit, found[unit]) for unit in sorted(found))


def meaning(
    named: Mapping[str, Parameter], environment: str, parameters: dict[str, Any], shown: Callable[[str], str]
) -> dict[str, Any]:
    """`action.meaning` of the policy input: the parameters that the contract `named`, in one shape.

    Raises ContractError for a value that cannot be read so. {"images": [text], "replicas": int, "amount": number,
    "currency": text, "command": [text], "hosts": [name], "endpoints": [name:port], "environment": text}: a key is
    absent when the contract names none, a list is empty when the call names none. A host of which nobody said the port
    is no endpoint. `parameters` are the raw ones; `shown` takes out of each text what may not be recorded, after it was
    read.
    """
    found: dict[str, Any] = {"environment": environment}
    for word, place in named.items():
        if word in {SCRIPT, TEXT, REPLACED}:
            continue
        value, parameter = value_at(parameters, place), ".".join(place)
        if word == "image":
            found["images"] = [shown(text) for text in _texts(value, parameter)]
        elif word == "host":
            places = [(shown(host_of(text, parameter)), port_of(text)) for text in _texts(value, parameter)]
            found["hosts"] = [host for host, _ in places]
            found["endpoints"] = [f"{host}:{port}" for host, port in places if port]
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
    read = Decimal(spelt) if is_number and len(spelt) <= _DIGITS_MAX else Decimal("NaN")
    if not read.is_finite() or read < 0 or read > NUMBER_MAX:
        raise ContractError(
            f"{parameter} must be a number from 0 to {NUMBER_MAX}", next_step=f"send {parameter} as a plain number"
        )
    return read


def host_of(text: str, parameter: str) -> str:
    """The host that a name, `user@host`, `host:port` or URL leads to, in lower case. Raises ContractError.

    What some program could read as another host (`evil.example/@good.example`, `https:/evil.example`) is refused.
    """
    try:
        found = (_address(text).hostname or "").rstrip(".").lower()
    except ValueError:
        found = ""
    if _HOST.fullmatch(found) is None or _ONE_READING.fullmatch(text) is None:
        raise ContractError(
            f"{parameter} names no host, or more than one",
            next_step=f"send {parameter} as a host name, or as a URL without a user and without '@'",
        )
    return found


def port_of(text: str) -> str:
    """The port that the text of a host leads to: the one it says, else its scheme's; empty for a mere name.

    UNKNOWN_PORT, which no list names, where a scheme's own is not known. `user@host:path` is a remote shell's (scp),
    to which `user@host:443` is a path, too: that is unknown.
    """
    rest = text.strip()
    scheme, is_url, _ = rest.partition("://")
    try:
        port = _address(rest).port
    except ValueError:
        return UNKNOWN_PORT if is_url else str(SSH_PORT)
    if port is not None:
        return UNKNOWN_PORT if "@" in rest and not is_url and port != SSH_PORT else str(port)
    return str(SCHEME_PORTS.get(scheme.lower(), UNKNOWN_PORT)) if is_url else ""


def _address(text: str) -> SplitResult:
    return urlsplit(text if "://" in text else f"//{text.rpartition('@')[2]}")


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
