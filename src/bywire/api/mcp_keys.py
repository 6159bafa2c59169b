"""Retry keys of MCP calls: the caller's own, or one that the same call always gets, and the state that carries it back.

The key of a call that names none is a digest of who asks in which run for what, with secrets already replaced, so that
a client that sends the same call again resumes it and never repeats its effect.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec

from bywire.gateway.contract import PARAMETERS_BYTES_MAX, ContractError
from bywire.gateway.redaction import Redactor
from bywire.identity.session import Session
from bywire.seal import jcs

STATE_CHARS_MAX = 1_024


def derived_key(session: Session, tool: str, arguments: dict[str, Any], redactor: Redactor) -> str:
    """The key of a call that names none. EvidenceError `not_canonical` for arguments that have no canonical form.

    ContractError for arguments larger than a door takes: looking for secrets in them would cost seconds.
    """
    if len(jcs.canonical(arguments)) > PARAMETERS_BYTES_MAX:
        raise ContractError("the parameters are too large", next_step=f"send at most {PARAMETERS_BYTES_MAX} bytes")
    said = [session.principal.id, session.run, tool, redactor.canonical(arguments)]
    return f"mcp:{jcs.digest(said)[:48]}"


def sign_state(key: str, principal: str, tool: str, workspace_key: bytes) -> str:
    """`requestState` of a call that waits for a person: its key, for this principal and tool alone."""
    packed = base64.urlsafe_b64encode(key.encode()).decode()
    return f"{packed}.{_mac(key, principal, tool, workspace_key)}"


def key_of_state(state: str, principal: str, tool: str, workspace_key: bytes) -> str | None:
    """The key in a state of ours, for the same principal and tool; None for any other."""
    packed, _, mac = state.partition(".")
    if len(state) > STATE_CHARS_MAX or not mac.isascii():
        return None
    try:
        key = base64.urlsafe_b64decode(packed.encode()).decode()
    except (binascii.Error, UnicodeError, ValueError):
        return None
    return key if hmac.compare_digest(mac, _mac(key, principal, tool, workspace_key)) else None


def _mac(key: str, principal: str, tool: str, workspace_key: bytes) -> str:
    said = msgspec.json.encode(["mcp-state", key, principal, tool])
    return hmac.new(workspace_key, said, hashlib.sha256).hexdigest()
