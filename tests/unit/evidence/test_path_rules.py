"""Paths: patterns mean what bywire.yaml says; a patch never reaches evidence, keys, policy or CI."""

import pytest

from bywire.evidence.path_classes import is_test, may_be_patched
from bywire.evidence.path_pattern import matches


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("storefront/a/b.py", "storefront/**", True),
        ("storefront", "storefront/**", False),
        ("storefront2/a.py", "storefront/**", False),
        ("a/b.py", "*.py", False),
        ("b.py", "*.py", True),
        ("a/b/c.py", "**/*.py", True),
        ("c.py", "**/*.py", True),
        ("anything/at/all", "**", True),
        ("a.b", "a?b", True),
        ("a/b", "a?b", False),
        ("a+b", "a+b", True),
        ("aab", "a+b", False),
    ],
)
def test_patterns(path, pattern, expected):
    assert matches(path, [pattern]) is expected


@pytest.mark.parametrize("path", ["deploy/a-network-policy.yaml", "k8s/x.yaml"])
def test_desired_state_may_be_patched(path):
    assert may_be_patched(path)


@pytest.mark.parametrize(
    "path",
    [
        "bywire.yaml",
        ".github/workflows/ci.yml",
        ".ci/run",
        "deploy/../keys/a",
        "/deploy/a.yaml",
        "deploy//a.yaml",
        "deploy/keys/approver.pem",
        "policy/gate.rego",
        "src/pkb/table/x.json",
        "evidence/a.json",
        "a/attestations/b.yaml",
        "trust-root.json",
        "deploy\\a.yaml",
        "deploy/a\n.yaml",
        "",
    ],
)
def test_rule_21_everything_else_may_not(path):
    assert not may_be_patched(path)


def test_test_files_are_known_by_their_names():
    assert all(is_test(path) for path in ("tests/a.py", "a/test_b.py", "pkg/x_test.go", "src/a.spec.ts", "conftest.py"))
    assert not any(is_test(path) for path in ("storefront/quotes.py", "contest/a.py", "latest.py"))
