"""Writing a policy into a directory: only what differs, the manifest last, and a signature that no longer fits goes.

The manifest carries the revision, so a directory that was left half written still has the old one, and no policy of
that revision is taken again.
"""

from collections.abc import Mapping
from pathlib import Path

from bywire.adapters.durable_file import sync_directory, write_whole
from bywire.model.errors import ConfigError
from bywire.policy.bundle import MANIFEST
from bywire.policy.endorsement import SIGNATURE_FILE


def write_policy(directory: Path, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> None:
    """Turn the policy `before`, which is in the directory, into `after`. ConfigError `policy_unwritable`."""
    changed = {name: data for name, data in after.items() if before.get(name) != data}
    try:
        for name in before.keys() - after.keys():
            (directory / name).unlink(missing_ok=True)
        if changed or before.keys() - after.keys():
            (directory / SIGNATURE_FILE).unlink(missing_ok=True)
        for name in sorted(changed, key=lambda name: (name == MANIFEST, name)):
            place = directory / name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(place, changed[name])
            sync_directory(place.parent)
    except OSError as error:
        raise ConfigError(
            f"the policy in {directory} cannot be written: {error.strerror}",
            code="policy_unwritable",
            next_step="check the directory's permissions and the disk, then compile again",
        ) from error


def check_empty(directory: Path) -> None:
    """Refuse to write a policy where something else is. ConfigError `policy_unwritable`."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(
            f"{directory} is not an empty directory",
            code="policy_unwritable",
            next_step="name a directory that does not exist yet",
        )
