"""The MCP conformance suite gives the same result direct and through the gateway, but for what is denied on purpose.

Runs where `mcp_suite.py --install .venv/mcp-suite` was run before; in CI it installs what it needs, and never skips.
"""

import os
from pathlib import Path

import pytest
from mcp_suite import EXPECTED, Unavailable, compare, compared

SUITE = Path(__file__).parents[2] / ".venv" / "mcp-suite"


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
def test_the_suite_gives_the_same_result_direct_and_through_the_gateway():
    if not (SUITE / "node_modules").exists() and not os.environ.get("CI"):
        pytest.skip("not installed: python tests/conformance/mcp_suite.py --install .venv/mcp-suite")
    try:
        lines = compare(SUITE)
    except Unavailable as why:
        pytest.fail(str(why))
    assert len(lines) >= 30
    assert [line for line in lines if line[3] == "DEFECT"] == []


def test_a_scenario_that_fails_or_is_missing_through_the_gateway_is_a_defect():
    direct = {"ping": (1, 0), "tools-list": (2, 0), "tools-call-sampling": (1, 0), "both-fail": (0, 1)}
    proxied = {"ping": (0, 1), "tools-call-sampling": (0, 1), "both-fail": (1, 2)}
    said = {name: verdict for name, _, _, verdict in compared(direct, proxied)}
    assert said == {
        "ping": "DEFECT",
        "tools-list": "DEFECT",
        "tools-call-sampling": EXPECTED["tools-call-sampling"],
        "both-fail": "same",
    }
