"""Looks at a working copy, within bounds and without running anything in it, and returns what `bywire init` can use."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bywire.adapters import yaml_file
from bywire.adapters.git_repository import GitRepository
from bywire.config import asset_manifest, json_document
from bywire.config.detect_commands import commands, languages
from bywire.config.detect_start import Start
from bywire.config.findings import Findings, FoundNames, Sources
from bywire.config.reading import path_problem
from bywire.config.service_intent import NAME, OWNER
from bywire.model.change import Author
from bywire.model.errors import ConfigError

PATHS_MAX = 20_000
DEPTH_MAX = 6
TEXTS_MAX = 600
TEXT_BYTES_MAX = 65_536

_SKIPPED = frozenset(
    ("node_modules", "vendor", "target", "dist", "build", "__pycache__", "venv", "site-packages", "testdata", "reports")
)
_READ_NAMES = frozenset(
    (
        "Procfile", "Dockerfile", "Containerfile", "Makefile", "makefile", "GNUmakefile", "package.json", "CODEOWNERS",
        "pyproject.toml", "setup.cfg", "tox.ini",
    )
)  # fmt: skip
_READ_SUFFIXES = (".yaml", ".yml", ".json", ".py", ".js", ".ts", ".go", ".rs", ".java", ".rb", ".php", ".cs", ".txt")
_COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_CODEOWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
_BASES = ("main", "master", "trunk", "develop")


def scan(path: Path) -> Findings:
    """Findings about the repository that holds `path`. Raises ConfigError `not_a_repository`."""
    repository = GitRepository(path)
    sources = _read(repository.root)
    notes: list[str] = []
    compose = _compose(sources, notes)
    main = _main_service(compose, repository.root.name)
    start = Start(sources, main)
    found = commands(sources)
    user = repository.user()
    return Findings(
        service=_service_name(repository.root.name),
        base_branch=_base_branch(repository),
        languages=languages(sources),
        build=found.get("build"),
        lint=found.get("lint"),
        test=found.get("test"),
        start=start.command,
        health=start.health,
        port=start.port,
        owners=_owners(sources, user),
        dependencies=_dependencies(main),
        manifests=_manifests(sources, notes),
        assets=_assets(sources),
        user=user,
        notes=(*notes, *start.notes),
    )


def _read(root: Path) -> Sources:
    paths: list[str] = []
    texts: dict[str, str] = {}
    for path in _walk(root):
        if len(paths) >= PATHS_MAX:
            break
        paths.append(path)
        name = path.rpartition("/")[2]
        if len(texts) < TEXTS_MAX and (name in _READ_NAMES or name.endswith(_READ_SUFFIXES)):
            texts[path] = _text(root / path)
    return Sources(tuple(paths), texts)


def _walk(root: Path) -> Iterator[str]:
    """Relative paths of regular files, shallow ones first; hidden and generated directories are skipped."""
    level = [root]
    for _ in range(DEPTH_MAX):
        deeper: list[Path] = []
        for directory in level:
            for entry in _entries(directory):
                if entry.is_file(follow_symlinks=False):
                    yield Path(entry.path).relative_to(root).as_posix()
                elif entry.is_dir(follow_symlinks=False) and _is_walked(entry.name):
                    deeper.append(Path(entry.path))
        level = deeper


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return sorted(found, key=lambda item: item.name)
    except PermissionError:
        return []


def _is_walked(name: str) -> bool:
    return name not in _SKIPPED and (not name.startswith(".") or name in (".github", ".gitlab", ".k8s"))


def _text(path: Path) -> str:
    try:
        return yaml_file.read_bytes(path, bytes_max=TEXT_BYTES_MAX)[:TEXT_BYTES_MAX].decode("utf-8", "replace")
    except ConfigError:
        # A file that cannot be read is a file that was not found; init says what it found, not what it missed.
        return ""


def _service_name(directory: str) -> str:
    slug = re.sub(r"[^a-z0-9-]+", "-", directory.lower()).strip("-")[:63]
    return slug if re.fullmatch(NAME, slug) else "service"


def _base_branch(repository: GitRepository) -> str:
    branches = repository.branches()
    known = next((name for name in _BASES if name in branches), "")
    return known or next(iter(branches), "main")


def _compose(sources: Sources, notes: list[str]) -> Mapping[str, Any]:
    name = sources.has(*_COMPOSE)
    if not name:
        return {}
    try:
        value = yaml_file.load(sources.text(name).encode(), name)
    except ConfigError as error:
        notes.append(f"the compose file was not used: {error.message}")
        return {}
    services = value.get("services") if isinstance(value, dict) else None
    return services if isinstance(services, dict) else {}


def _main_service(services: Mapping[str, Any], directory: str) -> Mapping[str, Any]:
    """The compose service that is this repository: named like it, else the first one that is built here."""
    built = {name: item for name, item in services.items() if isinstance(item, dict) and "build" in item}
    return built.get(directory) or next(iter(built.values()), {})


def _dependencies(main: Mapping[str, Any]) -> FoundNames | None:
    wanted = main.get("depends_on")
    names = [name for name in wanted if isinstance(name, str)] if isinstance(wanted, list | dict) else []
    valid = tuple(dict.fromkeys(name for name in names if re.fullmatch(NAME, name)))
    return FoundNames(valid, "compose file") if valid else None


def _owners(sources: Sources, user: Author | None) -> FoundNames | None:
    source = next((name for name in _CODEOWNERS if sources.text(name)), "")
    for line in sources.text(source).splitlines():
        words = line.partition("#")[0].split()
        # The first rule is the default one by convention; an owner that the format cannot carry is left out.
        owners = tuple(dict.fromkeys(word for word in words[1:] if re.fullmatch(OWNER, word)))
        if owners:
            return FoundNames(owners[:20], source)
    if user is not None and re.fullmatch(OWNER, user.name):
        return FoundNames((user.name,), "git config user.name")
    return None


def _manifests(sources: Sources, notes: list[str]) -> str:
    """The directory, nearest to the root, whose YAML describes Kubernetes objects."""
    found = sorted(
        {
            path.rpartition("/")[0]
            for path, text in sources.texts.items()
            if path.endswith((".yaml", ".yml"))
            and re.search(r"^apiVersion:", text, re.MULTILINE)
            and re.search(r"^kind:", text, re.MULTILINE)
        },
        key=lambda directory: (directory.count("/"), directory),
    )
    if "" in found:
        notes.append("Kubernetes manifests at the repository's root were not used; move them into a directory")
    if any("{{" in sources.text(path) for path in sources.paths if "/templates/" in path):
        notes.append("Helm templates were not used; render them into a directory of plain manifests")
    return next((item for item in found if item and not path_problem(item) and "/templates" not in item), "")


def _assets(sources: Sources) -> tuple[str, ...]:
    found = []
    for path, text in sources.texts.items():
        if not path.endswith(".json") or '"assets"' not in text or path_problem(path):
            continue
        try:
            asset_manifest.parse(json_document.load(text.encode(), path), path)
        except ConfigError:
            continue  # some other JSON file that happens to speak of assets
        found.append(path)
    return tuple(sorted(found))[:32]
