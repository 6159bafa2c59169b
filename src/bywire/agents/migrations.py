"""Migrations by path and text: what changes data or schema, and whether the file itself says how to go back.

Heuristics, and they fail closed: what is not recognisably reversible is called irreversible, and a person decides.
"""

import re
from collections.abc import Callable, Iterable

from bywire.evidence.deliverables import Migration
from bywire.evidence.path_pattern import matches

TEXT_BYTES_MAX = 1_048_576
_PATHS = (
    "**/migrations/**",
    "**/migration/**",
    "**/migrate/**",
    "**/alembic/versions/**",
    "**/*.sql",
    "**/flyway/**",
    "**/liquibase/**",
)
_NOT_MIGRATIONS = ("**/__init__.py", "**/*.md")
_DESTROYS = re.compile(
    r"\b(drop\s+(table|column|schema|database|type)|truncate|delete\s+from|drop_table|drop_column|remove_column"
    r"|DeleteModel|RemoveField|rename_table)\b",
    re.IGNORECASE,
)
_DOWN_SECTION = re.compile(
    r"^\s*--\s*(migrate:down|\+goose\s+Down|\+migrate\s+Down)\b.*$", re.IGNORECASE | re.MULTILINE
)
_DOWN_PYTHON = re.compile(r"^def downgrade\([^)]*\)[^:]*:\s*\n((?:[ \t]+.*\n?|\s*\n)+)", re.MULTILINE)
_EMPTY_BODY = re.compile(r"^\s*(?:(?:\"\"\".*?\"\"\"|#[^\n]*)\s*)*(pass|raise\b[^\n]*|\.\.\.)\s*$", re.DOTALL)
_RUN_CODE = re.compile(r"\bRun(Python|SQL)\(\s*[^,()]+\s*\)")


def is_migration(path: str) -> bool:
    """Whether `path` looks like a schema or data migration."""
    return matches(path, _PATHS) and not matches(path, _NOT_MIGRATIONS)


def migrations_among(paths: Iterable[str], read: Callable[[str], bytes | None]) -> list[Migration]:
    """Every migration among changed `paths`, sorted; `read` gives the head's bytes, None for a deleted path."""
    known = sorted(path for path in paths if is_migration(path))
    return [Migration(path, *_judge(path, read)) for path in known if not path.endswith(".down.sql")]


def _judge(path: str, read: Callable[[str], bytes | None]) -> tuple[bool, str]:
    data = read(path)
    if data is None:
        return False, "the migration was deleted; databases that ran it cannot go back"
    if len(data) > TEXT_BYTES_MAX:
        return False, "too large to judge"
    up, down = _halves(path, data.decode("utf-8", "replace"), read)
    destroys = _DESTROYS.search(up)
    if destroys:
        return False, f"it destroys data: {destroys.group(0).lower()}"
    if not down.strip():
        return False, "it does not say how to go back"
    return True, "it says how to go back and destroys nothing on the way there"


def _halves(path: str, text: str, read: Callable[[str], bytes | None]) -> tuple[str, str]:
    """(forward part, backward part) of a migration; an empty backward part means none was found."""
    if path.endswith(".up.sql"):
        return text, (read(path.removesuffix(".up.sql") + ".down.sql") or b"").decode("utf-8", "replace")
    section = _DOWN_SECTION.search(text)
    if path.endswith(".sql"):
        return (text[: section.start()], text[section.end() :]) if section else (text, "")
    python_down = _DOWN_PYTHON.search(text)
    if python_down:
        body = python_down.group(1)
        return text[: python_down.start()], "" if _EMPTY_BODY.match(body) else body
    # Django writes the way back itself, except for code it is not given.
    if "migrations.Migration" in text and not _RUN_CODE.search(text):
        return text, "derived by the framework"
    return text, ""
