"""A model on loopback that says what a script says: Anthropic's Messages and OpenAI's Responses, each as one stream.

Only as much of both as hosts of coding agents need to be told which tool to run, and to say how it went.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Script:
    """`steps` are (tool, input), told one after another; `told` are the requests that the host made."""

    def __init__(self, steps):
        self._steps = list(steps)
        self._lock = threading.Lock()
        self.told = []

    def step(self, body):
        """The next tool, or None: the host is told to stop."""
        with self._lock:
            self.told.append(body)
            return self._steps.pop(0) if self._steps else None

    def results(self):
        """What the host said of each tool, as text, in order, once."""
        found = {}
        for body in self.told:
            for said in body.get("messages", []):
                parts = said["content"] if isinstance(said["content"], list) else []
                found |= {one["tool_use_id"]: one["content"] for one in parts if one["type"] == "tool_result"}
            for one in body.get("input", []):
                if str(one.get("type")).endswith("_call_output"):
                    found[one["call_id"]] = one["output"]
        return [str(found[key]) for key in sorted(found)]


def messages(step, number):
    """Events of the Messages API."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    said = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "scripted", "content": []}
    yield {"type": "message_start", "message": {**said, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    if step is None:
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": "done"}
    else:
        block = {"type": "tool_use", "id": f"toolu_{number:04d}", "name": step[0], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(step[1])}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    why = {"stop_reason": "tool_use" if step else "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": why, "usage": usage}
    yield {"type": "message_stop"}


def responses(step, number):
    """Events of the Responses API."""
    if step is None:
        text = {"type": "output_text", "text": "done", "annotations": []}
        item = {"type": "message", "id": f"m_{number}", "role": "assistant", "content": [text]}
    else:
        call = {"id": f"fc_{number}", "call_id": f"call_{number:04d}", "name": step[0]}
        item = {"type": "function_call", **call, "arguments": json.dumps(step[1])}
    item["status"] = "completed"
    response = {"id": f"resp_{number}", "object": "response", "output": [item]}
    yield {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    yield {"type": "response.completed", "response": {**response, "status": "completed", "usage": usage}}


@contextmanager
def scripted(steps):
    """(the script, the port) of a model that says `steps`."""
    script = Script(steps)

    class Model(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self._said(b"", "text/plain")

        def do_GET(self):
            self._said(b'{"data":[],"models":[]}', "application/json")

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if "/messages" in self.path and not body.get("tools"):  # a title, a summary: not the agent itself
                events = messages(None, 0)
            else:
                step = script.step(body)
                events = (messages if "/messages" in self.path else responses)(step, len(script.told))
            stream = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)
            self._said(stream.encode(), "text/event-stream")

        def _said(self, data, kind):
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a host that ends drops its connections
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield script, server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
