"""A listening socket, bound before anything is said to be ready, and room for what connects to it."""

import errno
import resource
import socket

from bywire.model.errors import ConfigError

BACKLOG = 2_048
_BUSY = frozenset({errno.EADDRINUSE})
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL})


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket that listens on `host`; port 0 lets the system choose. ConfigError `port_busy`, `listen_failed`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise _failed(host, port, str(error)) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno in _BUSY:
            raise ConfigError(
                f"something listens on {host} port {port} already",
                code="port_busy",
                next_step="end it, or take another: bywire serve --port N, or listen.port in gateway.yaml",
            ) from error
        raise _failed(host, port, error.strerror or str(error)) from error
    listener.setblocking(False)
    return listener


def port_of(listener: socket.socket) -> int:
    """The port a socket is bound to."""
    return int(listener.getsockname()[1])


def _failed(host: str, port: int, why: str) -> ConfigError:
    return ConfigError(
        f"{host} port {port} cannot be listened on: {why}",
        code="listen_failed",
        next_step="name an address of this machine and a port above 1023 in `listen` of gateway.yaml",
    )


def allow_open_files(count: int) -> int:
    """Raise what this process may hold open to `count`, as far as the system lets it; returns what it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft if soft != resource.RLIM_INFINITY else count
