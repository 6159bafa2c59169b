"""The file system that a sandboxed command sees.

The host is read-only, homes and secrets covered; /tmp, /dev and /proc are private.

Runs inside a fresh mount namespace, before capabilities are dropped. Afterwards the command can neither unmount a
cover (no capability, and the system call filter refuses) nor reach what lies below it by another name (`/proc` shows
only its own processes).
"""

import os
import stat
from pathlib import Path

from bywire.adapters import sandbox_linux as linux
from bywire.adapters.sandbox_privileges import can_work
from bywire.adapters.sandbox_spec import LaunchSpec

_DEVICES = ("null", "zero", "full", "random", "urandom")
_READ_ONLY = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
_OWN = linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
_SHARED_MEMORY = "/dev/shm"  # noqa: S108  the private one, just mounted
_SHARED_MEMORY_BYTES = 268_435_456


def build_view(spec: LaunchSpec, user_namespace: int) -> int:
    """Build the view of `spec`. Returns the uid that the command gets.

    `user_namespace` is a descriptor of the namespace that maps the working directory's owner to the own uid, or -1.
    Raises `OSError` when any part cannot be built: a half-built view is never used.
    """
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    devices = {name: linux.open_tree(f"/dev/{name}") for name in _DEVICES}
    for tree in devices.values():  # read-only binds the inode (no chmod), not what is written to the device
        linux.set_tree_attributes(tree, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID)
    kept = _kept_trees(spec)
    plain, mapped = _working_trees(spec, user_namespace)
    linux.set_path_attributes("/", _READ_ONLY, recursive=True)
    keep = (*kept, spec.cwd)
    covers = _cover_places(spec, keep)
    for path in covers:
        _mount_tmpfs(path, "0755")
    for path in sorted(kept, key=len):
        _attach(kept[path], path)
    uid = _attach_working_directory(spec, plain, mapped)
    _hide_the_rest(spec, keep)
    _mount_devices(devices)
    linux.mount("proc", "/proc", "proc", linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    for path in covers:
        if path not in keep and path != "/tmp":  # noqa: S108  the private one, just mounted
            linux.set_path_attributes(path, _READ_ONLY, recursive=False)
    return uid


def _kept_trees(spec: LaunchSpec) -> dict[str, int]:
    """Detached copies, taken before anything is covered, of what must stay reachable beside the working directory."""
    kept: dict[str, int] = {}
    for path in spec.expose:
        if (_below_any(path, spec.covers) or _below_any(path, spec.hide)) and not _below(path, spec.cwd):
            kept[path] = linux.open_tree(path)
            linux.set_tree_attributes(kept[path], _READ_ONLY)
    kept[spec.scratch] = linux.open_tree(spec.scratch)
    linux.set_tree_attributes(kept[spec.scratch], _OWN)
    return kept


def _working_trees(spec: LaunchSpec, user_namespace: int) -> tuple[int, int]:
    """The working directory as it is, and with its owner mapped to the own uid (-1 where the file system cannot)."""
    attributes = _OWN if spec.writable else _READ_ONLY
    plain = linux.open_tree(spec.cwd)
    linux.set_tree_attributes(plain, attributes)
    if user_namespace < 0:
        return plain, -1
    mapped = linux.open_tree(spec.cwd)
    try:
        linux.set_tree_attributes(mapped, attributes | linux.MOUNT_ATTR_IDMAP, user_namespace=user_namespace)
    except OSError:
        os.close(mapped)
        return plain, -1
    return plain, mapped


def _attach_working_directory(spec: LaunchSpec, plain: int, mapped: int) -> int:
    """Attach the working directory for the own uid where that uid can do the work, else for the caller's.

    Returns the uid.
    """
    caller = os.getuid()
    if mapped >= 0:
        _attach(mapped, spec.cwd)
        if can_work(spec):
            return spec.uid
        linux.unmount(spec.cwd)
    _attach(plain, spec.cwd)
    return spec.uid if caller == 0 and spec.uid and can_work(spec) else caller


def _cover_places(spec: LaunchSpec, kept: tuple[str, ...]) -> list[str]:
    """Directories replaced by an empty one, parents first.

    The standing covers, hidden parents of what is kept, and private parents that the own uid could not pass.
    """
    parents = [path for path in spec.hide if any(_below(keep, path) for keep in kept)]
    if spec.uid:
        ancestors = {str(parent) for keep in kept for parent in Path(keep).parents}
        parents += [path for path in ancestors if not Path(path).stat().st_mode & stat.S_IXOTH]
    places = {path for path in (*spec.covers, *parents) if Path(path).is_dir()}
    outermost = (path for path in places if not any(path != other and _below(path, other) for other in places))
    return sorted(outermost, key=len)


def _hide_the_rest(spec: LaunchSpec, kept: tuple[str, ...]) -> None:
    for path in sorted(spec.hide, key=len):
        if any(_below(keep, path) for keep in kept) or not os.path.lexists(path):
            continue
        if Path(path).is_dir():
            _mount_tmpfs(path, "0000")
            linux.set_path_attributes(path, _READ_ONLY, recursive=False)
        else:
            _attach(linux.open_tree("/dev/null"), path)


def _mount_devices(devices: dict[str, int]) -> None:
    _mount_tmpfs("/dev", "0755")
    for name, tree in devices.items():
        _attach(tree, f"/dev/{name}", is_file=True)
    Path("/dev/fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path("/dev", name).symlink_to(f"/proc/self/fd/{number}")
    Path(_SHARED_MEMORY).mkdir()
    linux.mount(
        "tmpfs", _SHARED_MEMORY, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"mode=1777,size={_SHARED_MEMORY_BYTES}"
    )
    linux.set_path_attributes("/dev", linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID, recursive=False)


def _mount_tmpfs(path: str, mode: str) -> None:
    size = "1m"
    if path == "/tmp":  # noqa: S108  private to this sandbox
        mode, size = "1777", str(_SHARED_MEMORY_BYTES)
    linux.mount("tmpfs", path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"mode={mode},size={size}")


def _attach(tree: int, path: str, *, is_file: bool | None = None) -> None:
    if is_file is None:
        is_file = not stat.S_ISDIR(os.fstat(tree).st_mode)
    if not os.path.lexists(path):
        directory = Path(path).parent if is_file else Path(path)
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if is_file:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    linux.move_mount(tree, path)
    os.close(tree)


def _below(path: str, parent: str) -> bool:
    """Whether `path` is `parent` or lies below it."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def _below_any(path: str, parents: tuple[str, ...]) -> bool:
    return any(_below(path, parent) for parent in parents)
