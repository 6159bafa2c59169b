"""The server name that a TLS client asks for, read from its ClientHello without ending the TLS (RFC 8446, RFC 6066).

The first bytes of a tunnel are either exactly one well-formed ClientHello, in a few records, or no TLS at all; nothing
is understood in two ways. The reader is a function of the bytes so far: it wants more, answers, or refuses.
"""

from collections.abc import Iterator

import msgspec

from bywire.model.errors import EvidenceError

# A hello with post-quantum shares takes about 2 KiB; nothing honest comes near this.
HELLO_BYTES_MAX = 16_384
_RECORD_BYTES_MAX = 16_384
_EXTENSIONS_MAX = 128
# Each new byte is read together with all before it, so the pieces are few.
_RECORDS_MAX = 32
_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, 1, 0, 0


class Hello(msgspec.Struct, frozen=True):
    """What a ClientHello says. `server_name` is empty when it names none."""

    server_name: str


class _Bytes:
    """A cursor over one field's bytes; leaving it is a refusal."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if self._at + count > len(self._data):
            raise _malformed("a field is longer than what holds it")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, width: int) -> int:
        """The next big-endian number."""
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> "_Bytes":
        """The next field with its length before it."""
        return _Bytes(self.take(self.number(width)))

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at


def parse_client_hello(data: bytes) -> Hello | None:
    """The hello at the start of `data`; None while it is incomplete. Raises EvidenceError `hello_refused`."""
    handshake = b""
    for fragment in _fragments(data):
        handshake += fragment
        if handshake and handshake[0] != _CLIENT_HELLO:
            raise _malformed("the first message is no ClientHello")
        if len(handshake) < 4:
            continue
        length = int.from_bytes(handshake[1:4], "big")
        if length > HELLO_BYTES_MAX:
            raise _malformed(f"a ClientHello of {length} bytes")
        if len(handshake) > 4 + length:
            raise _malformed("something follows the ClientHello before the server has answered")
        if len(handshake) == 4 + length:
            return _hello(_Bytes(handshake[4:]))
    if len(data) > 2 * HELLO_BYTES_MAX:
        raise _malformed("the ClientHello does not end")
    return None


def _fragments(data: bytes) -> Iterator[bytes]:
    """The bodies of the whole handshake records at the start of `data`."""
    at = 0
    for _ in range(_RECORDS_MAX):
        if at == len(data):
            return
        head = data[at : at + 5]
        if head[0] != _HANDSHAKE or (len(head) > 1 and head[1] != 3):
            raise _malformed("what the client sends is not TLS")
        if len(head) < 5:
            return
        length = int.from_bytes(head[3:5], "big")
        if not 0 < length <= _RECORD_BYTES_MAX:
            raise _malformed(f"a record of {length} bytes")
        if len(data) < at + 5 + length:
            return
        yield data[at + 5 : at + 5 + length]
        at += 5 + length
    raise _malformed(f"a ClientHello in more than {_RECORDS_MAX} records")


def _hello(body: _Bytes) -> Hello:
    body.take(2 + 32)
    if body.vector(1).left > 32:
        raise _malformed("a session id of more than 32 bytes")
    ciphers, compressions = body.vector(2), body.vector(1)
    if ciphers.left == 0 or ciphers.left % 2 or compressions.left == 0:
        raise _malformed("no ciphers")
    if not body.left:
        return Hello(server_name="")
    extensions, names, seen = body.vector(2), "", set[int]()
    if body.left:
        raise _malformed("something follows the extensions")
    while extensions.left:
        kind, content = extensions.number(2), extensions.vector(2)
        # A second extension of one kind is how two readers come to read two names.
        if kind in seen or len(seen) >= _EXTENSIONS_MAX:
            raise _malformed("an extension is there twice, or there are too many")
        seen.add(kind)
        if kind == _SERVER_NAME:
            names = _server_name(content)
    return Hello(server_name=names)


def _server_name(content: _Bytes) -> str:
    """Exactly one host name (RFC 6066, section 3)."""
    listed = content.vector(2)
    if content.left or listed.number(1) != _HOST_NAME:
        raise _malformed("the server name is of another kind")
    name = listed.vector(2)
    if listed.left or not name.left:
        raise _malformed("more than one server name, or an empty one")
    raw = name.take(name.left)
    if len(raw) > 255 or not raw.isascii() or not all(0x21 <= byte <= 0x7E for byte in raw):
        raise _malformed("the server name is no name")
    return raw.decode("ascii").lower().removesuffix(".")


def _malformed(why: str) -> EvidenceError:
    return EvidenceError(
        f"the tunnel was closed: {why}", code="hello_refused", next_step="speak TLS to the host that was asked for"
    )
