"""An MCP server on the reference SDK with one of everything that the conformance suite asks for.

`python everything_server.py PORT` serves it over HTTP, `python everything_server.py` on standard streams. Beside the
suite's tools there are `append`, `release` and `fail_write`, which have an effect, and `slow`.
"""

import asyncio
import base64
import sys
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.types import (
    AudioContent,
    Completion,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = base64.b64encode(b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00").decode()
CHOICES = ["option1", "option2", "option3"]
LIST_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}


class Events(EventStore):
    """Every event of every stream, in memory."""

    def __init__(self):
        self.kept = []

    async def store_event(self, stream_id, message):
        self.kept.append((stream_id, message))
        return str(len(self.kept))

    async def replay_events_after(self, last_event_id, send_callback):
        stream = self.kept[int(last_event_id) - 1][0]
        for number, (other, message) in enumerate(self.kept[int(last_event_id) :], int(last_event_id) + 1):
            if other == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def application(lines=None, **options):
    """The server as an ASGI application that keeps its events."""
    return build(lines).streamable_http_app(event_store=Events(), retry_interval=50, **options)


class Answer(BaseModel):
    response: str = Field(description="User's response")


def build(lines=None):
    """The server; `lines` is where `append` writes."""
    server = MCPServer("everything", version="1.0.0")
    written = [] if lines is None else lines
    _contents(server)
    _talking(server)
    _effects(server, written)
    _resources(server)
    _prompts(server)
    _requests(server._lowlevel_server)
    return server


def _requests(server):
    """Requests of the older versions that the SDK leaves to its user: accepted, and nothing more."""

    async def accept(ctx, params):
        return EmptyResult()

    server.add_request_handler("logging/setLevel", SetLevelRequestParams, accept)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, accept)
    server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, accept)


def _contents(server):
    @server.tool()
    def test_simple_text() -> str:
        """Answers with a text."""
        return "This is a simple text response for testing."

    @server.tool()
    def test_image_content() -> list[Any]:
        """Answers with an image."""
        return [ImageContent(type="image", data=PIXEL, mime_type="image/png")]

    @server.tool()
    def test_audio_content() -> list[Any]:
        """Answers with a sound."""
        return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]

    @server.tool()
    def test_embedded_resource() -> list[Any]:
        """Answers with a resource."""
        return [_embedded("test://embedded-resource", "This is an embedded resource content.")]

    @server.tool()
    def test_multiple_content_types() -> list[Any]:
        """Answers with several kinds."""
        return [
            TextContent(type="text", text="Multiple content types test:"),
            ImageContent(type="image", data=PIXEL, mime_type="image/png"),
            _embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
        ]

    @server.tool()
    def test_error_handling() -> str:
        """Fails."""
        raise ValueError("This tool intentionally returns an error for testing")

    @server.tool()
    def json_schema_2020_12_tool(name: str = "") -> str:
        """Takes parameters of a schema that uses newer keywords."""
        return name

    listed = server.list_tools

    async def with_schema():
        return [
            tool.model_copy(update={"input_schema": LIST_SCHEMA}) if tool.name == "json_schema_2020_12_tool" else tool
            for tool in await listed()
        ]

    server.list_tools = with_schema


def _talking(server):
    @server.tool()
    async def test_tool_with_logging(ctx: Context) -> str:
        """Logs while it works."""
        for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(text)
            await asyncio.sleep(0.02)
        return "Tool with logging executed successfully"

    @server.tool()
    async def test_tool_with_progress(ctx: Context) -> str:
        """Says how far it is."""
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100, f"Completed step {done} of 100")
            await asyncio.sleep(0.02)
        return "done"

    @server.tool()
    async def test_sampling(prompt: str, ctx: Context) -> str:
        """Asks the client's model."""
        asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
        result = await ctx.session.create_message(messages=[asked], max_tokens=100)
        return f"LLM response: {getattr(result.content, 'text', result.content)}"

    @server.tool()
    async def test_elicitation(message: str, ctx: Context) -> str:
        """Asks the client's user."""
        result = await ctx.elicit(message=message, schema=Answer)
        return f"User response: action={result.action}, content={getattr(result, 'data', None)}"

    @server.tool()
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        """Asks the client's user, with defaults."""

        class Defaults(BaseModel):
            name: str = "John Doe"
            age: int = 30
            score: float = 95.5
            status: Annotated[str, Field(json_schema_extra={"enum": ["active", "inactive", "pending"]})] = "active"
            verified: bool = True

        result = await ctx.elicit(message="Please review", schema=Defaults)
        return f"Elicitation completed: action={result.action}"

    @server.tool()
    async def test_elicitation_sep1330_enums(ctx: Context) -> str:
        """Asks the client's user, with every kind of choice."""
        titled = [{"const": one, "title": one.title()} for one in CHOICES]
        properties = {
            "untitledSingle": {"type": "string", "enum": CHOICES},
            "titledSingle": {"type": "string", "oneOf": titled},
            "legacyEnum": {"type": "string", "enum": CHOICES, "enumNames": [one.title() for one in CHOICES]},
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": CHOICES}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled}},
        }
        result = await ctx.session.elicit("Please choose", {"type": "object", "properties": properties})
        return f"Elicitation completed: action={result.action}"

    @server.tool()
    async def test_reconnection(ctx: Context) -> str:
        """Closes its stream and answers on the next."""
        await ctx.close_sse_stream()
        await asyncio.sleep(0.1)
        return "Reconnection test completed successfully"

    @server.tool()
    async def slow(seconds: float) -> str:
        """Waits."""
        await asyncio.sleep(seconds)
        return "awake"

    @server.tool()
    async def notify_change(ctx: Context) -> str:
        """Says that the tools changed."""
        await ctx.notify_tools_changed()
        if ctx.protocol_version != "2026-07-28":
            await ctx.session.send_tool_list_changed()
        return "said"


def _effects(server, written):
    @server.tool()
    def append(line: str) -> str:
        """Writes a line."""
        written.append(line)
        return f"{len(written)} lines"

    @server.tool()
    def release(version: str) -> str:
        """Releases a version."""
        written.append(f"release {version}")
        return f"released {version}"

    @server.tool()
    def fail_write(line: str) -> str:
        """Writes nothing."""
        raise ValueError(f"cannot write {line}")


def _resources(server):
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """A text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """An image."""
        return base64.b64decode(PIXEL)

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002
        """A template."""
        return f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        """One that is followed."""
        return "Watched resource content"


def _prompts(server):
    @server.prompt()
    def test_simple_prompt() -> str:
        """Without arguments."""
        return "This is a simple prompt for testing."

    @server.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """With arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        """With a resource."""
        return [UserMessage(_embedded(resourceUri, "Embedded resource content for testing.")), UserMessage("Go on.")]

    @server.prompt()
    def test_prompt_with_image() -> list[UserMessage]:
        """With an image."""
        image = ImageContent(type="image", data=PIXEL, mime_type="image/png")
        return [UserMessage(image), UserMessage("Please analyze the image above.")]

    @server.completion()
    async def complete(ref, argument, context) -> Completion:
        return Completion(values=["paris", "park", "party"], total=3, has_more=False)


def _embedded(uri, text, kind="text/plain"):
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=text))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        uvicorn.run(application(), host="127.0.0.1", port=int(sys.argv[1]), log_config=None)
    else:
        build().run("stdio")
