"""CTRLRun before the bench's upstream, as its guide for MCP servers sets it up.

One process of `ctrlrun gateway`, its SQLite store, one policy line that allows the read, and a fixed name for the
agent: it looks at no credential, which is less than the others do. It is sent the bytes that bywire is sent.
"""

import contextlib
import http.client

from bench.mcp import Way
from bench.mcp_upstream import TOOL
from bench.peers_installed import NotStartedError, free_port, listens, running

NAME = "ctrlrun"
VARIABLE = "BYWIRE_BENCH_CTRLRUN"
DISTRIBUTION = "ctrlrun"
POLICY = f"schema: ctrlrun.policy/v2\nactions:\n  mcp.bench.{TOOL['name']}:\n    decision: allow\n"


@contextlib.contextmanager
def opened(installed, directory, upstream_port):
    """The way through it, and its process."""
    port = free_port()
    (directory / "ctrlrun.yaml").write_text(POLICY)
    upstream = f"http://127.0.0.1:{upstream_port}/mcp"
    command = [installed.program("ctrlrun"), "gateway", "--upstream", upstream, "--alias", "bench"]
    command += ["--listen", f"127.0.0.1:{port}", "--principal", "bench"]
    with (
        running(command, directory, {}, lambda: listens(port)) as process,
        contextlib.closing(Way(port, "/mcp")) as way,
    ):
        try:
            way.call()
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            raise NotStartedError(f"did not carry the call: {error}") from error
        yield way, process
