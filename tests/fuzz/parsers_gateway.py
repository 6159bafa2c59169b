"""What reaches the gateway from outside: gateway.yaml, and bodies and questions over HTTP."""

from typing import Any

from registry import Parser, parser

GATEWAY = {
    "version": 1,
    "listen": {"host": "127.0.0.1", "port": 8750, "egress_port": 8751},
    "public_url": "https://bywire.example/gateway",
    "hosts": ["bywire.internal:8750"],
    "limits": {"body_bytes": 65536, "calls_in_flight": 4},
    "upstreams": [
        {"name": "shop", "kind": "http", "url": "https://api.example/v1", "environment": "staging", "service": "shop"},
        {"name": "tools", "kind": "mcp", "command": ["python", "-m", "tools"], "timeout_seconds": 5},
    ],
    "budgets": [{"scope": "agent:x", "unit": "tokens", "per_day": 10}],
    "teams": {"web": ["agent:x"]},
}
QUESTION = {
    "subject": {"type": "agent", "id": "fixer"},
    "action": {"name": "shop.list"},
    "resource": {"type": "tool", "id": "shop.list", "properties": {"limit": 1}},
    "context": {"parameters": {"limit": 1}, "key": "k", "binding_token": "ap-1.00"},
}


@parser("config/gateway_config.py:parse")
def _() -> Parser:
    from bywire.config.gateway_config import parse

    return Parser(lambda value: parse(value, "gateway.yaml"), (GATEWAY,), "value")


@parser("api/reading.py:decoded")
def _() -> Parser:
    from bywire.api.decisions import AskBody
    from bywire.api.errors import RefusedError
    from bywire.api.reading import decoded

    return Parser(
        lambda body: decoded(body, AskBody), ({"tool": "t", "parameters": {"a": [1]}},), "json", (RefusedError,)
    )


@parser("api/authzen_answer.py:parameters_of")
def _() -> Parser:
    from bywire.api.authzen import _read
    from bywire.api.authzen_answer import parameters_of, question_hash
    from bywire.api.errors import RefusedError
    from bywire.api.reading import decoded
    from bywire.model.errors import EvidenceError

    def call(body: bytes) -> Any:
        document = decoded(body, dict[str, Any])
        return parameters_of(_read(document)), question_hash(document)

    return Parser(call, (QUESTION,), "json", (RefusedError, EvidenceError))


@parser("api/declared.py:from_meta")
def _() -> Parser:
    from bywire.api.declared import UndeclarableError, from_meta

    said = {"bywire/change": "c", "bywire/plan": "p", "bywire/evidence": ["a" * 64], "bywire/dry_run": True}
    return Parser(
        lambda value: from_meta(value if isinstance(value, dict) else {"bywire/tokens": value}),
        ({**said, "bywire/tokens": 7},),
        "value",
        (UndeclarableError,),
    )


@parser("api/declared.py:text_of")
def _() -> Parser:
    from bywire.api.declared import UndeclarableError, text_of

    return Parser(lambda value: text_of({"bywire/key": value}, "bywire/key"), ("k-1",), "value", (UndeclarableError,))


@parser("api/declared.py:from_headers")
def _() -> Parser:
    from bywire.api.declared import UndeclarableError, from_headers

    def call(raw: bytes) -> Any:
        lines = [line.partition(b": ") for line in raw.split(b"\r\n")]
        return from_headers([(name.lower(), value) for name, _, value in lines])

    said = (
        b"bywire-change: c\r\nbywire-plan: p\r\nbywire-evidence: aa, bb\r\nbywire-tokens: 7\r\nbywire-dry-run: true",
        b"accept: */*\r\nbywire-dry-run: false",
    )
    return Parser(call, said, "bytes", (UndeclarableError,))
