"""One action of an agent's policy: the tool, where it may be used, when a person is asked, and its bounds."""

import re
from collections.abc import Callable
from typing import Any

from bywire.config.agent_policy_bounds import (
    read_budgets,
    read_commands,
    read_egress,
    read_images,
    read_parameters,
    read_rate,
)
from bywire.config.operator_config import ENVIRONMENTS
from bywire.config.reading import Node, read_optional
from bywire.policy.agent_bounds import ActionBounds
from bywire.policy.condition_text import ConditionError, parse_condition
from bywire.policy.conditions import NAMES, TEXT_CHARS_MAX, Always, Condition, literals_of, witness

TOOL = r"[A-Za-z0-9][A-Za-z0-9_./-]{0,127}"
REPLICAS_MAX = 1_000_000
AMOUNT_MAX = 10**12
SHOWN_CHARS = 19
_DENY, _APPROVAL = "deny", "approval"
_BEYOND = ("allowed_images", "max_replicas", "max_amount")
_BARE_DIGEST = re.compile(r"sha256:[0-9a-f]*")
_KEYS = (
    "name", "allowed_environments", "approval_needed", "allowed_images", "max_replicas", "max_amount", "currency",
    "otherwise", "parameters", "allowed_commands", "egress", "budgets", "rate",
)  # fmt: skip


def read_action(node: Node, warnings: list[str]) -> ActionBounds:
    """Read one entry of `actions`; what it says that can match nothing is told in `warnings`."""
    fields = node.fields(_KEYS, required=("name",))
    name = fields["name"].text("the name of a tool: TOOL or UPSTREAM.TOOL; there is no '*'", pattern=TOOL)

    def read(key: str, reader: Callable[[Node], Any], absent: Any = None) -> Any:
        return read_optional(fields, key, reader, absent)

    images = read("allowed_images", read_images)
    for image in images or ():
        if image.is_placeholder:
            warnings.append(f"{name}: {image.digest} is a placeholder, so it allows no image; write the digest")
    amount, currency = read("max_amount", _amount), read("currency", _currency, "")
    if amount is not None and not currency:
        warnings.append(f"{name}: max_amount has no currency, so {amount} of any currency pass")
    approval = read("approval_needed", _condition, Always(value=False))
    for literal in literals_of(approval, NAMES["images"]):
        if isinstance(literal, str) and _BARE_DIGEST.fullmatch(literal):
            whole = f"an image is named whole, such as registry.example/app@{literal[:SHOWN_CHARS]}..."
            warnings.append(f"{name}: approval_needed never finds {literal[:SHOWN_CHARS]}... in images: {whole}")
    if "otherwise" in fields and not fields.keys() & {*_BEYOND}:
        raise fields["otherwise"].refuse("there is nothing beyond which it says what happens", _write_one_of(_BEYOND))
    return ActionBounds(
        name=name,
        environments=read("allowed_environments", _environments),
        approval=approval,
        images=images,
        replicas=read("max_replicas", lambda item: item.integer(0, REPLICAS_MAX)),
        amount=amount,
        currency=currency,
        parameters=read("parameters", read_parameters, ()),
        commands=read("allowed_commands", read_commands),
        egress=read("egress", read_egress),
        budgets=(*read("budgets", read_budgets, ()), *read("rate", read_rate, ())),
        asks_beyond=read("otherwise", lambda item: item.choice((_DENY, _APPROVAL)), _DENY) == _APPROVAL,
    )


def _write_one_of(keys: tuple[str, ...]) -> str:
    return f"write {', '.join(keys[:-1])} or {keys[-1]}, or leave it out"


def _environments(node: Node) -> tuple[str, ...]:
    items = node.items("environments", least=1, most=len(ENVIRONMENTS), distinct=True)
    return tuple(item.choice(ENVIRONMENTS) for item in items)


def _condition(node: Node) -> Condition:
    """True, false, or a condition that can hold."""
    if isinstance(node.value, bool):
        return Always(value=node.value)
    text = node.text('true, or a condition such as env == "production"', most=TEXT_CHARS_MAX)
    try:
        condition = parse_condition(text)
    except ConditionError as error:
        raise node.refuse(f"this is no condition: {error.problem}", error.remedy) from error
    if condition != Always(value=False) and witness(condition, frozenset({True}), {}) is None:
        raise node.refuse("this can never be true, so nobody would ever be asked", "correct it, or leave it out")
    return condition


def _amount(node: Node) -> float | int:
    amount = node.number(0, AMOUNT_MAX)
    return int(amount) if amount.is_integer() else amount


def _currency(node: Node) -> str:
    what = "a currency in three capital letters, such as EUR"
    text = node.text(what)
    if re.fullmatch("[A-Z]{3}", text) is None:
        raise node.expected(what)
    return text
