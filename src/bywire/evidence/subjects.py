"""What statements are about: a commit, an artifact, an asset; each with one sha256 so that statements can be joined."""

from bywire.model.statement import Subject, subject
from bywire.seal.digest import sha256_hex


def source_digest(commit: str) -> str:
    """The sha256 that stands for a git commit: over its object id in hex, which itself pins the whole tree."""
    return sha256_hex(b"git-commit\x00" + commit.encode())


def source_subject(commit: str) -> Subject:
    """The subject of plan, change set, test and evaluation reports."""
    return subject(f"git+commit:{commit}", source_digest(commit))


def artifact_subject(service: str, digest: str) -> Subject:
    """The subject of SBOM, provenance and VSA of an artifact."""
    return subject(f"artifact:{service}", digest)


def asset_subject(path: str, digest: str) -> Subject:
    """The subject of an asset's provenance."""
    return subject(f"asset:{path}", digest)
