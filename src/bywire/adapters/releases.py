"""Artifacts by digest on disk: the packed bytes, and the unpacked tree that an instance runs from."""

import os
import shutil
from pathlib import Path

from bywire.evidence.artifact import unpack
from bywire.model.errors import EvidenceError
from bywire.seal.digest import sha256_hex


class Releases:
    """The artifact store of one workspace. A digest's tree exists only when its bytes had that digest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, artifact: bytes) -> str:
        """Keep an artifact; returns its sha256 hex."""
        digest = sha256_hex(artifact)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self._directory / f"{digest}.tar"
        if not target.exists():
            partial = target.with_suffix(".partial")
            with partial.open("wb") as file:
                file.write(artifact)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        return digest

    def tree(self, digest: str) -> Path:
        """The unpacked release. Unpacked anew from bytes that are checked; EvidenceError `artifact_missing`."""
        packed = self._directory / f"{digest}.tar"
        if not packed.is_file():
            raise EvidenceError(
                f"artifact {digest[:12]} is not in the store", code="artifact_missing", next_step="deliver it again"
            )
        files = unpack(packed.read_bytes(), digest)
        tree = self._directory / digest
        if not tree.is_dir():
            partial = self._directory / f"{digest}.unpacking"
            shutil.rmtree(partial, ignore_errors=True)
            for file in files:
                path = partial / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
                path.chmod(0o755 if file.executable else 0o644)
            partial.rename(tree)
        return tree
