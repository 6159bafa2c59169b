"""Where a request goes: looked up as far as a path is plain, or its last part its only parameter; else searched for."""

import anyio
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from bywire.api.app import Directly
from bywire.api.routes import Below


class Says:
    """ASGI: its name, and the path parameters."""

    def __init__(self, name):
        self._name = name

    async def __call__(self, scope, receive, send):
        params = ",".join(f"{name}={value}" for name, value in scope.get("path_params", {}).items())
        await PlainTextResponse(f"{self._name}:{params}")(scope, receive, send)


async def plain(request):
    return PlainTextResponse("plain")


async def below(request):
    return PlainTextResponse("below")


async def one(request):
    return PlainTextResponse("one:" + request.path_params["id"])


FOUND = [
    Route("/v1/plain", plain, methods=["POST"]),
    Route("/mcp/{upstream}", Says("mcp"), methods=["POST", "DELETE"]),
    Route("/things/new", Says("new"), methods=["GET"]),
    Route("/things/{id}", one, methods=["GET"]),
    Route("/numbers/{id:int}", Says("number"), methods=["GET"]),
    Route("/rest/{rest:path}", Says("rest"), methods=["GET"]),
    Route("/two/{a}/{b}", Says("two"), methods=["GET"]),
    Route("/route/{id}", Says("never"), methods=["GET"]),
    Below("/route", below),
]


def asked(app, method, path):
    """(status, body) of a request."""
    said = []

    async def send(message):
        said.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": []}
    anyio.run(app, scope | {"query_string": b"", "root_path": ""}, receive, send)
    return said[0]["status"], b"".join(message.get("body", b"") for message in said).decode()


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("POST", "/v1/plain", (200, "plain")),
        ("GET", "/v1/plain", (405, "Method Not Allowed")),
        ("POST", "/mcp/github", (200, "mcp:upstream=github")),
        ("DELETE", "/mcp/github", (200, "mcp:upstream=github")),
        ("GET", "/mcp/github", (405, "Method Not Allowed")),
        ("POST", "/mcp/", (200, "default:")),
        ("POST", "/mcp", (200, "default:")),
        ("POST", "/mcp/a/b", (200, "default:")),
        ("POST", "//mcp/a", (200, "default:")),
        ("POST", "/mcp/a/", (200, "default:")),
        ("POST", "/mcp/..", (200, "mcp:upstream=..")),
        ("GET", "/things/new", (200, "new:")),
        ("GET", "/things/7", (200, "one:7")),
        ("GET", "/numbers/7", (200, "number:id=7")),
        ("GET", "/numbers/seven", (200, "default:")),
        ("GET", "/rest/a/b", (200, "rest:rest=a/b")),
        ("GET", "/two/a/b", (200, "two:a=a,b=b")),
        ("GET", "/route/x/y", (200, "below")),
    ],
)
def test_a_request_goes_where_the_first_route_that_fits_leads(method, path, answer):
    assert asked(Directly(FOUND, Says("default")), method, path) == answer


@pytest.mark.parametrize(
    "before", [Mount("/mcp", Says("mount")), Below("/mcp", below), Route("/mcp/{x}", Says("other"))]
)
def test_what_another_route_may_answer_is_searched_for(before):
    mine = Route("/mcp/{upstream}", Says("mcp"), methods=["POST", "GET"])
    status, said = asked(Directly([before, mine], Says("default")), "GET", "/mcp/github")
    assert status == 200
    assert not said.startswith("mcp:")
