"""Records to a SIEM by syslog. Nothing is acknowledged there: what a connection took before it broke may be lost."""

import os
import socket
import ssl
from collections.abc import Sequence

from bywire.adapters.json_log_lines import short_line_of
from bywire.adapters.otel_fields import Shown
from bywire.adapters.syslog_message import framed, message, severity
from bywire.model.ask import CallRecord
from bywire.model.errors import ConfigError
from bywire.model.gateway_telemetry import SyslogSettings

SECONDS = 5.0
# What a datagram carries without being split on most networks is less; RFC 5426, 3.2 wants 2,048 taken by all.
DATAGRAM_LINE_BYTES_MAX = 1_800
STREAM_LINE_BYTES_MAX = 16_384
APP, KIND = "bywire", "call"


class Syslog:
    """Sends batches. ConfigError `ca_unreadable` at once, OSError when the other side is not there."""

    def __init__(self, settings: SyslogSettings, shown: Shown) -> None:
        self._settings = settings
        self._shown = shown
        self._host, self._process = socket.gethostname(), str(os.getpid())
        self._context = _context(settings) if settings.transport == "tls" else None
        self._socket: socket.socket | None = None
        self._is_datagram = settings.transport == "udp"
        self._line_bytes_max = DATAGRAM_LINE_BYTES_MAX if self._is_datagram else STREAM_LINE_BYTES_MAX

    def send(self, batch: Sequence[CallRecord]) -> None:
        """A message for each. After an error the connection is new, and the batch is sent from its beginning."""
        messages = [self._message(record) for record in batch]
        try:
            connection = self._connected()
            if self._is_datagram:
                for one in messages:
                    connection.send(one)
            else:
                connection.sendall(b"".join(framed(one) for one in messages))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _message(self, record: CallRecord) -> bytes:
        line = short_line_of(record, self._shown, self._line_bytes_max)
        grave = severity(record.effect, record.status, record.error)
        facility = self._settings.facility
        return message(facility, grave, record.started_ms, self._host, APP, self._process, KIND, line)

    def _connected(self) -> socket.socket:
        """The connection, unless the other side has closed it: what is written then is lost without a word."""
        if self._socket is not None and not self._is_datagram and _is_closed(self._socket):
            self.close()
        if self._socket is None:
            self._socket = self._open()
        return self._socket

    def _open(self) -> socket.socket:
        place = (self._settings.host, self._settings.port)
        if self._is_datagram:
            family, kind, protocol, _, address = socket.getaddrinfo(*place, type=socket.SOCK_DGRAM)[0]
            datagrams = socket.socket(family, kind, protocol)
            datagrams.settimeout(SECONDS)
            datagrams.connect(address)
            return datagrams
        raw = socket.create_connection(place, timeout=SECONDS)
        if self._context is None:
            return raw
        try:
            return self._context.wrap_socket(raw, server_hostname=self._settings.host)
        except BaseException:
            raw.close()
            raise


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side has ended it. It has nothing to say otherwise, but TLS has tickets."""
    connection.settimeout(0)
    try:
        return connection.recv(4_096) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(SECONDS)


def _context(settings: SyslogSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{settings.ca_file} holds no certificates",
            code="ca_unreadable",
            next_step="name a PEM file: telemetry.syslog.ca_file",
        ) from error
