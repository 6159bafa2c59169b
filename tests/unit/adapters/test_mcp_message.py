"""What is a message, and what is none: one at a time, ids of two kinds, one reading, bounded depth."""

import pytest

from bywire.adapters import mcp_message as rpc
from bywire.adapters.mcp_message import MessageError, check_one_reading, is_deep, parse_message


def nested(depth):
    return b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b'{"a":' * depth + b"1" + b"}" * (depth + 1)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', "request"),
        (b'{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{}}', "request"),
        (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', "notification"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"x":1}}', "response"),
        (b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700}}', "response"),
        (b'{"jsonrpc":"2.0","error":{"code":-32700}}', "response"),
    ],
)
def test_three_kinds_of_messages(raw, kind):
    message = parse_message(raw)
    found = {"request": message.is_request, "notification": message.is_notification}
    assert [name for name, held in found.items() if held] == ([kind] if kind in found else [])


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'[{"jsonrpc":"2.0","id":1,"method":"x"}]', rpc.INVALID_REQUEST),
        (b"[]", rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"x"}', rpc.INVALID_REQUEST),
        (b'{"id":1,"method":"x"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"method":"x"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"x"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"x"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1e3,"method":"x"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":[1],"method":"x"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":9007199254740993,"method":"x"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":"' + b"i" * 257 + b'","method":"x"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","result":{}}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","result":{}}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}', rpc.INVALID_REQUEST),
        (b"{", rpc.PARSE_ERROR),
        (b"", rpc.PARSE_ERROR),
        (b'\xff{"jsonrpc":"2.0"}', rpc.PARSE_ERROR),
        (nested(80), rpc.INVALID_REQUEST),
        (nested(20_000), rpc.PARSE_ERROR),
    ],
)
def test_whatever_else_is_refused_with_its_code(raw, code):
    with pytest.raises(MessageError) as caught:
        parse_message(raw)
    assert caught.value.rpc_code == code


def test_depth_is_counted_where_it_is():
    assert parse_message(nested(60)).is_request
    wide = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[' + b",".join([b"[]"] * 500) + b"]}}"
    assert parse_message(wide).is_request
    assert not is_deep([[]], 2)
    assert is_deep([[[[]]]], 2)


@pytest.mark.parametrize("raw", [b'{"a":1,"a":2}', b'{"x":{"a":1,"a":1}}', b'{"a":NaN}', b'{"a":Infinity}'])
def test_a_document_with_two_readings_is_refused(raw):
    with pytest.raises(MessageError):
        check_one_reading(raw)
    check_one_reading(b'{"a":{"a":1},"b":[{"a":1},{"a":1}]}')
