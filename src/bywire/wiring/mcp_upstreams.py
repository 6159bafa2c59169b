"""MCP servers as upstreams: the link that gateway.yaml describes, and how they are asked what their tools are."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from bywire.adapters.mcp_http import McpHttp
from bywire.adapters.mcp_link import Link
from bywire.adapters.mcp_stdio import McpStdio, scrubbed
from bywire.adapters.mcp_upstream import McpExecutor
from bywire.adapters.pinned_http import PinnedHttp, parse_origin
from bywire.gateway.contract import Contract
from bywire.gateway.ports import Credential, Credentials, Executor
from bywire.model.errors import BywireError
from bywire.model.gateway import Upstream
from bywire.wiring import payload
from bywire.wiring.workspace import Workspace

SECRET_NAME = "BYWIRE_UPSTREAM_TOKEN"  # noqa: S105  the name of a variable
REFUSED_KIND = "mcp-refused"
ASKED_OF_CLIENTS = frozenset({"sampling/createMessage", "elicitation/create", "roots/list"})


class _Ears:
    """What a link says of itself, for an executor that is made after it."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.executor: McpExecutor | None = None
        self.workspace: Workspace | None = None

    def changed(self, method: str, params: dict[str, Any]) -> None:
        """Something is not what it was."""
        if self.executor is not None:
            self.executor.changed(method, params)

    def refused(self, method: str) -> None:
        """The server asked its client for something (RULES 23): refused, and kept in the ledger.

        A name of its own invention is kept as `other`: it may hold whatever the server was told, a credential too.
        """
        if self.workspace is None:
            return
        said = {"upstream": self._upstream, "asked": method if method in ASKED_OF_CLIENTS else "other"}
        try:
            self.workspace.record(REFUSED_KIND, f"upstream:{self._upstream}", said)
        except BywireError as error:
            # It was refused all the same; answers to calls under way must still be read.
            payload.log_fault(error)


class ConnectedMcp(McpExecutor):
    """An MCP upstream of a workspace."""

    def __init__(self, upstream: Upstream, link: Link, contracts: Mapping[str, Contract], ears: _Ears) -> None:
        super().__init__(upstream.name, link, contracts, lend=self._lent)
        self._upstream = upstream
        self._ears = ears
        self._workspace: Workspace | None = None
        self._credentials: Credentials | None = None
        ears.executor = self

    def join(self, workspace: Workspace, credentials: Credentials) -> None:
        """With this, the server can be asked what its tools are."""
        self._workspace = self._ears.workspace = workspace
        self._credentials = credentials

    def _lent(self) -> Credential | None:
        name, workspace, credentials = self._upstream.credential, self._workspace, self._credentials
        if not name or workspace is None or credentials is None:
            return None
        now_ms = workspace.clock.now_ms()
        lent = credentials.for_read(name, now_ms, tool=f"{self.name}.tools/list")
        issued = {
            "credential": lent.name,
            "origin": lent.origin,
            "expires_at_ms": lent.expires_at_ms,
            "minted": lent.minted,
            "intent": "",
            "action": "",
        }
        workspace.journal.record_document("credential", issued, "", now_ms)
        return lent


def mcp_upstream(upstream: Upstream, contracts: tuple[Contract, ...]) -> Executor:
    """The executor of an MCP upstream. Raises ConfigError `origin_invalid`."""
    ears = _Ears(upstream.name)
    link: Link
    if upstream.command:
        link = McpStdio(
            upstream.name,
            upstream.command,
            timeout_seconds=upstream.timeout_seconds,
            refused=ears.refused,
            changed=ears.changed,
            environment=scrubbed(extra=upstream.variables),
            secret_name=(upstream.credential_variable or SECRET_NAME) if upstream.credential else "",
        )
    else:
        parts = urlsplit(upstream.url)
        origin = parse_origin(f"{parts.scheme}://{parts.netloc}", private=upstream.private)
        link = McpHttp(
            upstream.name,
            PinnedHttp(origin, timeout_seconds=upstream.timeout_seconds),
            parts.path or "/",
            timeout_seconds=upstream.timeout_seconds,
            refused=ears.refused,
            changed=ears.changed,
        )
    return ConnectedMcp(upstream, link, {contract.name: contract for contract in contracts}, ears)


def join_mcp(executors: Iterable[Executor], workspace: Workspace, credentials: Credentials) -> None:
    """Give MCP upstreams what they need of the workspace they belong to."""
    for executor in executors:
        if isinstance(executor, ConnectedMcp):
            executor.join(workspace, credentials)


def close_upstreams(executors: Iterable[Executor]) -> None:
    """End every link; children and connections are given back."""
    for executor in executors:
        if isinstance(executor, McpExecutor):
            executor.close()
