"""Ways past the door that the host itself offers: engines, metadata, egress, privileges, neighbours, loose modes."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from bywire.adapters.surroundings import Surroundings, WayAround, exists, is_writable_socket, text

_ENGINES = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/buildkit/buildkitd.sock",
)
_METADATA = (("169.254.169.254", 80), ("fd00:ec2::254", 80))
_OUTSIDE = ("1.1.1.1", 443)
_METADATA_NAMES = (
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "ECS_CONTAINER_METADATA_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
    "IDENTITY_ENDPOINT",
    "GCE_METADATA_HOST",
)
_CLOUDS = re.compile(
    r"Amazon|Google|Microsoft Corporation|OpenStack|DigitalOcean|Hetzner|Alibaba|OracleCloud|Scaleway|Xen",
    re.IGNORECASE,
)
_METADATA_ROUTE = re.compile(r"^\S+\s+(?:FEA9FEA9|0000FEA9)\s", re.MULTILINE)
_DEFAULT_ROUTE = re.compile(r"^\S+\s+00000000\s", re.MULTILINE)
_ROOT_GROUPS = {"docker": "start a container that owns the host", "lxd": "start a container that owns the host",
                "incus-admin": "start a container that owns the host", "disk": "read and write every disk",
                "libvirt": "start a machine with the host's disks"}  # fmt: skip
_SUDO_GROUPS = ("sudo", "wheel", "admin")
PROCESSES_MAX = 4_096
_NEIGHBOURS_SHOWN = 6
_FILES_MAX = 512
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def host_around(around: Surroundings, operator: Path, repository: Path) -> tuple[WayAround, ...]:
    """Every way that the host offers and that can be seen from here."""
    return (
        *_engines(around),
        *_metadata(around),
        *_egress(around),
        *_privileges(around),
        *_control(operator),
        *_neighbours(around),
        *_loose(operator, repository),
    )


def _engines(around: Surroundings) -> Iterator[WayAround]:
    fix = "take it away from the user that runs agents; rootless engines still start containers past the door"
    places = [(around.place(place), place) for place in _ENGINES]
    places += [(around.home / ".docker/run/docker.sock", "~/.docker/run/docker.sock")]
    runtime = around.environment.get("XDG_RUNTIME_DIR", "")
    if runtime:
        places += [(Path(runtime) / "podman/podman.sock", "$XDG_RUNTIME_DIR/podman/podman.sock")]
        places += [(Path(runtime) / "docker.sock", "$XDG_RUNTIME_DIR/docker.sock")]
    seen: set[Path] = set()
    for path, shown in places:
        # /var/run is a link to /run: one socket is one way.
        if is_writable_socket(path) and path.resolve() not in seen:
            seen.add(path.resolve())
            yield WayAround("container engine socket", shown, fix)
    if around.environment.get("DOCKER_HOST"):
        yield WayAround("container engine elsewhere", "$DOCKER_HOST", "unset it where agents run")


def _metadata(around: Surroundings) -> Iterator[WayAround]:
    fix = "block it for the user that runs agents (firewall), or ask for a session token and a hop limit of 1"
    if around.connects is not None:
        for address, port in _METADATA:
            if around.connects(address, port):
                yield WayAround("cloud metadata", f"{address} answers", fix)
        return
    named = [f"${name}" for name in _METADATA_NAMES if around.environment.get(name)]
    if _METADATA_ROUTE.search(text(around.place("/proc/net/route"))):
        named.append("a route to 169.254.169.254")
    vendor = " ".join(
        text(around.place(f"/sys/class/dmi/id/{name}")).strip() for name in ("sys_vendor", "board_vendor")
    )
    if _CLOUDS.search(vendor):
        named.append(f"the machine is {vendor.strip()}")
    if named:
        yield WayAround("cloud metadata", f"likely: {', '.join(named)} (--probe asks it)", fix)


def _egress(around: Surroundings) -> Iterator[WayAround]:
    fix = "let only the gateway's user out, through a proxy with a list of destinations"
    if around.connects is not None:
        if around.connects(*_OUTSIDE):
            yield WayAround("open egress", f"{_OUTSIDE[0]}:{_OUTSIDE[1]} answers", fix)
    elif _DEFAULT_ROUTE.search(text(around.place("/proc/net/route"))):
        yield WayAround("open egress", "a default route; nothing was tried (--probe tries it)", fix)


def _privileges(around: Surroundings) -> Iterator[WayAround]:
    for group in sorted(around.groups & _ROOT_GROUPS.keys()):
        yield WayAround(f"member of {group}", f"may {_ROOT_GROUPS[group]}", f"take the user out of the group {group}")
    if around.uid == 0:
        return
    if around.sudoes is not None:
        if around.sudoes():
            yield WayAround("sudo without a password", "sudo -n", "ask for a password, or run agents as another user")
    else:
        for group in sorted(around.groups & set(_SUDO_GROUPS)):
            where = f"member of {group}; whether sudo asks for a password was not tried (--probe)"
            yield WayAround("sudo", where, "run agents as a user that sudo does not know")


def _control(operator: Path) -> Iterator[WayAround]:
    if is_writable_socket(operator / "target" / "target.sock"):
        yield WayAround(
            "target's control socket",
            str(operator / "target" / "target.sock"),
            "run agents as another user; what was moved through it shows in: bywire reconcile",
        )


def _neighbours(around: Surroundings) -> Iterator[WayAround]:
    """Other processes of this user: each of them can read the operator directory and sign with its keys."""
    running = dict(_processes(around))
    line, seen = around.process, set()
    while line in running and line not in seen:
        seen.add(line)
        line = running[line][0]
    others = sorted({name for number, (_, name) in running.items() if number not in seen})
    if others:
        shown = ", ".join(others[:_NEIGHBOURS_SHOWN]) + (", ..." if len(others) > _NEIGHBOURS_SHOWN else "")
        count = len(running.keys() - seen)
        yield WayAround(
            "keys readable by the same user",
            f"{count} other processes of this user run now ({shown})",
            "run agents as another user; bywire approvals protect --as PERSON for approvers' keys",
        )


def _processes(around: Surroundings) -> Iterator[tuple[int, tuple[int, str]]]:
    """(process, (parent, name)) of this user's processes; kernel threads, which have no command line, left out."""
    try:
        places = [path for path in around.place("/proc").iterdir() if path.name.isdigit()][:PROCESSES_MAX]
    except OSError:
        return
    for place in places:
        fields = dict(line.partition(":")[::2] for line in text(place / "status").splitlines())
        uids = fields.get("Uid", "").split()
        if uids[1:2] == [str(around.uid)] and text(place / "cmdline"):
            yield int(place.name), (int(fields.get("PPid", "0")), fields.get("Name", "?").strip())


def _loose(operator: Path, repository: Path) -> Iterator[WayAround]:
    """Policy, configuration and repository that somebody else may write."""
    policy = operator / "policy"
    inside = [policy, *sorted(policy.rglob("*"))[:_FILES_MAX]] if exists(policy) else []
    for path in [*inside, operator / "operator.yaml", operator / "trust.json"]:
        if _mode(path) & _OTHERS_WRITE:
            yield WayAround("policy that others may write", str(path), f"chmod go-w {path}")
    for path in (*operator.parents, repository, repository / ".git"):
        mode = _mode(path)
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield WayAround("directory that everybody may write", str(path), f"chmod o-w {path}")


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.lstat().st_mode) if not path.is_symlink() else 0
    except OSError:
        return 0
