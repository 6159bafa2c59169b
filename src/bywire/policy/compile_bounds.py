"""An agent's bounds as Rego: `agents/NAME.rego`, which can refuse, ask for a person and count, and never allow.

The text is made of fixed rules and of JSON literals; whatever a name or a text of the YAML holds stays inside quotes.
Each rule id is `agents.NAME.<word>` with a word of WORDS, and each reason carries its own message and next step.
"""

import textwrap
from collections.abc import Iterator

from bywire.policy.agent_bounds import ActionBounds, AgentBounds, HostPort, Image, ParameterBound, outside_scope
from bywire.policy.budget_rego import action_budget_rules, budget_rules
from bywire.policy.condition_rego import ConditionRules, literal, rule_text, value_at
from bywire.policy.conditions import ENVIRONMENT, ENVIRONMENTS, Always, Condition, known
from bywire.policy.rego_columns import narrowed

MARK = "# Compiled by `bywire policy compile`"
# Of a list of what is allowed, a message tells so much.
TOLD_CHARS_MAX = 400
_NEXT_APPROVAL = "bywire approvals list, then bywire approvals approve ID"
WORDS = (
    "tool_not_listed", "environment", "image_not_allowed", "max_replicas", "max_amount", "currency", "parameter",
    "command", "egress", "budget", "approval_needed",
)  # fmt: skip

_HEAD = """
tool := object.get(input, ["action", "tool"], null)

environment := object.get(input, ["action", "environment"], null)

meaning(name) := object.get(input, ["action", "meaning", name], null)

at_most(value, limit) if {
	is_number(value)
	value >= 0
	value <= limit
}
"""
# What a number must be for a person to decide on it.
_TOLD = """
told_number(value) if {
	is_number(value)
	value >= 0
}
"""
_NESTED = """
may_hold(value) if value == null

may_hold(value) if is_object(value)
"""
_IMAGES = """
images_told if {
	is_array(meaning("images"))
	count(meaning("images")) > 0
}

# A tag can be moved; only a digest says which image it is.
is_pinned(image) if {
	is_string(image)
	regex.match("^[^@]+@sha256:[0-9a-f]{64}$", image)
}

is_of(name, repository) if name == repository

is_of(name, repository) if {
	startswith(name, concat("", [repository, ":"]))
	not contains(trim_prefix(name, concat("", [repository, ":"])), "/")
}
"""
_EGRESS = """
destination(name) := object.get(input, ["action", "destination", name], null)

leads_somewhere if destination("host") != null

hosts_told if {
	is_array(meaning("hosts"))
	count(meaning("hosts")) > 0
}
"""


def compiled(bounds: AgentBounds) -> str:
    """The module. `bounds` have their tools (`agent_bounds.resolved`)."""
    module = _Module(bounds)
    return module.text()


