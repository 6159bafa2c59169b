"""The Linux system calls that isolation needs, through ctypes, so that no external binary has to be trusted.

Every wrapper raises `OSError` that names the call. Mount calls of Linux 5.12 (`open_tree`, `move_mount`,
`mount_setattr`) have one number on every architecture (include/uapi/asm-generic/unistd.h).
"""

import ctypes
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 16384
MS_PRIVATE = 1 << 18

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_IDMAP = 0x00100000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def _syscall(number: int, call: str, *arguments: object) -> int:
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments), call)


def unshare(flags: int) -> None:
    """Leave the parent's namespaces (unshare(2))."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def prctl(option: int, argument: int = 0) -> None:
    """Set one attribute of this process, with one integer argument (prctl(2))."""
    rest = (ctypes.c_ulong(0),) * 3
    _checked(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), *rest), f"prctl {option}")


def install_seccomp(program: bytes) -> None:
    """Install a classic BPF filter for this process and all its children (seccomp(2), mode filter)."""
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    rest = (ctypes.c_ulong(0),) * 2
    _checked(_libc.prctl(ctypes.c_int(PR_SET_SECCOMP), ctypes.c_ulong(2), header, *rest), "seccomp")


def drop_capabilities() -> None:
    """Empty the effective, permitted and inheritable sets (capset(2))."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, struct.pack("6I", *(0,) * 6)), "capset")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount a file system, or change one (mount(2))."""
    call = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _checked(call, f"mount {kind or source} on {target}")


def unmount(path: str) -> None:
    """Detach the topmost mount at `path` (umount2(2), MNT_DETACH)."""
    _checked(_libc.umount2(path.encode(), ctypes.c_int(2)), f"umount {path}")


def open_tree(path: str) -> int:
    """A detached copy of the mounts below `path`; the returned descriptor keeps it alive (open_tree(2))."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE
    return _syscall(_SYS_OPEN_TREE, f"open_tree {path}", ctypes.c_int(_AT_FDCWD), path.encode(), ctypes.c_uint(flags))


def move_mount(tree: int, target: str) -> None:
    """Attach a detached tree at an existing path (move_mount(2))."""
    _syscall(
        _SYS_MOVE_MOUNT, f"move_mount {target}",
        ctypes.c_int(tree), b"", ctypes.c_int(_AT_FDCWD), target.encode(), ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
    )  # fmt: skip


def set_tree_attributes(tree: int, attributes: int, *, user_namespace: int = 0) -> None:
    """Set `MOUNT_ATTR_*` on a whole detached tree (mount_setattr(2))."""
    _mount_setattr(tree, "", attributes, _AT_EMPTY_PATH | _AT_RECURSIVE, user_namespace)


def set_path_attributes(path: str, attributes: int, *, recursive: bool) -> None:
    """Set `MOUNT_ATTR_*` on the mount at `path`, and on those below it when `recursive` (mount_setattr(2))."""
    _mount_setattr(_AT_FDCWD, path, attributes, _AT_RECURSIVE if recursive else 0, 0)


def _mount_setattr(directory: int, path: str, attributes: int, flags: int, user_namespace: int) -> None:
    attr = struct.pack("4Q", attributes, 0, 0, user_namespace)
    _syscall(
        _SYS_MOUNT_SETATTR, f"mount_setattr {path}",
        ctypes.c_int(directory), path.encode(), ctypes.c_uint(flags), attr, ctypes.c_size_t(len(attr)),
    )  # fmt: skip
