"""What a server asks of its client is refused and kept, without a word that the server chose itself."""

import logging

import pytest

from bywire.model.errors import ConflictError
from bywire.wiring.mcp_upstreams import ASKED_OF_CLIENTS, _Ears


class Recorded:
    """A workspace's ledger."""

    def __init__(self, error=None):
        self.kept = []
        self._error = error

    def record(self, kind, subject, said):
        if self._error is not None:
            raise self._error
        self.kept.append((kind, subject, said))


def ears(workspace):
    made = _Ears("github")
    made.workspace = workspace
    return made


@pytest.mark.parametrize("method", [*sorted(ASKED_OF_CLIENTS), f"ghp_{'a1B2' * 9}", "", "sampling/createMessage "])
def test_rule_05_no_word_of_a_servers_own_reaches_the_ledger(method):
    workspace = Recorded()
    ears(workspace).refused(method)
    asked = method if method in {"sampling/createMessage", "elicitation/create", "roots/list"} else "other"
    assert workspace.kept == [("mcp-refused", "upstream:github", {"upstream": "github", "asked": asked})]


def test_a_refusal_that_cannot_be_kept_keeps_nobody_from_his_answer(caplog):
    error = ConflictError("ghp_secret is busy", code="writer_busy", next_step="again")
    with caplog.at_level(logging.ERROR):
        ears(Recorded(error)).refused("roots/list")
    assert "ConflictError" in caplog.text
    assert "ghp_" not in caplog.text


def test_before_there_is_a_workspace_a_refusal_is_a_refusal(caplog):
    ears(None).refused("roots/list")
    assert caplog.text == ""