class _Module:
    def __init__(self, bounds: AgentBounds) -> None:
        self._bounds = bounds
        self._name = bounds.agent

    def text(self) -> str:
        """The whole file."""
        bounds = self._bounds
        parts = [
            f"{MARK} from {literal(bounds.source)}, sha256 {bounds.digest}.\n# Edit that file and compile it again.",
            f"package bywire.agents[{literal(self._name)}]",
            _HEAD.strip(),
            f"listed := {literal(sorted(self._tools()))}",
            self._listed(),
        ]
        if any(action.images is not None for action in bounds.actions):
            parts.append(_IMAGES.strip())
        if any(action.asks_beyond for action in bounds.actions):
            parts.append(_TOLD.strip())
        if any(action.egress is not None for action in bounds.actions):
            parts.append(_EGRESS.strip())
        if any(len(bound.path) > 1 for action in bounds.actions for bound in action.parameters):
            parts.append(_NESTED.strip())
        parts += budget_rules(bounds, self._deny)
        for number, action in enumerate(bounds.actions, 1):
            parts += self._action(number, action)
        return narrowed("\n\n".join(parts) + "\n")

    def _tools(self) -> list[str]:
        return [tool for action in self._bounds.actions for tool in action.tools]

    def _reason(self, word: str, facts: dict[str, str], message: str, next_step: str) -> str:
        """`facts` are expressions; the two sentences are texts."""
        told = {"tool": "tool", **facts, "message": literal(message), "next_step": literal(next_step)}
        inside = ", ".join(f"{literal(name)}: {value}" for name, value in told.items())
        return f'{{"rule": {literal(f"agents.{self._name}.{word}")}, "facts": {{{inside}}}}}'

    def _deny(self, word: str, facts: dict[str, str], message: str, next_step: str, body: list[str]) -> str:
        return _set("deny", self._reason(word, facts, message, next_step), body)

    def _ask(self, word: str, facts: dict[str, str], message: str, body: list[str]) -> str:
        return _set("approval", self._reason(word, facts, message, _NEXT_APPROVAL), body)

    def _listed(self) -> str:
        message = f"the policy of {self._name} does not list this tool"
        next_step = f"have the operator list it in agent-policies/{self._bounds.source}"
        return self._deny("tool_not_listed", {"listed": "listed"}, message, next_step, ["not tool in listed"])

    def _action(self, number: int, action: ActionBounds) -> Iterator[str]:
        guard = f"is_{number}"
        yield f"# {literal(action.name)}\n{guard} if tool in {literal(list(action.tools))}"
        yield from self._approval(number, action)
        if action.images is not None:
            yield from self._images(number, action.images, asks=action.asks_beyond)
        for name, limit in (("replicas", action.replicas), ("amount", action.amount)):
            if limit is not None:
                yield from self._at_most(f"max_{name}", guard, name, limit, asks=action.asks_beyond)
        if action.currency:
            yield self._deny(
                "currency", {"currency": 'meaning("currency")', "allowed": literal(action.currency)},
                f"amounts are in {action.currency}", f"send the amount in {action.currency}",
                [guard, f'not meaning("currency") == {literal(action.currency)}'],
            )  # fmt: skip
        for place, bound in enumerate(action.parameters, 1):
            yield from self._parameter(f"parameter_{number}_{place}", guard, bound)
        if action.commands is not None:
            yield from self._commands(number, action.commands)
        if action.egress is not None:
            yield from self._egress(number, action.egress)
        yield from action_budget_rules(self._name, action, self._deny)

    def _approval(self, number: int, action: ActionBounds) -> Iterator[str]:
        """The environments in which nobody is asked, and when somebody is."""
        guard, rules = f"is_{number}", ConditionRules(f"asks_{number}")
        asks, lifted = [guard], []
        is_scoped = action.environments is not None and outside_scope(action) is not None
        if not isinstance(action.approval, Always):
            asks.append(f"not {rules.name(action.approval, holds=False)}")
        if is_scoped:
            lifted = list(_lifted(f"lifts_{number}", action.approval, rules))
        yield from rules.rules
        yield from lifted
        if action.approval != Always(value=False):
            message = "the policy of this agent asks for a person's approval here"
            yield self._ask("approval_needed", {"environment": "environment"}, message, asks)
        if is_scoped:
            listed = literal(list(action.environments or ()))
            yield self._deny(
                "environment",
                {"environment": "environment", "allowed": listed},
                f"this agent may do this in {', '.join(action.environments or ())} only",
                "use one of these environments, or have the operator ask for approval where this is needed",
                [guard, f"not environment in {listed}", *([f"not lifts_{number}"] if lifted else [])],
            )

    def _images(self, number: int, images: tuple[Image, ...], *, asks: bool) -> Iterator[str]:
        guard, told = f"is_{number}", literal([image.digest or image.repository for image in images])
        message, next_step = "this image is not one of the allowed ones", "use an allowed image, named by its digest"
        facts, each = {"image": "image", "allowed": told}, [guard, "images_told", 'some image in meaning("images")']
        if asks:
            beyond = [*each, "is_pinned(image)", f"not image_{number}(image)"]
            yield self._ask("image_not_allowed", facts, f"{message}, so a person decides", beyond)
            message = "this image is not named by a digest, so nobody can approve it"
            yield self._deny("image_not_allowed", facts, message, next_step, [*each, "not is_pinned(image)"])
        else:
            yield self._deny("image_not_allowed", facts, message, next_step, [*each, f"not image_{number}(image)"])
        yield self._deny(
            "image_not_allowed", {"image": 'meaning("images")', "allowed": told}, "no image was told",
            "name the image by its digest; the tool's contract must say which parameter it is",
            [guard, "not images_told"],
        )  # fmt: skip
        for image in images:
            body = ["is_pinned(image)", 'parts := split(image, "@")']
            body += [f"parts[1] == {literal(image.digest)}"] if image.digest else []
            body += [f"is_of(parts[0], {literal(image.repository)})"] if image.repository else []
            yield rule_text(f"image_{number}(image)", body)

    def _at_most(self, word: str, guard: str, name: str, limit: float, *, asks: bool) -> Iterator[str]:
        value, exceeds = f"meaning({literal(name)})", f"not at_most(meaning({literal(name)}), {literal(limit)})"
        facts = {name: value, "limit": literal(limit)}
        if asks:
            message = f"{name} above {literal(limit)}: a person decides"
            yield self._ask(word, facts, message, [guard, f"told_number({value})", exceeds])
            exceeds = f"not told_number({value})"
        yield self._deny(
            word, facts, f"{name} must be told, and be at most {literal(limit)}", f"ask for at most {literal(limit)}",
            [guard, exceeds],
        )  # fmt: skip

    def _parameter(self, rule: str, guard: str, bound: ParameterBound) -> Iterator[str]:
        value = value_at(("action", "parameters", *bound.path))
        must = _in_words(bound)
        yield self._deny(
            "parameter", {"parameter": literal(bound.name), "must": literal(must)},
            f"{bound.name} must {must}", "leave it out" if bound.forbidden else f"send a {bound.name} that does",
            [guard, f"not {rule}"],
        )  # fmt: skip
        shape = _shape(bound.path)
        if bound.forbidden or bound.optional:
            yield rule_text(rule, [*shape, f"{value} == null"])
        if bound.forbidden:
            return
        body = [*shape, f"value := {value}", "value != null"]
        if bound.one_of is not None:
            body.append(f"value in {literal(list(bound.one_of))}")
        if bound.pattern:
            body += ["is_string(value)", f"regex.match({literal(bound.pattern)}, value)"]
        if bound.least is not None or bound.most is not None:
            body.append("is_number(value)")
        body += [f"value >= {literal(bound.least)}"] if bound.least is not None else []
        body += [f"value <= {literal(bound.most)}"] if bound.most is not None else []
        yield rule_text(rule, body)

    def _commands(self, number: int, commands: tuple[tuple[str, ...], ...]) -> Iterator[str]:
        told = literal([" ".join(command) for command in commands])
        yield self._deny(
            "command", {"command": 'meaning("command")', "allowed": told},
            "this command is not one of the allowed ones", "use an allowed command",
            [f"is_{number}", f"not command_{number}"],
        )  # fmt: skip
        for command in commands:
            begins = f'array.slice(meaning("command"), 0, {len(command)}) == {literal(list(command))}'
            yield rule_text(f"command_{number}", ['is_array(meaning("command"))', begins])

    def _egress(self, number: int, egress: tuple[HostPort, ...]) -> Iterator[str]:
        guard, told = f"is_{number}", literal([f"{place.host}:{place.port}" for place in egress])
        message, next_step = "this leads to a host that is not listed", "use a listed host and port"
        yield self._deny(
            "egress", {"host": "host", "allowed": told}, message, next_step,
            [guard, "leads_somewhere", 'host := destination("host")', f'not leads_{number}(host, destination("port"))'],
        )  # fmt: skip
        yield self._deny(
            "egress", {"host": "host", "allowed": told}, message, next_step,
            [guard, "hosts_told", 'some host in meaning("hosts")', f"not names_{number}(host)"],
        )  # fmt: skip
        yield self._deny(
            "egress", {"host": "place", "allowed": told}, message, next_step,
            [guard, 'places := meaning("endpoints")', "is_array(places)", "some place in places",
             f"not reaches_{number}(place)"],
        )  # fmt: skip
        yield self._deny(
            "egress", {"allowed": told}, "nobody said where this leads, so it leads nowhere", next_step,
            [guard, "not leads_somewhere", "not hosts_told"],
        )  # fmt: skip
        for place in egress:
            body = ["is_string(host)", *_host(place.host)]
            yield rule_text(f"names_{number}(host)", body)
            yield rule_text(f"reaches_{number}(host)", ["is_string(host)", *_host(f"{place.host}:{place.port}")])
            yield rule_text(f"leads_{number}(host, port)", [f"port == {place.port}", *body])


