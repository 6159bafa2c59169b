"""A system call filter for what namespaces and lost capabilities do not cover.

It refuses new namespaces (where a process would regain capabilities), mounts, tracing, kernel keyrings (shared by uid
across namespaces), kernel attack surface that builds and services do not need, terminal input injection, and socket
families that a network namespace does not contain (vsock reaches a hypervisor). Source: seccomp(2), linux/filter.h;
numbers from asm/unistd.h.
"""

import errno
import os
import struct

# (x86_64, aarch64); None where the architecture never had the call.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "pidfd_getfd": (438, 438),
    "mknodat": (259, 33), "mknod": (133, None), "quotactl": (179, 60), "syslog": (103, 116),
}  # fmt: skip
_SPECIAL = {"clone": (56, 220), "clone3": (435, 435), "ioctl": (16, 29), "socket": (41, 198)}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NAMESPACE_FLAGS = 0x7E020080
_X32_BIT = 0x40000000
_SOCKET_FAMILIES = (1, 2, 10, 16)  # unix, inet, inet6, netlink
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000


def filter_program() -> bytes | None:
    """The filter for this machine, or None where its architecture is not in the table."""
    machine = os.uname().machine
    if machine not in _AUDIT_ARCH:
        return None
    column = 0 if machine == "x86_64" else 1
    denied = [number for pair in _NUMBERS.values() if (number := pair[column]) is not None]
    special = {name: pair[column] for name, pair in _SPECIAL.items()}
    code = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_LOAD, 0, 0, _NR),
        (_JGE, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for number in denied:
        code += [(_JEQ, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    # clone3 hides its flags behind a pointer; ENOSYS makes every C library fall back to clone.
    code += [(_JEQ, 0, 1, special["clone3"]), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    code += _argument_rule(
        special["clone"], _ARG0, [(_JSET, _NAMESPACE_FLAGS)], matched=_ERRNO | errno.EPERM, otherwise=_ALLOW
    )
    code += _argument_rule(
        special["ioctl"],
        _ARG1,
        [(_JEQ, value) for value in _TERMINAL_INJECTION],
        matched=_ERRNO | errno.EPERM,
        otherwise=_ALLOW,
    )
    code += _argument_rule(
        special["socket"], _ARG0, [(_JEQ, family) for family in _SOCKET_FAMILIES],
        matched=_ALLOW, otherwise=_ERRNO | errno.EAFNOSUPPORT,
    )  # fmt: skip
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _argument_rule(
    number: int, argument: int, tests: list[tuple[int, int]], *, matched: int, otherwise: int
) -> list[tuple[int, int, int, int]]:
    body = [(_LOAD, 0, 0, argument)]
    for operation, value in tests:
        body += [(operation, 0, 1, value), (_RETURN, 0, 0, matched)]
    body.append((_RETURN, 0, 0, otherwise))
    return [(_JEQ, 0, len(body), number), *body]
