"""Thin client of the bywire gateway. It depends on nothing but Python, and on the server only over HTTP.

`Client` and `AsyncClient` ask; `governed` wraps functions; `bywire_sdk.pydantic_ai` and `bywire_sdk.langchain` wrap the
tools of agents (extras `pydantic-ai`, `langchain`); `bywire_sdk.testing` is a gateway to test against.
"""

from bywire_sdk.async_client import AsyncClient
from bywire_sdk.client import Client
from bywire_sdk.effects import NothingDone
from bywire_sdk.errors import (
    ApprovalNeeded,
    BadAnswer,
    Busy,
    Conflict,
    Denied,
    EngineError,
    GatewayError,
    Invalid,
    OutcomeUnknown,
    ResultNotKept,
    Unauthenticated,
    Unreachable,
    Unreported,
    UpstreamFailed,
)
from bywire_sdk.governed import governed, run, use
from bywire_sdk.limits import Limits
from bywire_sdk.protocol import Advice, Answer, Permitted, Reported, Tool
from bywire_sdk.tokens import Exchange

__all__ = [
    "Advice",
    "Answer",
    "ApprovalNeeded",
    "AsyncClient",
    "BadAnswer",
    "Busy",
    "Client",
    "Conflict",
    "Denied",
    "EngineError",
    "Exchange",
    "GatewayError",
    "Invalid",
    "Limits",
    "NothingDone",
    "OutcomeUnknown",
    "Permitted",
    "Reported",
    "ResultNotKept",
    "Tool",
    "Unauthenticated",
    "Unreachable",
    "Unreported",
    "UpstreamFailed",
    "governed",
    "run",
    "use",
]
