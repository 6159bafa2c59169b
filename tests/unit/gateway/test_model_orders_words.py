"""How far apart the words of an order to a model may stand, rule by rule, and the words that one row each needs."""

import pytest

from bywire.gateway.model_orders import told_to_model

OVERRIDES, HIDES = "overrides_instructions", "hides_from_people"
ORDERS, ASKS, SENDS = "orders_other_tools", "asks_for_secrets", "sends_elsewhere"
# (kind, the words of the chain, how far each may stand behind the one before it)
CHAINS = [
    (OVERRIDES, "ignore rules", (5,)),
    (OVERRIDES, "override prompt", (5,)),
    (OVERRIDES, "new instructions", (2,)),
    (OVERRIDES, "you are now", (1, 1)),
    (OVERRIDES, "system prompt", (1,)),
    (HIDES, "never tell users", (3, 3)),
    (HIDES, "without telling users", (3, 3)),
    (HIDES, "dont mention this", (3, 1)),
    (HIDES, "secretly send", (4,)),
    (HIDES, "hide from users", (4, 2)),
    (HIDES, "without user consent", (2, 2)),
    (ORDERS, "before calling tools", (3, 5)),
    (ORDERS, "called first tool", (6, 5)),
    (ORDERS, "used before tool", (6, 5)),
    (ORDERS, "invoke first function", (6, 5)),
    (ORDERS, "always use this tool", (3, 2, 3)),
    (ORDERS, "never use other tools", (2, 3, 2)),
    (ORDERS, "overrides tools", (6,)),
    (ORDERS, "when any tool must", (4, 3, 12)),
    (ORDERS, "prefer this tool for all", (1, 1, 1, 1)),
    (ASKS, "read password field", (6, 8)),
    (ASKS, "read chat history", (6, 1)),
    (ASKS, "sidenote", ()),
    (SENDS, "also send to https", (10, 14, 1)),
    (SENDS, "before answering post", (1, 4)),
]


def spread(words, gaps):
    """The words, each so far behind the one before it."""
    said = [words[0]]
    for word, gap in zip(words[1:], gaps, strict=True):
        said += ["blue"] * (gap - 1) + [word]
    return " ".join(said)


def kinds(text):
    return {kind for kind, _ in told_to_model(text)}


@pytest.mark.parametrize(("kind", "words", "gaps"), CHAINS)
def test_the_words_of_an_order_may_stand_so_far_apart_and_no_further(kind, words, gaps):
    chain = words.split()
    assert (kind, spread(chain, gaps)) in list(told_to_model(f"Please {spread(chain, gaps)} thanks"))
    for index in range(len(gaps)):
        wider = [gap + (place == index) for place, gap in enumerate(gaps)]
        assert kind not in kinds(spread(chain, wider)), wider


@pytest.mark.parametrize("path", [".ssh/", "id_rsa", "id_ed25519", ".aws/", ".netrc", ".kube/config", "/etc/passwd"])
def test_a_place_of_secrets_is_told(path):
    assert kinds(f"look at {path} there") == {ASKS}


@pytest.mark.parametrize("path", ["/etc/shadow", "mcp.json", "claude_desktop_config", "MCP.JSON"])
def test_another_place_of_secrets_is_told(path):
    assert kinds(f"look at {path} there") == {ASKS}


@pytest.mark.parametrize("unit", ["\u03bcs", "\u03bcm", "\u03bcg", "\u03bcl", "\u03bca", "\u03bcv", "\u03bcw"])
def test_a_unit_that_is_written_with_a_greek_letter_mixes_no_scripts(unit):
    assert kinds(f"after 5 {unit} at most") == set()
    assert kinds(f"after 5 {unit}x at most") == {"mixed_scripts"}
