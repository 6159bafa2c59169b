"""One MCP server behind the door: carries out what was decided, and says what its tools are now.

A tool that the server defines otherwise than it was approved, or whose definition talks to the model, is quarantined:
it is not offered, and not called either, whatever was decided. Beside tools the server's other requests (resources,
prompts, completion) are reads of the pseudo-tools `UPSTREAM.resources/read` and so on, where a contract lists them.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bywire.adapters import mcp_headers
from bywire.adapters.mcp_link import Link
from bywire.adapters.mcp_message import HEADER_MISMATCH
from bywire.adapters.mcp_relay import RELAY, Hear
from bywire.gateway.contract import Contract
from bywire.gateway.credential_forms import without
from bywire.gateway.ports import Credential, IntentRow
from bywire.gateway.tool_definition import Suspicion, approved_part, definition_digest, suspicions
from bywire.model.errors import EvidenceError, TargetError

# What is a request of its own, not a tool, and may be read where a contract says so.
REQUESTS = (
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
)
# How long a listing is believed, and how much longer when the server cannot be asked again.
FRESH_SECONDS, STALE_SECONDS = 30.0, 600.0
PAGES_MAX, TOOLS_MAX = 64, 2_048
CONTENT_MAX = 1_024
SAID_CHARS_MAX = 2_000
_RESULT_FIELDS = ("content", "structuredContent", "isError", "_meta")
AMBIGUOUS = "ambiguous"
_CURRENT, _ABSENT = "", "the server does not offer it any more"

# A credential for asking what the tools are; None when the server needs none.
Lend = Callable[[], Credential | None]


class Definition(msgspec.Struct, frozen=True):
    """What the server says of a tool, with the digest of it."""

    tool: dict[str, Any]
    digest: str


class McpExecutor:
    """`gateway.ports.CredentialedExecutor` and `DefinedExecutor` for one MCP server."""

    def __init__(self, name: str, link: Link, contracts: Mapping[str, Contract], *, lend: Lend = lambda: None) -> None:
        self.name = name
        self.link = link
        self._contracts = contracts
        self._lend = lend
        self._definitions: dict[str, Definition] = {}
        self._listed_at = float("-inf")
        self._stale = True
        self._listing = threading.Lock()
        self._watchers: list[Hear] = []
        self._suspected: dict[str, tuple[Suspicion, ...]] = {}
        # Texts of contract files, which do not change while this runs.
        self._unfit = {name: _unfit(contract) for name, contract in contracts.items()}

    # --- gateway.ports ---

    def observe(self) -> dict[str, Any]:
        """An MCP server has no state of its own to compare."""
        return {}

    def execute(self, row: IntentRow, parameters: dict[str, Any]) -> dict[str, Any]:
        """One `tools/call`. TargetError when the server refused or the tool failed."""
        return self._call(row.tool, parameters, None)

    def execute_with(self, row: IntentRow, parameters: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """The same with a credential."""
        return self._call(row.tool, parameters, credential)

    def read(self, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One `tools/call` without effect, or one of REQUESTS. What nobody answers has not happened: TargetError."""
        return self._read(tool, parameters, None)

    def read_with(self, tool: str, parameters: dict[str, Any], credential: Credential) -> dict[str, Any]:
        """The same with a credential."""
        return self._read(tool, parameters, credential)

    def query(self, row: IntentRow) -> dict[str, Any] | None:
        """MCP knows no question about a past call: a person settles it."""
        raise TargetError(
            f"{self.name} cannot be asked what became of {row.tool}",
            code="unsupported",
            next_step="bywire reconcile settle",
        )

    def definition(self, tool: str) -> str:
        """Digest of what the server says of the tool now. TargetError when it says nothing."""
        found = self.definitions().get(self._own(tool))
        if found is None:
            raise TargetError(f"{tool}: {_ABSENT}", code="definition_quarantined", next_step=self._look())
        return found.digest

    # --- what the tools are ---

    def definitions(self, *, fresh: bool = False) -> Mapping[str, Definition]:
        """By the server's own name of each tool; asked for again when it is old, or when the server said it changed."""
        age = time.monotonic() - self._listed_at
        if not fresh and not self._stale and age < FRESH_SECONDS:
            return self._definitions
        with self._listing:
            age = time.monotonic() - self._listed_at
            if fresh or self._stale or age >= FRESH_SECONDS:
                self._list_again(age)
        return self._definitions

    def quarantine(self, contract: Contract) -> str:
        """Why a tool may be neither shown nor called, or nothing. TargetError when the server cannot be asked."""
        if self._own(contract.name) in REQUESTS:
            return ""
        unfit = self._unfit.get(contract.name, _CURRENT)
        if unfit:
            return unfit
        found = self.definitions().get(self._own(contract.name))
        if found is None:
            return _ABSENT
        if found.digest == AMBIGUOUS:
            return "the server lists two tools of that name"
        if contract.definition and found.digest != contract.definition:
            return "its definition changed after it was approved"
        talks = () if contract.definition and contract.reviewed else self._talks(found)
        return f"its definition talks to the model: {talks[0].kind} in {talks[0].where}" if talks else ""

    def offered(self, contract: Contract) -> dict[str, Any] | None:
        """The tool as it is listed: the approved definition, in the contract's words; None when it is quarantined."""
        own = self._own(contract.name)
        try:
            hidden = own in REQUESTS or bool(self.quarantine(contract))
            found = {} if hidden else self._definitions[own].tool
        except TargetError:
            # What was approved can be told without asking; what was not, cannot.
            hidden, found = not contract.definition or bool(self._unfit.get(contract.name)), {}
        if hidden:
            return None
        shown = {"name": own, "inputSchema": contract.schema}
        description = contract.description or ("" if contract.definition else found.get("description"))
        if description:
            shown["description"] = description
        # Nobody approved what lies outside the digest, so that without one it is not shown.
        if contract.definition:
            shown |= {name: found[name] for name in ("outputSchema", "annotations") if name in found}
        return None if mcp_headers.invalid_annotation(contract.schema) else shown

    # --- what changes ---

    def listen(self, hear: Hear) -> Callable[[], None]:
        """Be told of changes on the server, from another thread; returns how to stop that."""
        self._watchers.append(hear)
        self.link.watch(lambda: _value(self._lend()))
        return lambda: self._watchers.remove(hear)

    def changed(self, method: str, params: dict[str, Any]) -> None:
        """The server says that something is not what it was."""
        if method == "notifications/tools/list_changed":
            self._stale = True
        for hear in tuple(self._watchers):
            hear(method, params)

    def close(self) -> None:
        """End the link."""
        self.link.close()

    # --- inside ---

    def _call(self, tool: str, parameters: dict[str, Any], credential: Credential | None) -> dict[str, Any]:
        self._check(tool, credential)
        result = self._ask_tool(tool, parameters, credential, effect=True)
        if result.get("isError") is True:
            raise TargetError(
                f"{tool} failed: {_text(result)}", code="tool_failed", next_step="read what it says; it is recorded"
            )
        return result

    def _read(self, tool: str, parameters: dict[str, Any], credential: Credential | None) -> dict[str, Any]:
        own = self._own(tool)
        try:
            if own in REQUESTS:
                self._check_origin(credential)
                return self._request(own, parameters, credential)
            self._check(tool, credential)
            return self._ask_tool(tool, parameters, credential, effect=False)
        except (TimeoutError, OSError) as error:
            raise TargetError(
                f"{self.name} gave no answer: {error}", code="upstream_unanswered", next_step="try again later"
            ) from error

    def _request(self, method: str, parameters: dict[str, Any], credential: Credential | None) -> dict[str, Any]:
        modern = self.link.spoken(_value(credential)).is_modern
        if modern and method in {"resources/subscribe", "resources/unsubscribe"}:
            self.link.follow(str(parameters.get("uri", "")), follows=method == "resources/subscribe")
            return {}
        if modern and method == "logging/setLevel":
            return {}  # each request says for itself what it wants to hear
        return self._ask(method, parameters, credential, effect=False)

    def _ask_tool(
        self, tool: str, parameters: dict[str, Any], credential: Credential | None, *, effect: bool
    ) -> dict[str, Any]:
        own = self._own(tool)
        found = self._definitions.get(own)
        schema = found.tool.get("inputSchema") if found is not None else None
        headers = mcp_headers.mirrored(schema, parameters) if isinstance(schema, dict) else {}
        params = {"name": own, "arguments": parameters}
        result = self._ask("tools/call", params, credential, effect=effect, headers=headers)
        return _checked(result, self.name)

    def _ask(
        self,
        method: str,
        params: dict[str, Any],
        credential: Credential | None,
        *,
        effect: bool,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        relay = RELAY.get()
        try:
            with_secret = _Deaf(relay.notice, credential) if relay is not None and credential is not None else None
            return self.link.ask(
                method,
                params,
                authorization=_value(credential),
                effect=effect,
                headers=headers,
                hear=with_secret,
            )
        except TargetError:
            if relay is not None and relay.refusal is not None and relay.refusal.code == HEADER_MISMATCH:
                self._stale = True  # it wants other headers than its last listing said
            raise

    def _check(self, tool: str, credential: Credential | None) -> None:
        self._check_origin(credential)
        contract = self._contracts.get(tool)
        why = self.quarantine(contract) if contract is not None else "it has no contract"
        if why:
            raise TargetError(f"{tool} is quarantined: {why}", code="definition_quarantined", next_step=self._look())

    def _check_origin(self, credential: Credential | None) -> None:
        if credential is not None and credential.origin != self.link.origin:
            raise TargetError(
                f"the credential is for {credential.origin}, this upstream is {self.link.origin}",
                code="credential_unavailable",
                next_step="correct `credential` of the upstream in gateway.yaml",
            )

    def _list_again(self, age: float) -> None:
        try:
            self._definitions = self._listed()
        except (TargetError, OSError) as error:
            if age < STALE_SECONDS:
                return
            if isinstance(error, TargetError):
                raise
            raise TargetError(
                f"{self.name} does not say what its tools are: {error}",
                code="upstream_unanswered",
                next_step="check that the upstream runs",
            ) from error
        self._listed_at, self._stale = time.monotonic(), False

    def _listed(self) -> dict[str, Definition]:
        authorization = _value(self._lend())
        found: dict[str, Definition] = {}
        cursor, seen = None, set[str]()
        for _ in range(PAGES_MAX):
            params: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
            page = self.link.ask("tools/list", params, authorization=authorization)
            for tool in page["tools"] if isinstance(page.get("tools"), list) else ():
                _add(found, tool)
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or cursor in seen or len(found) > TOOLS_MAX:
                break
            seen.add(cursor)
        return found

    def _talks(self, found: Definition) -> tuple[Suspicion, ...]:
        """What a definition says to the model; looked for once."""
        known = self._suspected.get(found.digest)
        if known is None:
            if len(self._suspected) > TOOLS_MAX:
                self._suspected.clear()
            known = self._suspected[found.digest] = suspicions(found.tool)
        return known

    def _own(self, tool: str) -> str:
        return tool.removeprefix(f"{self.name}.")

    def _look(self) -> str:
        return f"bywire mcp definitions {self.name}"


class _Deaf:
    """Passes notifications on without the credential that was sent."""

    def __init__(self, hear: Hear, credential: Credential) -> None:
        self._hear = hear
        self._credential = credential

    def __call__(self, method: str, params: dict[str, Any]) -> None:
        self._hear(method, without(params, self._credential))


def _unfit(contract: Contract) -> str:
    """Why the contract's own words must not be shown."""
    own = {"name": contract.name, "description": contract.description, "inputSchema": contract.schema}
    talks = suspicions(own)
    return f"its contract talks to the model: {talks[0].kind} in {talks[0].where}" if talks else ""


def _add(found: dict[str, Definition], tool: Any) -> None:
    """A tool of a listing; what has no name of a tool, or no canonical form, is not there."""
    name = tool.get("name") if isinstance(tool, dict) else None
    if not isinstance(name, str) or name in REQUESTS or len(found) > TOOLS_MAX:
        return
    try:
        definition = Definition(approved_part(tool), definition_digest(tool))
    except EvidenceError:
        return
    # Of two tools with one name nobody knows which is called.
    found[name] = definition if name not in found else Definition(definition.tool, AMBIGUOUS)


def _checked(result: dict[str, Any], name: str) -> dict[str, Any]:
    """A CallToolResult with nothing else in it. TimeoutError: it was carried out, and nobody knows how it went."""
    content = result.get("content")
    blocks = content if isinstance(content, list) else []
    sound = all(isinstance(block, dict) and isinstance(block.get("type"), str) for block in blocks)
    if not isinstance(content, list) or not sound or len(content) > CONTENT_MAX:
        raise TimeoutError(f"{name} answered with no content that MCP knows")
    return {field: result[field] for field in _RESULT_FIELDS if field in result}


def _text(result: dict[str, Any]) -> str:
    texts = [block["text"] for block in result["content"] if isinstance(block.get("text"), str)]
    return "\n".join(texts)[:SAID_CHARS_MAX] or "it does not say why"


def _value(credential: Credential | None) -> str:
    return "" if credential is None else credential.value
