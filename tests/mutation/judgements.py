"""What a killed run had judged, for the next run with the same file (--continue FILE): a line of JSON a change.

A noticed change is taken over while its source file and the test file that noticed it are the same bytes. That is an
approximation: another module that both use may have changed meanwhile, so it serves to continue, not to prove. What
was noticed by no single test (the import failed), and what nothing noticed, holds only while nothing that the tests
see has changed. The last line may be torn; of two lines about one change the later counts.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Judgement:
    """What noticed a change (None: nothing did), and whether all tests were asked, or those that reach it."""

    killer: str | None
    by_all: bool = False


class Digests:
    """Digests of files of one tree."""

    def __init__(self, root: Path, tests: list[str]) -> None:
        self._root = root
        self._tests = tests
        self._known: dict[str, str] = {}

    def of(self, path: str) -> str:
        """Of one file; "" when there is none."""
        if path not in self._known:
            file = self._root / path
            self._known[path] = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
        return self._known[path]

    @cached_property
    def everything(self) -> str:
        """Of the whole package, the tests asked, and all that supports tests."""
        support = {
            str(path.relative_to(self._root))
            for path in (self._root / "tests").rglob("*.py")
            if not path.name.startswith("test_")
        }
        sources = {str(path.relative_to(self._root)) for path in (self._root / "src" / "bywire").rglob("*.py")}
        parts = (f"{path} {self.of(path)}" for path in sorted(support | sources | set(self._tests)))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Judgements:
    """The judgements of one file; without a file nothing is known and nothing kept."""

    def __init__(self, file: Path | None, digests: Digests) -> None:
        self._file = file
        self._digests = digests
        self._lines: dict[str, dict[str, object]] = {}
        if file is not None and file.exists():
            text = file.read_text()
            for line in text.splitlines():
                self._read(line)
            if text and not text.endswith("\n"):
                file.write_text(f"{text}\n")

    def held(self, name: str, path: str) -> Judgement | None:
        """The judgement of an earlier run about this change of `path`, when it still holds."""
        line = self._lines.get(name)
        if line is None:
            return None
        found = Judgement(line["killer"], line["by_all"])
        return found if line["seen"] == self._seen(path, found.killer) else None

    def note(self, name: str, path: str, found: Judgement) -> None:
        """Keep one more judgement, at once."""
        if self._file is None:
            return
        line = {"name": name, "killer": found.killer, "by_all": found.by_all, "seen": self._seen(path, found.killer)}
        with self._file.open("a") as kept:
            kept.write(f"{json.dumps(line)}\n")

    def _read(self, line: str) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            return
        if isinstance(found, dict) and found.keys() >= {"name", "killer", "by_all", "seen"}:
            self._lines[found["name"]] = found

    def _seen(self, path: str, killer: str | None) -> list[str]:
        test = killer.partition("::") if killer else ("", "", "")
        return [self._digests.of(path), self._digests.of(test[0]) if test[1] else self._digests.everything]
