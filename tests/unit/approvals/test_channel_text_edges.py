"""What a chat is told of a request, field by field; every bound of it, and every kind of hidden character."""

import pytest
from approval_fixtures import NOW, packet

from bywire.approvals.channel_text import Asked, asked, line, pretty, proposal, visible


def told(display=lambda value: value, *, may_answer=True, owner="person:o", **changes):
    made = packet(**changes)
    return asked(made, url="https://b.example/x", owner=owner, may_answer=may_answer, display=display)


def with_parameters(parameters):
    return {"tool": "t", "parameters": parameters}


def masking(value):
    """A display that masks: text becomes a mark, parameters lose what they say."""
    return f"[{value}]" if isinstance(value, str) else dict.fromkeys(value, "[masked]")


FULL = {
    "action": {"tool": "set\nweight", "parameters": {"weight": 5, "note": "a\u200bb"}},
    "service": "store\u202efront",
    "environment": "prod\tuction",
    "requester": "agent:\u2028r",
    "tier": "critical",
    "quorum": 3,
    "quorum_roles": ("owner", "sre"),
    "expires_at_ms": NOW + 5,
    "risk_flags": ("risk\none", "risk two"),
    "missing": ("no\u200bSBOM",),
    "contrary": ("1 of 40",),
    "uncertain": ("L1", "L2"),
    "supersedes": "ap-000000000001",
}


def test_a_request_is_told_field_by_field():
    made = packet(**FULL)
    assert told(owner="person:\u00ad", **FULL) == Asked(
        id="ap-0123456789ab",
        digest=made.digest,
        url="https://b.example/x",
        tool="set weight",
        arguments='{"note":"a<U+200B>b","weight":5}',
        is_whole=True,
        service="store<U+202E>front",
        environment="prod uction",
        requester="agent:<U+2028>r",
        owner="person:<U+00AD>",
        tier="critical",
        quorum=3,
        roles=("owner", "sre"),
        expires_at_ms=NOW + 5,
        reasons=("risk one", "risk two"),
        missing=("no<U+200B>SBOM",),
        contrary=("1 of 40",),
        uncertain=("L1", "L2"),
        may_answer=True,
        supersedes="ap-000000000001",
    )


def test_what_is_sensitive_is_masked_in_arguments_and_lines_and_nobody_answers():
    made = packet(**FULL)
    assert told(masking, **FULL) == Asked(
        id="ap-0123456789ab",
        digest=made.digest,
        url="https://b.example/x",
        tool="set weight",
        arguments='{"note":"[masked]","weight":"[masked]"}',
        is_whole=False,
        service="store<U+202E>front",
        environment="prod uction",
        requester="agent:<U+2028>r",
        owner="person:o",
        tier="critical",
        quorum=3,
        roles=("owner", "sre"),
        expires_at_ms=NOW + 5,
        reasons=("[risk one]", "[risk two]"),
        missing=("[no<U+200B>SBOM]",),
        contrary=("[1 of 40]",),
        uncertain=("[L1]", "[L2]"),
        may_answer=False,
        supersedes="ap-000000000001",
    )


def test_what_was_told_cannot_be_changed():
    with pytest.raises(AttributeError):
        told().may_answer = True


@pytest.mark.parametrize(
    ("action", "tool", "arguments"),
    [
        ({}, "", "{}"),
        ({"tool": 7}, "7", "{}"),
        ({"tool": "t", "parameters": {}}, "t", "{}"),
        ({"parameters": {"b": 1, "a": [2]}}, "", '{"a":[2],"b":1}'),
    ],
)
def test_an_action_without_tool_or_parameters(action, tool, arguments):
    said = told(action=action)
    assert (said.tool, said.arguments, said.is_whole, said.may_answer) == (tool, arguments, True, True)


@pytest.mark.parametrize(
    ("value", "length"),
    [("x" * 2_392, 2_400), ("x" * 2_393, None), ("\u200b" * 299, 2_400), ("\u200b" * 300, None)],
)
def test_arguments_of_2_400_characters_as_shown_are_told_and_longer_ones_are_not(value, length):
    said = told(action=with_parameters({"a": value}))
    whole = length is not None
    assert (len(said.arguments), said.is_whole, said.may_answer) == (length or 0, whole, whole)


@pytest.mark.parametrize(
    ("value", "display", "may_answer", "expected"),
    [
        (1, lambda value: value, True, (True, True)),
        (1, lambda value: value, False, (True, False)),
        (1, masking, True, (False, False)),
        (1, masking, False, (False, False)),
        ("x" * 2_393, lambda value: value, True, (False, False)),
        ("x" * 2_393, masking, True, (False, False)),
    ],
)
def test_only_who_may_and_sees_all_of_it_answers(value, display, may_answer, expected):
    said = told(display, may_answer=may_answer, action=with_parameters({"a": value}))
    assert (said.is_whole, said.may_answer) == expected


