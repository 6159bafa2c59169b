"""What an agent's YAML means, said once more and in another way: read straight from the document, without compiling.

Given the plain document, the tools that each action means and a question, `judged` says which rule words refuse it and
whether a person is asked. It knows nothing of the parser, of conditions as trees or of Rego; conditions come as the
little Python functions that the strategies made beside their text.
"""

import re
from decimal import Decimal

UNKNOWN = None
IMAGE = "image_not_allowed"
PLACES = ("non-production", "staging", "production")


def at(value, *path):
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(left, right):
    return (
        type(left) is type(right) and left == right
        if isinstance(left, bool) or isinstance(right, bool)
        else left == right
    )


def judged(document, tools, question, ask=None):
    """(words that refuse, whether a person is asked). `ask(question)` is True, False or None for unknown."""
    tool = at(question, "action", "tool")
    mine = [(number, action) for number, action in enumerate(document["actions"]) if tool in tools[number]]
    if not mine:
        return {"tool_not_listed"}, False
    ((_, action),) = mine
    refused = set(budget_words(document, question))
    asked = condition(action, question, ask)
    if "allowed_environments" in action:
        listed = at(question, "action", "environment") in action["allowed_environments"]
        refused |= set() if listed or lifted(action, question, ask) else {"environment"}
    meaning = at(question, "action", "meaning") or {}
    beyond, unsound = set(), set()  # what a bound does not allow, and that of it which no person can decide on
    if "allowed_images" in action:
        images = meaning.get("images")
        images = images if isinstance(images, list) and images else [None]
        pinned = [image for image in images if image_fits(image, [{}])]
        beyond |= {IMAGE for image in pinned if not image_fits(image, action["allowed_images"])}
        unsound |= {IMAGE} if len(pinned) < len(images) else set()
    for key, word in (("max_replicas", "replicas"), ("max_amount", "amount")):
        if key in action:
            value = meaning.get(word)
            told = number(value) and value >= 0
            (beyond if told else unsound).update({key} if not told or value > action[key] else ())
    if action.get("otherwise") == "approval":
        asked = True if beyond else asked
    else:
        refused |= beyond
    refused |= unsound
    if "currency" in action and not same(meaning.get("currency"), action["currency"]):
        refused.add("currency")
    for path, rule in action.get("parameters", {}).items():
        given = at(question, "action", "parameters")
        if not (well_formed(given, path) and parameter_fits(at(given, *path.split(".")), rule)):
            refused.add("parameter")
    if "allowed_commands" in action:
        said = meaning.get("command")
        lines = [line.split(" ") for line in action["allowed_commands"]]
        refused |= set() if isinstance(said, list) and any(said[: len(w)] == w for w in lines) else {"command"}
    if "egress" in action and not leads_well(question, meaning, action["egress"]):
        refused.add("egress")
    return refused, asked is not False


def condition(action, question, ask):
    said = action.get("approval_needed", False)
    return said if isinstance(said, bool) else ask(question)


def lifted(action, question, ask):
    """A condition lifts an environment only where it holds for its sake: in another one it would surely not."""
    if isinstance(action.get("approval_needed", False), bool) or ask(question) is not True:
        return False
    elsewhere = ({**question, "action": {**question["action"], "environment": place}} for place in PLACES)
    return any(ask(other) is False for other in elsewhere)


def well_formed(given, path):
    """Whether nothing on the way is a list or a text, and no key with dots stands for a way."""
    head, dot, rest = path.partition(".")
    if not dot or not isinstance(given, dict):
        return True
    names = path.split(".")
    merged = [".".join(names[:end]) for end in range(2, len(names) + 1)]
    inside = given.get(head)
    return (isinstance(inside, dict | None) and not any(given.get(key) is not None for key in merged)) and well_formed(
        inside, rest
    )


