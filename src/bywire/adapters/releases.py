"""Artifacts by digest on disk: the packed bytes, and the unpacked tree that an instance runs from."""

import os
import stat
from pathlib import Path

from bywire.adapters.removal import remove_tree
from bywire.evidence.artifact import ArtifactFile, unpack
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

    def holds(self, digest: str) -> bool:
        """Whether the packed bytes of a release are here and have that digest; looks only."""
        packed = self._directory / f"{digest}.tar"
        return packed.is_file() and sha256_hex(packed.read_bytes()) == digest

    def tree(self, digest: str) -> Path:
        """The unpacked release, the same file for file as bytes that are checked; EvidenceError `artifact_missing`."""
        packed = self._directory / f"{digest}.tar"
        if not packed.is_file():
            raise EvidenceError(
                f"artifact {digest[:12]} is not in the store", code="artifact_missing", next_step="deliver it again"
            )
        files = unpack(packed.read_bytes(), digest)
        tree = self._directory / digest
        if not _holds(tree, files):
            partial = self._directory / f"{digest}.unpacking"
            remove_tree(partial)
            for file in files:
                path = partial / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
                path.chmod(0o755 if file.executable else 0o644)
            if tree.exists():  # a running instance may still have it open: moved aside, not emptied
                aside = self._directory / f"{digest}.replaced"
                remove_tree(aside)
                tree.rename(aside)
            partial.rename(tree)
        return tree


def _holds(tree: Path, files: tuple[ArtifactFile, ...]) -> bool:
    """Whether `tree` is exactly `files`: a crash, or a process of this user, may have changed what was unpacked."""
    if tree.is_symlink() or not tree.is_dir():
        return False
    found = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_symlink() or path.is_file()}
    return found.keys() == {file.path for file in files} and all(_is(found[file.path], file) for file in files)


def _is(path: Path, file: ArtifactFile) -> bool:
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode) or info.st_size != len(file.content):
        return False
    return bool(info.st_mode & 0o111) == file.executable and path.read_bytes() == file.content