@pytest.mark.parametrize("field", ["reasons", "missing", "contrary", "uncertain"])
@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, ()),
        (1, ("n0",)),
        (7, ("n0", "n1", "n2", "n3", "n4", "n5", "n6")),
        (8, ("n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7")),
        (9, ("n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "and 1 more, on the page")),
        (20, ("n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "and 12 more, on the page")),
    ],
)
def test_eight_lines_of_a_kind_are_told_and_the_rest_is_counted(field, count, expected):
    of = {"reasons": "risk_flags"}.get(field, field)
    assert getattr(told(**{of: tuple(f"n{number}" for number in range(count))}), field) == expected


def test_a_line_is_told_as_its_display_has_it_even_when_that_is_no_text():
    assert told(lambda value: 5 if isinstance(value, str) else value, missing=("x",)).missing == ("5",)


@pytest.mark.parametrize("field", ["service", "environment", "requester", "owner"])
def test_a_long_name_is_cut_and_says_so(field):
    said = told(**{field: "n" * 201})
    assert getattr(said, field) == "n" * 199 + "…"


# --- one line ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("a\nb\tc\n\nd", "a b c  d"),
        ("a\r\nb", "a<U+000D> b"),
        ("x" * 199, "x" * 199),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("x" * 1_000, "x" * 199 + "…"),
        ("\u200b" * 25, "<U+200B>" * 25),
        ("\u200b" * 26, "<U+200B>" * 24 + "<U+200B…"),
    ],
)
def test_a_line_has_200_characters_at_most(text, expected):
    assert line(text) == expected


# --- hidden characters ---


@pytest.mark.parametrize(
    ("char", "shown"),
    [
        ("\x00", "<U+0000>"),
        ("\x0b", "<U+000B>"),
        ("\r", "<U+000D>"),
        ("\x7f", "<U+007F>"),
        ("\x85", "<U+0085>"),
        ("\u200e", "<U+200E>"),
        ("\ue000", "<U+E000>"),
        ("\ud800", "<U+D800>"),
        ("\u2028", "<U+2028>"),
        ("\u2029", "<U+2029>"),
        ("\u115f", "<U+115F>"),
        ("\u1160", "<U+1160>"),
        ("\u3164", "<U+3164>"),
        ("\uffa0", "<U+FFA0>"),
        ("\u2800", "<U+2800>"),
        ("\u034f", "<U+034F>"),
        ("\ufe00", "<U+FE00>"),
        ("\ufe0f", "<U+FE0F>"),
        ("\U000e0041", "<U+E0041>"),
        ("\U000e0100", "<U+E0100>"),
        ("\U000e01ef", "<U+E01EF>"),
        ("\U00100000", "<U+100000>"),
    ],
)
def test_a_hidden_character_is_spelled_out(char, shown):
    assert visible(f"a{char}{char}b") == f"a{shown}{shown}b"


@pytest.mark.parametrize(
    "char",
    [
        "\n", "\t", " ", "~", "X", "\xa0", "é", "漢", "🙂", "\u0301", "\u034e", "\u0350", "\u115e", "\u1161", "\u27ff",
        "\u2801", "\u3163", "\u3165", "\uff9f", "\uffa1", "\ufdff", "\ufe10", "\U000e00ff", "\U000e01f0", "\u0378",
    ],
)  # fmt: skip
def test_another_character_is_kept(char):
    assert visible(f"a{char}b") == f"a{char}b"


# --- the page ---


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({}, ""),
        ({"parameters": {}}, ""),
        (
            {"parameters": {"b": {"y": 1, "x": "two\nlines"}, "a": "\u202e", "B": None}},
            'B: null\na: "<U+202E>"\nb: {"x":"two\\nlines","y":1}',
        ),
        ({"parameters": {"a": "x" * 5_000}}, 'a: "' + "x" * 5_000 + '"'),
    ],
)
def test_the_page_shows_the_exact_arguments_one_a_line(action, expected):
    assert pretty(packet(action=action)) == expected


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a", "a"),
        ("_A0.b$c-d_", "_A0.b$c-d_"),
        ("z" * 128, "z" * 128),
        ("z" * 129, f'"{"z" * 129}"'),
        ("0a", '"0a"'),
        (".a", '".a"'),
        ("-a", '"-a"'),
        ("a\n", '"a\\n"'),
        ("é", '"é"'),
    ],
)
def test_a_name_of_other_characters_is_spelled_as_json(name, shown):
    assert pretty(packet(action=with_parameters({name: True}))) == f"{shown}: true"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"proposed": "weight\n5"}, "weight 5"),
        ({"proposed": "p" * 201}, "p" * 199 + "…"),
        (
            {"proposed": "", "action": with_parameters({"weight": 5, "artifact": "a" * 64})},
            f"artifact {'a' * 12}, weight 5",
        ),
        ({"proposed": "", "action": {}}, ""),
    ],
)
def test_a_proposal_is_one_line_of_what_was_said_or_else_of_the_action(changes, expected):
    assert proposal(packet(**changes)) == expected
