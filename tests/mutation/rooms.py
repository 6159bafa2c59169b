"""Which tests must notice a change of which room. Globs, so that a new test file counts at once."""

from pathlib import Path

KILLED_MIN = 0.95
# room: (sources, tests). Tests that start other processes see no mutant there, so they are not asked.
ROOMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "seal": (("src/bywire/seal/*.py",), ("tests/unit/seal/test_*.py",)),
    "ledger": (
        ("src/bywire/ledger/*.py",),
        ("tests/unit/ledger/test_*.py", "tests/conformance/test_merkle_vectors.py", "tests/contract/test_ledger_*.py"),
    ),
    "policy.engine": (
        ("src/bywire/policy/engine/*.py",),
        (
            "tests/unit/policy/test_agent_policies*.py",
            "tests/unit/policy/test_canonical_input*.py",
            "tests/unit/policy/test_conditions*.py",
            "tests/unit/policy/test_examination*.py",
            "tests/unit/policy/test_malformed_questions*.py",
            "tests/unit/policy/test_policy_engine*.py",
            "tests/unit/policy/test_reads*.py",
        ),
    ),
    "approvals": (
        ("src/bywire/approvals/*.py",),
        ("tests/unit/approvals/test_*.py", "tests/contract/test_approval_store.py"),
    ),
    "gateway": (
        ("src/bywire/gateway/*.py",),
        ("tests/unit/gateway/test_*.py", "tests/flow/test_door*.py", "tests/flow/test_hostile_door.py"),
    ),
}


def expanded(root: Path, patterns: tuple[str, ...]) -> list[str]:
    """The files that the patterns match, as paths below `root`."""
    return sorted({str(path.relative_to(root)) for pattern in patterns for path in root.glob(pattern)})
