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
from bywire.adapters.mcp_followed import Follower
from bywire.adapters.mcp_link import Link
from bywire.adapters.mcp_message import HEADER_MISMATCH
from bywire.adapters.mcp_relay import RELAY, Hear
from bywire.gateway.contract import Contract
from bywire.gateway.credential_forms import without
from bywire.gateway.ports import Credential, IntentRow
from bywire.gateway.tool_definition import Suspicion, approved_part, definition_digest, suspicions
from bywire.model.errors import EvidenceError, TargetError

SUBSCRIPTIONS = ("resources/subscribe", "resources/unsubscribe")
# What is a request of its own, not a tool, and may be read where a contract says so.
REQUESTS = (
    "resources/list",
    "resources/templates/list",
    "resources/read",
    *SUBSCRIPTIONS,
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
)
# How long a listing is believed, and how much longer when the server cannot be asked again and announced no change.
FRESH_SECONDS, STALE_SECONDS = 30.0, 600.0
# How long a server that did not say what its tools are is not asked again: every call would wait for it.
RETRY_SECONDS = 5.0
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
        # Two marks: of the last change that was announced, and of the last one that a listing came after.
        self._announced, self._known = object(), object()
        self._failed_at = float("-inf")
        self._failure: TargetError | None = None
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
        """By the server's own name of each tool; asked for again when it is old, or when the server said it changed.

        TargetError when it cannot be asked and its last listing is not believed any more.
        """
        if not fresh and self._is_fresh():
            return self._definitions
        with self._listing:
            if fresh or not self._is_fresh():
                self._list_again(fresh=fresh)
        return self._definitions

    def quarantine(self, contract: Contract) -> str:
        """Why a tool may be neither shown nor called, or nothing. TargetError when the server cannot be asked."""
        return self._judged(contract)[0]

    def _judged(self, contract: Contract) -> tuple[str, Definition | None]:
        """(why it is quarantined, or nothing; the definition of which that is true)."""
        own, unfit = self._own(contract.name), self._unfit.get(contract.name, _CURRENT)
        if own in REQUESTS or unfit:
            return "" if own in REQUESTS else unfit, None
        found = self.definitions().get(own)
        if found is None:
            return _ABSENT, None
        if found.digest == AMBIGUOUS:
            return "the server lists two tools of that name", found
        if contract.definition and found.digest != contract.definition:
            return "its definition changed after it was approved", found
        talks = () if contract.definition and contract.reviewed else self._talks(found)
        return (f"its definition talks to the model: {talks[0].kind} in {talks[0].where}" if talks else ""), found

    def offered(self, contract: Contract) -> dict[str, Any] | None:
        """The tool as it is listed: the approved definition, in the contract's words; None when it is quarantined."""
        own = self._own(contract.name)
        try:
            # What is shown is what was judged: another listing may take its place at any moment.
            why, judged = self._judged(contract)
            hidden, found = bool(why) or judged is None, judged.tool if judged is not None else {}
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
            self._announced = object()
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
        if method not in SUBSCRIPTIONS:
            # To a server of the newest version each request says for itself what it wants to hear.
            silent = modern and method == "logging/setLevel"
            return {} if silent else self._ask(method, parameters, credential, effect=False)
        uri, follows, relay = str(parameters.get("uri", "")), method == "resources/subscribe", RELAY.get()
        follower = relay.follower if relay is not None else Follower("")
        is_other = self.link.follow(uri, follower, follows=follows)
        if modern or not (follows or is_other):
            return {}  # to an older server all who follow are one subscription
        try:
            return self._ask(method, parameters, credential, effect=False)
        except (TargetError, OSError):
            if follows and is_other:
                self.link.follow(uri, follower, follows=False)
            raise

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
                self._announced = object()  # it wants other headers than its last listing said
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

    def _is_fresh(self) -> bool:
        return self._known is self._announced and time.monotonic() - self._listed_at < FRESH_SECONDS

    def _list_again(self, *, fresh: bool) -> None:
        now = time.monotonic()
        failure = self._failure if not fresh and now - self._failed_at < RETRY_SECONDS else None
        announced = self._announced  # one that comes meanwhile may be about what is listed only afterwards
        if failure is None:
            # What all agents are shown is no one call's: its client neither hears of this nor ends it.
            held = RELAY.set(None)
            try:
                self._definitions = self._listed()
            except TargetError as error:
                failure = error
            finally:
                RELAY.reset(held)
            self._failure, self._failed_at = failure, time.monotonic()
        if failure is None:
            self._listed_at, self._known = time.monotonic(), announced
        elif self._known is not self._announced or now - self._listed_at >= STALE_SECONDS:
            raise TargetError(failure.message, code=failure.code, next_step=failure.next_step)

    def _listed(self) -> dict[str, Definition]:
        """What the server lists, without the credential that was lent for asking. TargetError."""
        lent = self._lend()
        self._check_origin(lent)
        try:
            return self._pages(lent)
        except TargetError as error:
            said, next_step = without([error.message, error.next_step], lent)
            raise TargetError(said, code=error.code, next_step=next_step) from None
        except OSError as error:
            raise TargetError(
                f"{self.name} does not say what its tools are: {without(str(error), lent)}",
                code="upstream_unanswered",
                next_step="check that the upstream runs",
            ) from None

    def _pages(self, lent: Credential | None) -> dict[str, Definition]:
        found: dict[str, Definition] = {}
        cursor, seen = None, set[str]()
        for _ in range(PAGES_MAX):
            params: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
            page = self.link.ask("tools/list", params, authorization=_value(lent))
            tools = page.get("tools")
            for tool in without(tools, lent) if isinstance(tools, list) else ():
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
