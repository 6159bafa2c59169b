"""What a process of this user could reach without the door: looked at, never read."""

import os
import stat
from pathlib import Path

import msgspec

_TOKEN_WORDS = ("TOKEN", "SECRET", "PASSWORD", "API_KEY", "ACCESS_KEY", "CREDENTIALS", "PRIVATE_KEY")
_FILES = {
    "kubeconfig": ("~/.kube/config", "give agents a user without it, or a kubeconfig that may only read"),
    "cloud credentials (AWS)": ("~/.aws/credentials", "use short-lived credentials of the gateway alone"),
    "cloud credentials (GCP)": ("~/.config/gcloud", "use workload identity of the gateway alone"),
    "registry credentials": ("~/.docker/config.json", "keep push credentials with the builder alone"),
    "git credentials": ("~/.git-credentials", "use a credential helper of the gateway alone"),
    "netrc": ("~/.netrc", "remove it, or run agents as another user"),
    "SSH keys": ("~/.ssh/id_ed25519", "run agents as another user"),
}
_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock")


class WayAround(msgspec.Struct, frozen=True):
    """One way past the door that this host offers to processes of this user, and how to close it."""

    what: str
    where: str
    fix: str


def ways_around() -> tuple[WayAround, ...]:
    """Every way around the door that can be seen from here. Names only; no content is read."""
    found = [
        WayAround("token in the environment", name, f"unset {name} where agents run")
        for name in sorted(os.environ)
        if any(word in name.upper() for word in _TOKEN_WORDS)
    ]
    for what, (place, fix) in _FILES.items():
        if Path(place).expanduser().exists():
            found.append(WayAround(what, place, fix))
    if os.environ.get("KUBECONFIG"):
        found.append(WayAround("kubeconfig", "$KUBECONFIG", "unset it where agents run"))
    if os.environ.get("SSH_AUTH_SOCK"):
        found.append(WayAround("SSH agent", "$SSH_AUTH_SOCK", "do not forward the agent to where agents run"))
    for place in _SOCKETS:
        if _is_writable_socket(Path(place)):
            found.append(WayAround("container engine socket", place, "remove the user from the docker group"))
    return tuple(found)


def runs_as_root() -> bool:
    """Whether this process is root: then every local process it starts without isolation is root too."""
    return os.geteuid() == 0


def mode_of(path: Path) -> int:
    """Permission bits of a path."""
    return stat.S_IMODE(path.stat().st_mode)


def _is_writable_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode) and os.access(path, os.W_OK)
    except OSError:
        return False
