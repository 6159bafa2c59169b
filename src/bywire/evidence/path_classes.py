"""What a path is, judged by its name alone: risk classes, tests, documents, and what a patch never writes.

The table of high-risk classes is the policy bundle's (name -> regular expression): passed in, never repeated here.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from bywire.evidence.path_pattern import matches

INTENT_PATH = "bywire.yaml"
PathClasses = Mapping[str, str]

TESTS = (
    "test/**",
    "tests/**",
    "**/tests/**",
    "**/__tests__/**",
    "**/test_*.py",
    "**/*_test.py",
    "**/conftest.py",
    "**/*_test.go",
    "**/*.test.*",
    "**/*.spec.*",
)
DOCUMENTS = ("docs/**", "**/*.md", "**/*.rst", "**/*.adoc", "LICENSE*", "NOTICE*", "**/.gitignore")
NEVER_PATCHED = (
    INTENT_PATH,
    ".*/**",
    "**/.git/**",
    "**/.gitlab-ci.yml",
    "**/Jenkinsfile",
    "**/action.y*ml",
    "**/keys/**",
    "**/*.pem",
    "**/*.key",
    "**/*.pub",
    "**/*.rego",
    "**/*.jsonl",
    "**/CODEOWNERS",
    "**/attestations/**",
    "**/evidence/**",
    "**/operator.yaml",
    "**/pkb/**",
    "**/policies/**",
    "**/policy/**",
    "**/provenance/**",
    "**/reports/**",
    "**/trust*.json",
)


def classes_of(path: str, classes: PathClasses) -> tuple[str, ...]:
    """The classes `path` belongs to, sorted."""
    return tuple(sorted(name for name, pattern in classes.items() if _compiled(pattern).search(path)))


def paths_by_class(paths: Iterable[str], classes: PathClasses) -> dict[str, list[str]]:
    """The classes that `paths` touch, each with its paths, sorted."""
    grouped: dict[str, list[str]] = {}
    for path in sorted(paths):
        for name in classes_of(path, classes):
            grouped.setdefault(name, []).append(path)
    return dict(sorted(grouped.items()))


def is_test(path: str) -> bool:
    """Whether `path` looks like a test or its support."""
    return matches(path, TESTS)


def is_document(path: str) -> bool:
    """Whether `path` is prose that nothing executes."""
    return matches(path, DOCUMENTS)


def may_be_patched(path: str) -> bool:
    """Whether a patch may write `path`: desired state only, never evidence, keys, policy or CI (RULES 21)."""
    parts = path.split("/")
    relative = all(part not in {"", ".", ".."} for part in parts) and "\\" not in path and path.isprintable()
    return relative and not matches(path, NEVER_PATCHED)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
