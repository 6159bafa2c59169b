"""The bounds of an agent's policy: images, parameters, commands, destinations, budgets and rates."""

import re
from decimal import Decimal
from typing import Any

import msgspec

from bywire.config.operator_config import ENVIRONMENTS
from bywire.config.reading import Node, read_optional
from bywire.model.windows import PERIOD_MS
from bywire.policy.agent_bounds import ACTIONS, THOUSANDTHS, Budget, HostPort, Image, ParameterBound
from bywire.policy.patterns import PatternError, parse_pattern

IMAGES_MAX = 128
PARAMETERS_MAX = 64
CHOICES_MAX = 64
COMMANDS_MAX = 64
WORDS_MAX = 8
DESTINATIONS_MAX = 128
BUDGETS_MAX = 16
COUNT_MAX = 10**12
NUMBER_MAX = 10**15
HTTPS_PORT = 443
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PLACEHOLDER = re.compile(r"sha256:[A-Za-z0-9._-]*\.\.\.[A-Za-z0-9._-]*")
_REPOSITORY = r"[a-z0-9][a-z0-9._-]*(?::[0-9]{1,5})?(?:/[a-z0-9][a-z0-9._-]*)*"
_PATH = r"[A-Za-z_][A-Za-z0-9_-]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_-]{0,63}){0,7}"
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_./:=@%+-]{0,127}|-[A-Za-z0-9_./:=@%+-]{1,127}"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_UNIT = r"[a-z][a-z0-9_]{0,31}"
_RATE = re.compile(r"([1-9][0-9]{0,6})\s*(?:/|per)\s*(second|minute|hour|day)")
_PERIODS = {f"per_{period}": period for period in PERIOD_MS}
_PLACES = "environments"
_KINDS = ("equals", "one_of", "pattern", "min", "max", "forbidden")


def read_images(node: Node) -> tuple[Image, ...]:
    """`- digest: sha256:...`, `- repository: registry/name`, or both."""
    return tuple(_image(item) for item in node.items("images", least=1, most=IMAGES_MAX))


def _image(node: Node) -> Image:
    fields = node.fields(("digest", "repository"))
    if not fields:
        raise node.refuse("an image has a digest, a repository, or both", "write `digest: sha256:<64 hex digits>`")
    digest = read_optional(fields, "digest", _digest, "")
    what = "a repository such as registry.example.com/team/app, without tag or digest"
    return Image(digest, read_optional(fields, "repository", lambda item: item.text(what, pattern=_REPOSITORY), ""))


def _digest(node: Node) -> str:
    what = "a digest: sha256: and 64 hex digits in lower case (a tag can be moved to another image)"
    text = node.text(what)
    if _DIGEST.fullmatch(text) is None and _PLACEHOLDER.fullmatch(text) is None:
        raise node.expected(what)
    return text


def read_parameters(node: Node) -> tuple[ParameterBound, ...]:
    """`name: {equals | one_of | pattern | min, max | forbidden, optional}`; a dot in the name goes one level down."""
    bounds = tuple(
        _parameter(name, item) for name, item in node.mapping("parameters", pattern=_PATH, most=PARAMETERS_MAX).items()
    )
    for bound in bounds:
        for other in bounds:
            if bound is not other and other.path[: len(bound.path)] == bound.path and not bound.forbidden:
                raise node.refuse(
                    f"{bound.name} is bounded as a whole and in its part {other.name}", "keep one of them"
                )
    return bounds


def _parameter(name: str, node: Node) -> ParameterBound:
    fields = node.fields((*_KINDS, "optional"))
    kinds = {"min" if kind == "max" else kind for kind in fields if kind != "optional"}
    if len(kinds) != 1:
        raise node.refuse(
            "one rule a parameter: equals, one_of, pattern, min and max, or forbidden", "write one of them"
        )
    optional = "optional" in fields and fields["optional"].boolean()
    path = tuple(name.split("."))
    if "forbidden" in fields:
        if not fields["forbidden"].boolean() or "optional" in fields:
            raise node.refuse("forbidden is true and stands alone", "write `forbidden: true`, or leave it out")
        return ParameterBound(path, forbidden=True)
    pattern, example = read_optional(fields, "pattern", _pattern, ("", ""))
    least, most = (read_optional(fields, word, _number, None) for word in ("min", "max"))
    if least is not None and most is not None and least > most:
        raise node.refuse("min is above max, so nothing is allowed", "exchange them")
    return ParameterBound(
        path, one_of=_choices(fields), pattern=pattern, example=example, least=least, most=most, optional=optional
    )


