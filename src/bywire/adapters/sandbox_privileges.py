"""Entering namespaces, choosing the uid and giving up every privilege, in the order in which the kernel lets it happen.

Sources: capabilities(7), user_namespaces(7), mount_setattr(2) for mapped mounts, setrlimit(2).
"""

import contextlib
import os
import resource
from pathlib import Path

from bywire.adapters import sandbox_linux as linux
from bywire.adapters.sandbox_seccomp import filter_program
from bywire.adapters.sandbox_spec import LaunchSpec

_CAPABILITIES_MAX = 64
# NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each with its lock (capabilities(7)); KEEP_CAPS only locked.
_SECURE_BITS = 0b1110_1111
_OPEN_FILES_MAX = 4096


def enter_namespaces(spec: LaunchSpec) -> int:
    """Leave the host's namespaces. Returns a descriptor of the namespace that maps the working directory, or -1."""
    flags = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    if not spec.network:
        flags |= linux.CLONE_NEWNET
    uid, gid = os.getuid(), os.getgid()
    if uid != 0:
        linux.unshare(flags | linux.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
        return -1
    mapping = _mapping_namespace(spec) if spec.uid else -1
    linux.unshare(flags)
    return mapping


def _mapping_namespace(spec: LaunchSpec) -> int:
    """A user namespace in which the owner of the working directory is the sandbox's uid."""
    owner = Path(spec.cwd).stat()
    ready_read, ready_write = os.pipe()
    hold_read, hold_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(hold_write)
            linux.unshare(linux.CLONE_NEWUSER)
            os.write(ready_write, b"r")
            os.read(hold_read, 1)
        finally:
            os._exit(0)
    os.close(ready_write)
    try:
        if not os.read(ready_read, 1):
            return -1  # user namespaces are switched off; the uid is chosen without a mapping
        _write(f"/proc/{child}/uid_map", f"{owner.st_uid} {spec.uid} 1")
        _write(f"/proc/{child}/gid_map", f"{owner.st_gid} {spec.uid} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for descriptor in (ready_read, hold_read, hold_write):
            os.close(descriptor)
        os.waitpid(child, 0)


def can_work(spec: LaunchSpec) -> bool:
    """Whether the own uid can execute the command and use the working directory; tried in a throw-away process."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    code = 1
    try:
        os.setgroups([])
        os.setresgid(spec.uid, spec.uid, spec.uid)
        os.setresuid(spec.uid, spec.uid, spec.uid)
        os.chdir(spec.cwd)
        usable = os.access(".", os.R_OK | os.X_OK | (os.W_OK if spec.writable else 0))
        code = 0 if usable and _executable(spec) else 1
    finally:
        os._exit(code)


def _executable(spec: LaunchSpec) -> bool:
    name = spec.argv[0]
    places = [name] if "/" in name else [f"{entry}/{name}" for entry in spec.env["PATH"].split(":")]
    return any(Path(place).is_file() and os.access(place, os.X_OK) for place in places)


def give_scratch(spec: LaunchSpec, uid: int) -> None:
    """Make the scratch directories the property of the uid that will use them."""
    scratch = Path(spec.scratch)
    for place in (scratch, scratch / "home", scratch / "tmp"):
        os.chown(place, uid, -1)


def drop_privileges(uid: int) -> None:
    """Give up capabilities (bounding set too), other ids, and the ability to gain any of it back."""
    linux.prctl(linux.PR_SET_SECUREBITS, _SECURE_BITS)
    for capability in range(_CAPABILITIES_MAX):
        with contextlib.suppress(OSError):  # EINVAL: beyond the last capability this kernel knows
            linux.prctl(linux.PR_CAPBSET_DROP, capability)
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    program = filter_program()
    if program is not None:
        linux.install_seccomp(program)


def limit_resources(spec: LaunchSpec) -> None:
    """Set soft and hard limits alike, so that the command cannot raise them."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: spec.file_limit_bytes,
        resource.RLIMIT_NPROC: spec.process_limit,
        resource.RLIMIT_AS: spec.memory_limit_bytes,
        resource.RLIMIT_NOFILE: _OPEN_FILES_MAX,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        bounded = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        # macOS cannot limit the address space; the level reported there says so.
        with contextlib.suppress(ValueError):
            resource.setrlimit(kind, (bounded, bounded))


def _write(path: str, text: str) -> None:
    with Path(path).open("w", encoding="ascii") as file:  # one write call, as these files demand
        file.write(text)
