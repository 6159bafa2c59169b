"""`inspection` of gateway.yaml: what it means, and that a wrong pattern says where it stands and why it is wrong."""

import pytest

from bywire.config.gateway_inspection import INTERNAL_HOSTS_MAX, KINDS_KEPT, PATTERNS_MAX, read_inspection
from bywire.config.reading import FieldError, Node
from bywire.gateway.inspection import inspect
from bywire.model.gateway_inspection import FindingClass, InspectionSettings, SensitivePattern


def read(value):
    return read_inspection(Node(value, "gateway.yaml", path=("inspection",)))


def test_nothing_said_is_the_default():
    assert read({}) == InspectionSettings()
    assert read({}).kept == ()


def test_the_whole_section():
    assert read(
        {
            "patterns": [
                {"kind": "customer_id", "pattern": r"\bCUST-[0-9]{6}\b"},
                {"kind": "case_number", "pattern": "^case [0-9]+$", "class": "phi"},
            ],
            "internal_hosts": ["*.shop.example", "build-*.example"],
            "kept": ["email", "internal_host"],
            "depth_max": 8,
            "bytes_max": 4096,
        }
    ) == InspectionSettings(
        patterns=(
            SensitivePattern("customer_id", r"\bCUST-[0-9]{6}\b", FindingClass.PII),
            SensitivePattern("case_number", "^case [0-9]+$", FindingClass.PHI),
        ),
        internal_hosts=("*.shop.example", "build-*.example"),
        kept=("email", "internal_host"),
        depth_max=8,
        bytes_max=4096,
    )


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "missing )"),
        ("(?=x)y", "invalid perl operator: (?="),
        (r"(x)\1", "invalid escape sequence: \\1"),
        ("x*", "matches the empty text"),
        ("x|", "matches the empty text"),
        (r"\b", "matches the empty text"),
        (r"\Ax", "^ and $ do for a line"),
        (r"x\z", "^ and $ do for a line"),
        ("(?-m:^x)", "^ and $ do for a line"),
        ("é", "outside ASCII"),
        ("x{1001}", "invalid repetition size: {1001}"),
        ("(?:x{1000}){1000}", "invalid repetition size: {1000}"),
        ("[a-z]{1000}" * 25, "too large"),
        ("x" * 513, "1 to 512 characters"),
        ("", "1 to 512 characters"),
    ],
)
def test_a_wrong_pattern_says_where_and_why(pattern, why):
    with pytest.raises(FieldError) as refused:
        read({"patterns": [{"kind": "fine", "pattern": "x"}, {"kind": "case_number", "pattern": pattern}]})
    assert "gateway.yaml: inspection.patterns[1].pattern: " in refused.value.message
    assert why in refused.value.message
    assert refused.value.next_step


def test_patterns_that_are_fine_alone_and_too_large_together():
    patterns = [{"kind": f"kind_{index}", "pattern": f"{index}[a-z]{{1000}}"} for index in range(60)]
    assert len(read({"patterns": patterns[:5]}).patterns) == 5
    with pytest.raises(FieldError, match=r"inspection\.patterns: .*together"):
        read({"patterns": patterns})


@pytest.mark.parametrize(
    "value",
    [
        {"internal_hosts": ["*.*"]},
        {"patterns": [{"kind": "aws_key", "pattern": "x"}]},
        {"patterns": [{"kind": "email", "pattern": "x"}]},
        {"patterns": [{"kind": "Customer", "pattern": "x"}]},
        {"patterns": [{"kind": "cc", "pattern": "x"}, {"kind": "cc", "pattern": "y"}]},
        {"patterns": [{"kind": "cc", "pattern": "x", "class": "shell"}]},
        {"patterns": [{"kind": "cc"}]},
        {"patterns": [{"kind": f"k{index}", "pattern": "x"} for index in range(PATTERNS_MAX + 1)]},
        {"internal_hosts": ["*"]},
        {"internal_hosts": ["shop"]},
        {"internal_hosts": ["a b.example"]},
        {"internal_hosts": ["x.example", "x.example"]},
        {"internal_hosts": [f"h{index}.example" for index in range(INTERNAL_HOSTS_MAX + 1)]},
        {"kept": ["aws_key"]},
        {"kept": ["named_secret"]},
        {"kept": ["email", "email"]},
        {"depth_max": 1},
        {"bytes_max": 2_000_000},
        {"unknown": 1},
        [],
        None,
    ],
)
def test_what_is_out_of_bounds_is_refused(value):
    with pytest.raises(FieldError):
        read(value)


def test_no_secret_can_be_kept_and_every_other_kind_can():
    assert {"email", "phone", "payment_card", "internal_host", "icd_code"} <= set(KINDS_KEPT)
    settings = read({"kept": list(KINDS_KEPT)})
    found = inspect({"a": "ana@example.com AKIA" + "A1" * 8}, settings=settings)
    assert [one.kind for one in found] == ["aws_key"]
