"""The MCP server of the bench: one read, answered as quickly as this language allows."""

import json
import socket

import uvicorn

TOOL = {
    "name": "get_status",
    "description": "The state of a deployment.",
    "inputSchema": {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {"name": {"type": "string", "maxLength": 64}},
    },
}
TEXT = json.dumps({"name": "storefront", "replicas": 12, "ready": 12, "image": "storefront@sha256:" + "a" * 64})
HANDSHAKE_VERSION = "2025-11-25"
RESULTS = {
    "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"},
    "initialize": {
        "protocolVersion": HANDSHAKE_VERSION,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "bench", "version": "1"},
    },
    "ping": {},
    "tools/list": {"tools": [TOOL], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"},
    "tools/call": {"content": [{"type": "text", "text": TEXT}], "resultType": "complete"},
}


async def app(scope, receive, send):
    """Any POST is an MCP request of the newest version, or of a client that shakes hands first; no session is kept."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["method"] != "POST":
        await answered(send, 405, b"")
        return
    asked = json.loads(body)
    if "id" not in asked:
        await answered(send, 202, b"")
        return
    await answered(
        send, 200, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": RESULTS[asked["method"]]}).encode()
    )


async def answered(send, status, answer):
    """One whole answer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def main():
    """Serve on a free loopback port, and print it."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", loop="uvloop", http="httptools")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
