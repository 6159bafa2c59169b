"""The immutable artifact: one tar whose bytes depend only on the paths, modes and contents of its files.

The first member lists every other one with its sha256, so that a reader checks before it believes. No times, owners or
links: the same files give the same digest on every machine.
"""

import io
import tarfile
from collections.abc import Iterable

import msgspec

from bywire.model.errors import EvidenceError
from bywire.seal import jcs
from bywire.seal.digest import same_digest, sha256_hex

LISTING = "bywire-artifact.json"
FILES_MAX = 10_000
FILE_BYTES_MAX = 64 * 1024 * 1024
ARTIFACT_BYTES_MAX = 256 * 1024 * 1024
PATH_CHARACTERS_MAX = 512
_FIX = "narrow `artifact.include` in bywire.yaml to what the service needs at run time"
_REFUSED = "do not start this artifact; build it again"


class ArtifactFile(msgspec.Struct, frozen=True):
    """One file: relative path with `/`, whether it is executable, its bytes."""

    path: str
    executable: bool
    content: bytes


class ListedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the listing; also the change set's artifact manifest."""

    path: str
    sha256: str
    bytes: int


class _Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    service: str
    files: list[ListedFile]


def listing_of(files: Iterable[ArtifactFile]) -> tuple[ListedFile, ...]:
    """What the artifact will hold, sorted by path."""
    return tuple(
        ListedFile(path=item.path, sha256=sha256_hex(item.content), bytes=len(item.content))
        for item in sorted(files, key=lambda item: item.path)
    )


def check_size(total_bytes: int) -> None:
    """Raise EvidenceError `artifact_refused` when contents of `total_bytes` are more than an artifact may hold."""
    if total_bytes > ARTIFACT_BYTES_MAX:
        raise _refuse("it is too large", _FIX)


def pack(service: str, files: Iterable[ArtifactFile]) -> bytes:
    """The artifact's bytes. Raises EvidenceError `artifact_refused` for unsafe paths or exceeded limits."""
    ordered = sorted(files, key=lambda item: item.path)
    _check_paths([item.path for item in ordered])
    check_size(sum(len(item.content) for item in ordered))
    listing = {
        "version": 1,
        "service": service,
        "files": [msgspec.to_builtins(item) for item in listing_of(ordered)],
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in (ArtifactFile(path=LISTING, executable=False, content=jcs.canonical(listing)), *ordered):
            member = tarfile.TarInfo(item.path)
            member.size = len(item.content)
            member.mode = 0o755 if item.executable else 0o644
            archive.addfile(member, io.BytesIO(item.content))
    return buffer.getvalue()


def unpack(data: bytes, digest: str) -> tuple[ArtifactFile, ...]:
    """Read an artifact whose sha256 must be `digest`, refusing everything `pack` would not have written.

    Raises EvidenceError `artifact_digest` or `artifact_refused` (links, devices, unsafe or repeated paths, contents
    that differ from the listing, limits).
    """
    if not same_digest(sha256_hex(data), digest):
        raise EvidenceError("the artifact has another digest", code="artifact_digest", next_step=_REFUSED)
    if len(data) > 2 * ARTIFACT_BYTES_MAX:
        raise _refuse("it is too large", _REFUSED)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            members = _read_all(archive)
        listing = msgspec.json.decode(members[0].content, type=_Listing) if members else None
    except (tarfile.TarError, msgspec.DecodeError, UnicodeError, OSError, ValueError, RecursionError) as error:
        raise _refuse(f"it cannot be read: {error}", _REFUSED) from error
    if listing is None or listing.version != 1 or members[0].path != LISTING:
        raise _refuse("it does not begin with its listing", _REFUSED)
    files = tuple(members[1:])
    _check_paths([item.path for item in files])
    if tuple(listing.files) != listing_of(files):
        raise _refuse("its files differ from its listing", _REFUSED)
    return files


def _read_all(archive: tarfile.TarFile) -> list[ArtifactFile]:
    members: list[ArtifactFile] = []
    total = 0
    for member in archive:
        total += member.size
        if len(members) > FILES_MAX or total > 2 * ARTIFACT_BYTES_MAX:
            raise _refuse("it holds too much", _REFUSED)
        members.append(_read(archive, member))
    return members


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> ArtifactFile:
    stream = archive.extractfile(member) if member.isreg() and member.size <= FILE_BYTES_MAX else None
    if stream is None:
        raise _refuse(f"{member.name[:80]!r} is not a plain file of bounded size", _REFUSED)
    return ArtifactFile(path=member.name, executable=bool(member.mode & 0o111), content=stream.read())


def _check_paths(paths: list[str]) -> None:
    if not 1 <= len(paths) <= FILES_MAX:
        raise _refuse(f"it holds {len(paths)} files; between 1 and {FILES_MAX} are possible", _FIX)
    known = set(paths)
    if len(known) != len(paths):
        raise _refuse("a path occurs twice", _REFUSED)
    for path in paths:
        parts = path.split("/")
        unsafe = any(part in {"", ".", ".."} for part in parts) or any(ord(character) < 32 for character in path)
        if unsafe or "\\" in path or len(path) > PATH_CHARACTERS_MAX or path == LISTING:
            raise _refuse(f"unsafe path {path[:80]!r}", _FIX)
        if any("/".join(parts[:depth]) in known for depth in range(1, len(parts))):
            raise _refuse(f"{path[:80]!r} lies below a file", _REFUSED)


def _refuse(why: str, next_step: str) -> EvidenceError:
    return EvidenceError(f"the artifact is refused: {why}", code="artifact_refused", next_step=next_step)