def _lifted(name: str, approval: Condition, rules: ConditionRules) -> Iterator[str]:
    """The rule of `agent_bounds.lifts`: the condition holds here, and would surely not in another environment."""
    elsewhere = {known(approval, {ENVIRONMENT: environment}): None for environment in ENVIRONMENTS}
    if len(elsewhere) == 1:  # it is the same everywhere, so it does not speak of the environment
        return
    if Always(value=False) in elsewhere:
        elsewhere = {Always(value=False): None}
    for left in elsewhere:
        if left != Always(value=True):
            here = rules.name(approval, holds=True)
            not_there = [] if isinstance(left, Always) else [rules.name(left, holds=False)]
            yield rule_text(name, [here, *not_there])


def _shape(path: tuple[str, ...]) -> list[str]:
    """What holds where a path can only be read as it is written: objects on the way, and no name with dots for it."""
    lines: list[str] = []
    for depth in range(len(path) - 1):
        before = ("action", "parameters", *path[:depth])
        lines += [f"may_hold({value_at((*before, path[depth]))})"]
        lines += [
            f"{value_at((*before, '.'.join(path[depth:end])))} == null" for end in range(depth + 2, len(path) + 1)
        ]
    return lines


def _host(host: str) -> list[str]:
    if not host.startswith("*."):
        return [f"lower(host) == {literal(host)}"]
    return [f"endswith(lower(host), {literal(host[1:])})", f'count(split(host, ".")) == {host.count(".") + 1}']


def _in_words(bound: ParameterBound) -> str:
    if bound.forbidden:
        return "not be given"
    choices = textwrap.shorten(", ".join(map(literal, bound.one_of or ())), TOLD_CHARS_MAX, placeholder=" ...")
    said = [f"be {'one of ' if len(bound.one_of) > 1 else ''}{choices}"] if bound.one_of else []
    said += [f"match {bound.pattern}"] if bound.pattern else []
    said += [f"be at least {literal(bound.least)}"] if bound.least is not None else []
    said += [f"be at most {literal(bound.most)}"] if bound.most is not None else []
    return " and ".join(said)


def _set(name: str, member: str, body: list[str]) -> str:
    return rule_text(f"{name} contains {member}", body)
