"""Strict readers of what a service commits: manifests, asset manifests, and its intent at a revision."""

from collections.abc import Sequence
from typing import Any

from bywire.adapters import yaml_file
from bywire.adapters.git_repository import GitRepository
from bywire.config import asset_manifest, json_document, service_intent
from bywire.evidence.ports import GovernedAsset
from bywire.model.change import Change
from bywire.model.errors import ConfigError
from bywire.model.intent import ServiceIntent

INTENT_FILE = "bywire.yaml"


class ServiceDocuments:
    """`agents.ports.Documents`."""

    def manifests(self, data: bytes, source: str) -> Sequence[Any]:
        """Every Kubernetes document of a file."""
        if source.endswith(".json"):
            return (json_document.load(data, source),)
        return yaml_file.load_documents(data, source)

    def assets(self, data: bytes, source: str) -> Sequence[GovernedAsset]:
        """The assets of one manifest."""
        return asset_manifest.parse(json_document.load(data, source), source).assets


class GitIntents:
    """`delivery.ports.IntentReader`: intent from the protected base revision; a branch may only tighten (RULES 1)."""

    def __init__(self, repository: GitRepository) -> None:
        self._repository = repository

    def intent(self, change: Change) -> tuple[ServiceIntent, tuple[str, ...]]:
        """(intent in force, fields the branch tried to loosen). ConfigError `intent_missing` when the base has none."""
        protected = change.branch == change.base_branch
        base = self.at(change.head_commit if protected else change.base_commit, change.base_branch)
        source = f"{change.branch}:{INTENT_FILE}"
        data = self._repository.read(change.head_commit, INTENT_FILE)
        if data is None:
            return service_intent.read_branch(base, None, source)
        return yaml_file.parse(data, source, lambda value, name: service_intent.read_branch(base, value, name))

    def at(self, commit: str, name: str) -> ServiceIntent:
        """The intent at one commit."""
        data = self._repository.read(commit, INTENT_FILE)
        if data is None:
            raise ConfigError(
                f"{name} has no {INTENT_FILE}",
                code="intent_missing",
                next_step=f"bywire init, then commit it on {name}",
            )
        return yaml_file.parse(data, f"{name}:{INTENT_FILE}", service_intent.parse)
