"""How a repository's service is started, where it listens and how it says that it is well. Pure.

Only argument lists are taken. A shell line with pipes, variables or quoting tricks is reported in a note instead:
bywire runs no shell, and guessing what one would do is how a wrong command gets trusted.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from bywire.config.detect_commands import package_runner, package_scripts
from bywire.config.findings import FoundCommand, FoundText, Sources

_SHELL = re.compile(r"[$`|&;<>*?~(){}\[\]!#\n]|^[A-Z_]+=")
_PROBE = re.compile(r"httpGet:(?:[^\S\n]*\n|\s+\{)(?:[^\n]*\n){0,3}?[^\n]*?\bpath:\s*[\"']?(/[A-Za-z0-9._~/-]{1,255})")
_CHECK = re.compile(r"https?://[^/\s\"']+(/[A-Za-z0-9._~/-]{1,255})")
_WELL_KNOWN = ("/healthz", "/readyz", "/health", "/ready", "/livez", "/_health", "/status", "/ping")
_DOCKERFILES = ("Dockerfile", "Containerfile")


class Start:
    """What was found about starting; `notes` say what was seen but cannot be used."""

    def __init__(self, sources: Sources, compose_service: Mapping[str, Any] | None) -> None:
        self.notes: list[str] = []
        self.command = next(self._commands(sources, compose_service or {}), None)
        self.health = _health(sources)
        self.port = _port(sources)

    def _commands(self, sources: Sources, compose_service: Mapping[str, Any]) -> Iterator[FoundCommand]:
        """In order of how plainly each says what production runs."""
        for line in sources.text("Procfile").splitlines():
            kind, _, text = line.partition(":")
            if kind.strip() == "web":
                yield from self._words(text.strip(), "Procfile")
        if "command" in compose_service:
            yield from self._words(compose_service["command"], "compose file")
        for name in _DOCKERFILES:
            yield from self._dockerfile(sources.text(name), name)
        if isinstance(package_scripts(sources).get("start"), str):
            yield FoundCommand((package_runner(sources), "start"), "package.json")
        yield from _entry_points(sources)

    def _dockerfile(self, text: str, source: str) -> Iterator[FoundCommand]:
        # Only the last stage's last ENTRYPOINT and CMD count; joined, as exec form joins them.
        joined = re.sub(r"\\\n", " ", text)
        parts: dict[str, str] = {}
        for word, rest in re.findall(r"^\s*(FROM|ENTRYPOINT|CMD)\s+(.*)$", joined, re.MULTILINE | re.IGNORECASE):
            if word.upper() == "FROM":
                parts = {}
            else:
                parts[word.upper()] = rest.strip()
        lists = [list(self._words(_exec_form(parts[word]), source)) for word in ("ENTRYPOINT", "CMD") if word in parts]
        if lists and all(lists):
            yield FoundCommand(tuple(word for found in lists for word in found[0].run), source)

    def _words(self, value: Any, source: str) -> Iterator[FoundCommand]:
        if isinstance(value, str):
            try:
                words = [] if _SHELL.search(value) else shlex.split(value)
            except ValueError:
                words = []
            if not words:
                self.notes.append(f"{source} starts the service through a shell; write it as an argument list")
                return
        else:
            words = value if isinstance(value, list) else []
        if words and all(isinstance(word, str) and word and "$" not in word and word.isprintable() for word in words):
            yield FoundCommand(tuple(words), source)


def _exec_form(text: str) -> Any:
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _entry_points(sources: Sources) -> Iterator[FoundCommand]:
    mains = sorted(path for path in sources.paths if re.fullmatch(r"(src/)?[A-Za-z_]\w*/__main__\.py", path))
    for path in mains:
        yield FoundCommand(("python", "-m", path.removeprefix("src/").partition("/")[0]), path)
    for name in ("app.py", "main.py", "server.py"):
        if sources.has(name):
            yield FoundCommand(("python", name), name)
    if sources.has("go.mod") and sources.has("main.go"):
        yield FoundCommand(("go", "run", "."), "main.go")
    if sources.has("Cargo.toml") and sources.has("src/main.rs"):
        yield FoundCommand(("cargo", "run", "--release"), "src/main.rs")


def _health(sources: Sources) -> FoundText | None:
    for path, text in sorted(sources.texts.items()):
        if path.endswith((".yaml", ".yml")) and (probe := _PROBE.search(text)):
            return FoundText(probe[1], path)
    for path in _DOCKERFILES:
        line = next((line for line in sources.text(path).splitlines() if line.upper().startswith("HEALTHCHECK")), "")
        if check := _CHECK.search(line):
            return FoundText(check[1], path)
    for known in _WELL_KNOWN:
        for path, text in sorted(sources.texts.items()):
            if f'"{known}"' in text or f"'{known}'" in text:
                return FoundText(known, path)
    return None


def _port(sources: Sources) -> FoundText | None:
    for path in _DOCKERFILES:
        if found := re.search(r"^\s*EXPOSE\s+(\d{1,5})", sources.text(path), re.MULTILINE | re.IGNORECASE):
            return FoundText(found[1], path)
    return None