def _choices(fields: dict[str, Node]) -> tuple[Any, ...] | None:
    if "equals" in fields:
        return (_scalar(fields["equals"]),)
    if "one_of" in fields:
        items = fields["one_of"].items("values", least=1, most=CHOICES_MAX)
        return tuple(_scalar(item) for item in items)
    return None


def _scalar(node: Node) -> Any:
    if isinstance(node.value, bool):
        return node.value
    if isinstance(node.value, int | float):
        return _number(node)
    return node.text("text, a number, true or false", least=0)


def _number(node: Node) -> float | int:
    number = node.number(-NUMBER_MAX, NUMBER_MAX)
    return int(number) if number.is_integer() else number


def _pattern(node: Node) -> tuple[str, str]:
    text = node.text("a pattern, for the whole value")
    try:
        pattern = parse_pattern(text)
    except PatternError as error:
        raise node.refuse(f"this is no pattern: {error.problem}", error.remedy) from error
    return pattern.anchored, pattern.example


def read_commands(node: Node) -> tuple[tuple[str, ...], ...]:
    """Commands by their first words: `kubectl`, or `kubectl get`."""
    return tuple(_command(item) for item in node.items("commands", least=1, most=COMMANDS_MAX, distinct=True))


def _command(node: Node) -> tuple[str, ...]:
    what = "a program and its first arguments, in plain words separated by one space"
    words = tuple(node.text(what).split(" "))
    if len(words) > WORDS_MAX or not all(re.fullmatch(_WORD, word) for word in words):
        raise node.expected(what)
    return words


def read_egress(node: Node) -> tuple[HostPort, ...]:
    """`host:port`, or `host` for port 443; `*.host` is one label below."""
    return tuple(
        _destination(item) for item in node.items("destinations", least=1, most=DESTINATIONS_MAX, distinct=True)
    )


def _destination(node: Node) -> HostPort:
    what = "host:port with a host name in lower-case ASCII (no address), such as api.example.com:443"
    host, colon, port = node.text(what).partition(":")
    number = port if colon else str(HTTPS_PORT)
    is_address = _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
    if _HOST.fullmatch(host) is None or is_address or not _PORT.fullmatch(number) or int(number) > 65_535:
        raise node.expected(what)
    return HostPort(host, int(number))


def read_budgets(node: Node) -> tuple[Budget, ...]:
    """`per_second`, `per_minute`, `per_hour` and `per_day`: a count of actions, or amounts by unit."""
    return _bounding(node, _periods(node.fields(_PERIODS)))


def read_agent_budgets(node: Node) -> tuple[Budget, ...]:
    """As `read_budgets`, of all that an agent does; in `environments: {production: {per_minute: 2}}` of it there."""
    fields = node.fields((*_PERIODS, _PLACES))
    found = _periods(fields)
    if _PLACES in fields:
        for place, item in fields[_PLACES].fields(ENVIRONMENTS).items():
            found += [msgspec.structs.replace(budget, environment=place) for budget in read_budgets(item)]
    return _bounding(node, found)


def _periods(fields: dict[str, Node]) -> list[Budget]:
    return [budget for word, period in _PERIODS.items() if word in fields for budget in _amounts(fields[word], period)]


def _bounding(node: Node, found: list[Budget]) -> tuple[Budget, ...]:
    if not found:
        raise node.refuse("this budget bounds nothing", f"write {', '.join(_PERIODS)}")
    return tuple(found)


def _amounts(node: Node, period: str) -> list[Budget]:
    if not isinstance(node.value, dict):
        return [Budget(ACTIONS, period, node.integer(0, COUNT_MAX // THOUSANDTHS, "actions") * THOUSANDTHS)]
    units = node.mapping("units", pattern=_UNIT, most=BUDGETS_MAX)
    return [Budget(unit, period, _thousandths(item)) for unit, item in units.items()]


def _thousandths(node: Node) -> int:
    amount = Decimal(repr(node.number(0, COUNT_MAX // THOUSANDTHS))) * THOUSANDTHS
    if amount != amount.to_integral_value():
        raise node.refuse("amounts are kept to thousandths", "round it to three places")
    return int(amount)


def read_rate(node: Node) -> tuple[Budget, ...]:
    """`5/second`, `60/minute`, `10/hour` or `100/day`: so many calls of this tool."""
    what = "a rate such as 5/second, 60/minute, 10/hour or 100/day"
    match = _RATE.fullmatch(node.text(what))
    if match is None:
        raise node.expected(what)
    return (Budget(ACTIONS, match[2], int(match[1]) * THOUSANDTHS),)