def image_fits(image, allowed):
    match = re.fullmatch(r"([^@]+)@(sha256:[0-9a-f]{64})", image, re.DOTALL) if isinstance(image, str) else None
    if match is None:
        return False
    name, digest = match.groups()
    return any(
        entry.get("digest", digest) == digest and of_repository(name, entry.get("repository")) for entry in allowed
    )


def of_repository(name, repository):
    if repository is None or name == repository:
        return True
    head, colon, _ = name.rpartition(":")
    while colon:
        if head == repository:
            return "/" not in name[len(head) + 1 :]
        head, colon, _ = head.rpartition(":")
    return False


def parameter_fits(value, rule):
    if value is None:
        return "forbidden" in rule or rule.get("optional", False)
    if "forbidden" in rule:
        return False
    if "equals" in rule:
        return same(value, rule["equals"])
    if "one_of" in rule:
        return any(same(value, choice) for choice in rule["one_of"])
    if "pattern" in rule:
        return isinstance(value, str) and re.fullmatch(rule["pattern"], value, re.ASCII) is not None
    return number(value) and rule.get("min", value) <= value <= rule.get("max", value)


def leads_well(question, meaning, egress):
    places = [(entry.partition(":")[0], int(entry.partition(":")[2] or 443)) for entry in egress]
    host, port = at(question, "action", "destination", "host"), at(question, "action", "destination", "port")
    hosts, ends = meaning.get("hosts"), meaning.get("endpoints")
    if host is None and not (isinstance(hosts, list) and hosts):
        return False
    if isinstance(ends, list) and not all(any(end_fits(end, *place) for place in places) for end in ends):
        return False
    if host is not None and not any(host_fits(host, name) and same(port, at_port) for name, at_port in places):
        return False
    return all(any(host_fits(one, name) for name, _ in places) for one in hosts) if isinstance(hosts, list) else True


def end_fits(end, name, at_port):
    host, _, port = end.rpartition(":") if isinstance(end, str) else ("", "", "")
    return port == str(at_port) and host_fits(host, name)


def host_fits(host, name):
    if not isinstance(host, str):
        return False
    labels, wanted = host.lower().split("."), name.split(".")
    return labels == wanted or (wanted[0] == "*" and len(labels) == len(wanted) and labels[1:] == wanted[1:])


def budget_words(document, question):
    own = {"scope": f"principal:agent:{document['agent']}"}  # of what names no scope
    told = [own | item for item in at(question, "state", "usage") or [] if isinstance(item, dict)]
    for scope, budgets in counted(document, question):
        for period in ("second", "minute", "hour", "day"):
            for unit, most in amounts(budgets, period).items():
                named = {"scope": scope, "unit": unit, "period": period}
                items = [item for item in told if all(item.get(name) == value for name, value in named.items())]
                yield from ("budget" for item in items if not leaves_room(item, most))


def counted(document, question):
    """(what a count is called, the budgets that count there), for this question."""
    agent, tool, place = document["agent"], at(question, "action", "tool"), at(question, "action", "environment")
    budgets = document.get("budgets", {})
    yield f"principal:agent:{agent}", budgets
    if place in budgets.get("environments", {}):
        yield f"principal:agent:{agent}|environment:{place}", budgets["environments"][place]
    for action in document["actions"]:
        if isinstance(tool, str) and action["name"] in (tool, tool.rpartition(".")[2]):
            yield f"principal:agent:{agent}|tool:{tool}", action.get("budgets", {})
            number_of, _, period = re.sub(r"\s*(/|per)\s*", " ", action.get("rate", "0/hour")).partition(" ")
            if int(number_of):
                yield f"principal:agent:{agent}|tool:{tool}", {f"per_{period}": int(number_of)}


def leaves_room(item, most):
    observed, asked = item.get("observed"), item.get("asked")
    return number(observed) and number(asked) and asked >= 0 and observed + asked <= most


def amounts(budgets, period):
    said = budgets.get(f"per_{period}", {})
    units = said if isinstance(said, dict) else {"actions": said}
    return {unit: int(Decimal(str(most)) * 1000) for unit, most in units.items()}
