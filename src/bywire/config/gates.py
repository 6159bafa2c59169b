"""The sections of operator.yaml that say who must agree, when, and how soon: gates, change windows, reminders, rates.

A gate that nobody could ever pass is refused here rather than met at night.
"""

from bywire.config.reading import Node, read_optional
from bywire.config.tool_names import TOOL
from bywire.model.operator import TIERS, ChangeWindow, Gate, Person, Reminders

COUNT_MAX = 10
# (least, most) persons by kind.
COUNTS = {"automatic": (0, 0), "single": (1, 1), "multi-signer": (2, COUNT_MAX), "scheduled": (1, COUNT_MAX)}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d|24:00"
OFFSET = r"[+-](?:0\d|1[0-4]):[0-5]\d"
WINDOWS_MAX = 32
TOOLS_MAX = 128
RATE_MAX = 100_000
REMINDERS_MAX = 8
WAIT_SECONDS_MAX = 604_800


def read_gates(node: Node, people: tuple[Person, ...], roles: tuple[str, ...]) -> dict[str, Gate]:
    """`{tier: {kind, count, roles}}`. Raises FieldError naming the first fault."""
    return {tier: _gate(found, people, roles) for tier, found in node.fields(TIERS).items()}


def read_tool_rates(node: Node) -> dict[str, int]:
    """`{tool: actions an hour}`, over all principals together."""
    if not isinstance(node.value, dict) or len(node.value) > TOOLS_MAX:
        raise node.expected(f"a mapping of at most {TOOLS_MAX} tools")
    tools = [node.at("a tool", name).text("a tool such as set_canary_weight", pattern=TOOL) for name in node.value]
    return {name: node.at(name, node.value[name]).integer(1, RATE_MAX, "actions an hour") for name in tools}


def read_change_windows(node: Node) -> tuple[ChangeWindow, ...]:
    """`[{days, from, to, utc_offset}]`; a window lies within one day of its own clock."""
    return tuple(_window(item) for item in node.items("windows", least=0, most=WINDOWS_MAX))


def read_reminders(node: Node, roles: tuple[str, ...]) -> Reminders:
    """`{after_seconds, escalate_after_seconds, escalate_to}`."""
    fields = node.fields(("after_seconds", "escalate_after_seconds", "escalate_to"))
    after: tuple[int, ...] = ()
    if "after_seconds" in fields:
        times = fields["after_seconds"].items("times", least=0, most=REMINDERS_MAX, distinct=True)
        after = tuple(sorted(item.integer(1, WAIT_SECONDS_MAX, "seconds") for item in times))
    escalate = read_optional(
        fields, "escalate_after_seconds", lambda found: found.integer(1, WAIT_SECONDS_MAX, "seconds"), 0
    )
    to: tuple[str, ...] = _roles(fields["escalate_to"], roles) if "escalate_to" in fields else ()
    if bool(escalate) != bool(to):
        raise node.refuse(
            "escalation needs both a time and somebody", "write escalate_after_seconds and escalate_to, or neither"
        )
    return Reminders(after_seconds=after, escalate_after_seconds=escalate, escalate_to=to)


def _gate(node: Node, people: tuple[Person, ...], roles: tuple[str, ...]) -> Gate:
    fields = node.fields(("kind", "count", "roles"), required=("kind",))
    kind = fields["kind"].choice(COUNTS)
    least, most = COUNTS[kind]
    if kind == "multi-signer" and "count" not in fields:
        raise node.refuse("a multi-signer gate says how many sign", "add 'count: 2' or more")
    count = read_optional(fields, "count", lambda found: found.integer(least, most, "persons"), least)
    allowed: tuple[str, ...] = _roles(fields["roles"], roles) if "roles" in fields else ()
    able = [person.id for person in people if (set(person.roles) & set(allowed) if allowed else person.roles)]
    if count > len(able):
        who = f"hold {' or '.join(allowed)}" if allowed else "hold a role"
        raise node.refuse(
            f"{count} persons must sign, and only {len(able)} of the people {who}",
            "give more people a role, or ask for fewer signatures",
        )
    return Gate(kind=kind, count=count, roles=allowed)


def _roles(node: Node, roles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(item.choice(roles) for item in node.items("roles", least=1, most=len(roles), distinct=True))


def _window(node: Node) -> ChangeWindow:
    names = ("days", "from", "to", "utc_offset")
    fields = node.fields(names, required=("days", "from", "to"))
    days = [item.choice(DAYS) for item in fields["days"].items("days", least=1, most=len(DAYS), distinct=True)]
    start, end = _minute(fields["from"]), _minute(fields["to"])
    if end <= start:
        raise fields["to"].expected(
            "a time after the start", "split a window that crosses midnight in two: until 24:00, and from 00:00"
        )
    return ChangeWindow(
        days=tuple(sorted(DAYS.index(day) for day in days)),
        start_minute=start,
        end_minute=end,
        utc_offset_minutes=read_optional(fields, "utc_offset", _offset, 0),
    )


def _minute(node: Node) -> int:
    hours, minutes = node.text('a time of day such as "09:00"', pattern=CLOCK).split(":")
    return int(hours) * 60 + int(minutes)


def _offset(node: Node) -> int:
    text = node.text('an offset from UTC such as "+01:00"', pattern=OFFSET)
    hours, minutes = text[1:].split(":")
    return (int(hours) * 60 + int(minutes)) * (-1 if text.startswith("-") else 1)
