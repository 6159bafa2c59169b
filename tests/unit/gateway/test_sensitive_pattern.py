"""Which patterns operators may add, in which words the others are refused, and what one that is taken finds."""

import pytest

from bywire.gateway import sensitive_pattern
from bywire.gateway.sensitive import redact_text
from bywire.gateway.sensitive_pattern import PATTERN_CHARS_MAX, Pattern, PatternError, operators_pattern
from bywire.model.gateway_inspection import FindingClass, InspectionSettings, SensitivePattern

ENDS = "it asks where the text begins or ends; ^ and $ do for a line"
EMPTY = "it matches the empty text"


def refusal(expression):
    with pytest.raises(PatternError) as caught:
        operators_pattern(expression)
    return str(caught.value)


@pytest.mark.parametrize(
    ("expression", "text", "spans"),
    [
        ("ab", b"ab xaby", [(0, 2), (4, 6)]),
        ("a|b", b"cab", [(1, 2), (2, 3)]),
        ("^b+", b"bb b\nb", [(0, 2), (5, 6)]),
        ("a$", b"a a\na", [(2, 3), (4, 5)]),
        (r"\bKD-[0-9]{4}\b", b"xKD-1234 KD-1234 KD-12345", [(9, 16)]),
        (r"C:\\Apps", rb"C:\Apps", [(0, 7)]),
        (r"\\\\zone", rb"\\zone", [(0, 6)]),
        ("(?i)key", b"Key", [(0, 3)]),
        ("(?s-i:a.b)", b"a\nb", [(0, 3)]),
        ("XX", b"a XX", [(2, 4)]),
        (r"(\\?-m)", rb"\-m -m", [(0, 3), (4, 6)]),
    ],
)
def test_an_operators_pattern_finds_what_it_says_on_every_line(expression, text, spans):
    pattern = operators_pattern(expression)
    assert list(pattern.spans(text)) == spans
    assert pattern.found(text)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("customer-\u00fc", "it has characters outside ASCII; texts are matched as UTF-8 bytes"),
        (r"\Aa", ENDS),
        (r"a\z", ENDS),
        (r"\\\Aa", ENDS),
        ("(?-m:^a)", ENDS),
        ("(?i-sm)a$", ENDS),
        ("(?U-m:^a)", ENDS),
        ("", EMPTY),
        ("^", EMPTY),
        ("$", EMPTY),
        ("^$", EMPTY),
        ("x*", EMPTY),
        ("(?:abc)?", EMPTY),
        (r"\b", EMPTY),
        (r"\B", EMPTY),
        (r"\b$", EMPTY),
        ("a|", EMPTY),
        ("(?:0|x*)$", EMPTY),
    ],
)
def test_a_pattern_that_could_mean_something_else_on_another_text_is_refused(expression, why):
    assert refusal(expression) == why


@pytest.mark.parametrize("expression", ["(a", "a)", "[a", "*a", "a{2,1}", "a{1001}", "(?=a)b", r"(a)\1", r"\Qa"])
def test_what_is_no_pattern_is_refused_with_what_re2_says_of_it(expression):
    message = refusal(expression)
    assert message.partition(" ")[0] in {"missing", "unexpected", "no", "invalid", "bad"}
    assert "b'" not in message


def test_rule_04_no_pattern_ends_the_group_that_it_stands_in():
    """Behind a parenthesis of ours that it closed, `^` would mean the start of the text alone."""
    assert refusal("a)|(?:^KD[0-9]+") == "unexpected ): a)|(?:^KD[0-9]+"


@pytest.mark.parametrize("text", ["5 x", "5 x KD123", "\n", ""])
def test_rule_04_a_pattern_that_is_somewhere_true_of_nothing_ends(text):
    """None of the probes shows it."""
    expression = r"[a-z].*|^\b"
    assert operators_pattern(expression).found(b"5 x")
    odd = SensitivePattern(kind="odd", family=FindingClass.PII, pattern=expression)
    masked, _ = redact_text(text, InspectionSettings(patterns=(odd,)))
    # It finds its own mark, too: nothing of such a text is kept.
    assert masked == ("[secret]" if "x" in text else text)


def test_a_pattern_is_bounded_to_the_character():
    assert PATTERN_CHARS_MAX == 512
    longest = "a" * PATTERN_CHARS_MAX
    assert operators_pattern(longest).found(b"b" + b"a" * PATTERN_CHARS_MAX)
    assert refusal(longest + "a") == "it is longer than 512 characters"


def test_a_pattern_is_bounded_by_what_its_repeats_unroll_to(monkeypatch):
    assert sensitive_pattern.PROGRAM_SIZE_MAX == 20_000
    assert refusal("[a-z]{999}b" * 21) == "its repeats make it too large"
    size = operators_pattern("[a-z]{9}").size
    assert 9 <= size < 100
    monkeypatch.setattr(sensitive_pattern, "PROGRAM_SIZE_MAX", size)
    assert operators_pattern("[a-z]{9}").size == size
    assert refusal("[a-z]{10}") == "its repeats make it too large"


def test_a_pattern_of_our_own_is_refused_in_the_same_words_and_takes_any_character():
    with pytest.raises(PatternError, match=r"^missing \): \(\?:a$"):
        Pattern("(?:a")
    assert Pattern("\u00fc+").first("a\u00fc\u00fc".encode()) == (1, 3)
