"""A scripted gateway: the door's promises without its machinery.

Kept as in the real one: default deny, severity, an approval binds one action for one use, a key stands for one action
of one principal and never happens twice, a permit stays unknown until it is reported once. There is no policy engine,
no ledger and no redaction; rules are Python callables of the test.
"""

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bywire_sdk.testing import script
from bywire_sdk.testing.script import Approval, Heard, Intent, Rule, Scripted, When, digest_of, refused

TOKEN = "test-token"  # noqa: S105  it opens nothing
DEADLINE_MS = 60_000


class FakeGateway:
    """Rules, approvals and records of one test. Thread-safe. `heard` is every request in order."""

    def __init__(self, url: str = "http://127.0.0.1:0") -> None:
        self.url = url
        self.tokens: dict[str, str] = {TOKEN: "agent:test"}
        self.keys: dict[str, str] = {}
        self.heard: list[Heard] = []
        self.carried_out: list[tuple[str, dict[str, Any]]] = []
        self.approvals: dict[str, Approval] = {}
        self._tools: dict[str, Scripted] = {}
        self._intents: dict[tuple[str, str, str], Intent] = {}
        self._entries = script.numbers()
        self._lock = threading.RLock()

    # What a test says.

    def allow(self, tool: str, *, when: When | None = None, result: Any = None, read: bool = False) -> None:
        """Allow it. `result` is what the gateway itself returns for it, an object."""
        scripted = self._tool(tool)
        scripted.rules.append(Rule(script.ALLOW, when=when))
        scripted.result, scripted.read = result, read

    def deny(self, tool: str, *, rule: str = "test.denied", reason: str = "", when: When | None = None) -> None:
        """Deny it; without `when` it is not even listed."""
        self._tool(tool).rules.append(Rule(script.DENY, rule, reason or f"{tool} is denied by the script", when))

    def ask_person(self, tool: str, *, rule: str = "test.needs_person", when: When | None = None) -> None:
        """Ask a person; the test decides with `approve` and `refuse`."""
        self._tool(tool).rules.append(Rule(script.APPROVAL_NEEDED, rule, f"{tool} needs a person", when))

    def mask(self, tool: str, parameter: str, value: Any, *, when: When | None = None) -> None:
        """Sanitize: allow it with another value of one parameter."""
        rule = Rule(script.SANITIZE, "test.masked", "masked", when, {parameter: value})
        self._tool(tool).rules.append(rule)

    def breaks(self, tool: str, code: str = "engine_error") -> None:
        """Answer every call of it with this code; an empty one mends it."""
        self._tool(tool).breaks = code

    def approve(self, approval_id: str = "") -> None:
        """Approve one request, or the only one that waits."""
        self._decide(approval_id, "approved")

    def refuse(self, approval_id: str = "") -> None:
        """Refuse one request, or the only one that waits."""
        self._decide(approval_id, "denied")

    @property
    def waiting(self) -> list[Approval]:
        """Requests that nobody has decided."""
        return [approval for approval in self.approvals.values() if approval.state == "pending"]

    def outcomes(self, tool: str = "") -> list[str]:
        """How everything ended that began, oldest first; `open` is what nobody reported."""
        return [row.status for (_, name, _), row in self._intents.items() if tool in {"", name}]

    # What the server asks.

    def answered(self, method: str, path: str, headers: Mapping[str, str], document: Any) -> tuple[int, dict[str, Any]]:
        """(HTTP status, body) of one request."""
        with self._lock:
            about = Heard(path=path, traceparent=headers.get("traceparent", ""))
            if isinstance(document, dict):
                named, key = document.get("tool"), document.get("key") or document.get("intent")
                about = replace(
                    about, tool=str(named or ""), parameters=document.get("parameters") or {}, key=str(key or "")
                )
            try:
                body = self._answer(method, path, headers, document)
                status, said = 200, str(body.get("status", ""))
            except script.Refused as no:
                status, body, said = no.status, _told(path, no.payload), str(no.payload["code"])
            self.heard.append(replace(about, principal=self.tokens.get(_bearer(headers), ""), answered=said))
            return status, body

    def _answer(self, method: str, path: str, headers: Mapping[str, str], document: Any) -> dict[str, Any]:
        place, _, query = path.partition("?")
        if (method, place) == ("POST", "/v1/token"):
            return self._token(document)
        principal = self.tokens.get(_bearer(headers))
        if principal is None:
            raise refused("unauthenticated", "nobody vouches for this token")
        if (method, place) == ("GET", "/v1/tools"):
            return {"tools": self._listed(query.removeprefix("upstream="))}
        if method == "GET" and place.startswith("/v1/approvals/") and place.endswith("/state"):
            return self._state(principal, place.split("/")[3])
        asked = {
            "/v1/call": self._call,
            "/v1/permit": self._permit,
            "/v1/advise": self._advise,
            "/v1/report": self._report,
        }
        if method != "POST" or place not in asked or not isinstance(document, dict):
            raise script.Refused(refused("invalid_parameters", "there is nothing here").payload, 404)
        return asked[place](principal, document)

    def _call(self, principal: str, document: dict[str, Any]) -> dict[str, Any]:
        tool, parameters, known = self._begun(principal, document)
        if known is not None:
            return self._repeated(known)
        permitted = self._judged(principal, tool, parameters, document)
        if document.get("dry_run"):
            return self._done({"dry_run": True}, -1)
        scripted = self._tools[tool]
        result = dict(scripted.result or {})
        self.carried_out.append((tool, permitted))
        if scripted.read:
            return self._done(result, -1)
        row = self._intent(principal, tool, document, parameters)
        row.status, row.result, row.entry = "committed", result, next(self._entries)
        return self._done(result, row.entry)

    def _permit(self, principal: str, document: dict[str, Any]) -> dict[str, Any]:
        tool, parameters, known = self._begun(principal, document)
        if known is not None:
            return self._repeated(known)
        permitted = self._judged(principal, tool, parameters, document)
        if document.get("dry_run"):
            return self._done({"dry_run": True}, -1)
        read = self._tools[tool].read
        return {
            "status": "permitted",
            "intent": "" if read else self._intent(principal, tool, document, parameters).intent,
            "deadline_ms": DEADLINE_MS,
            "parameters": permitted,
            "decision_id": digest_of(tool, permitted),
        }

    def _report(self, principal: str, document: dict[str, Any]) -> dict[str, Any]:
        status = document.get("status")
        if status not in {"committed", "failed", "unknown"}:
            raise refused("invalid_parameters", "a report says committed, failed or unknown")
        named = document.get("intent")
        row = next((row for row in self._intents.values() if (row.intent, row.principal) == (named, principal)), None)
        if row is None:
            raise refused("invalid_parameters", "no permit of yours has this name")
        said = (str(status), dict(document.get("result") or {}))
        if row.status in {"committed", "failed"}:
            if (row.status, row.result) != said:
                raise refused("conflict", f"this permit was settled as {row.status}")
            return {"status": row.status, "entry": row.entry}
        row.status, row.result, row.entry = *said, next(self._entries)
        return {"status": row.status, "entry": row.entry}

    def _advise(self, _: str, document: dict[str, Any]) -> dict[str, Any]:
        tool, parameters = _asked(document)
        said: dict[str, Any] = {"revision": digest_of(tool, parameters), "authorises": False, "payload": None}
        rule = self._tools[tool].judged(parameters) if tool in self._tools else None
        effect = rule.effect if rule is not None else script.DENY
        if effect in {script.DENY, script.APPROVAL_NEEDED}:
            code = "unknown_tool" if rule is None else "policy_denied" if effect == script.DENY else effect
            said["payload"] = refused(code, "advice", rule=rule or Rule(script.DENY, "action.unknown_tool")).payload
        return {"effect": effect, **said}

    # The promises.

    def _begun(self, principal: str, document: dict[str, Any]) -> tuple[str, dict[str, Any], Intent | None]:
        tool, parameters = _asked(document)
        if self._tools.get(tool, Scripted()).breaks:
            raise refused(self._tools[tool].breaks, "the script says so")
        key = str(document.get("key", ""))
        if not key and tool in self._tools and not self._tools[tool].read:
            raise refused("invalid_parameters", f"{tool} needs an idempotency key")
        known = self._intents.get((principal, tool, key))
        if known is not None and known.digest != digest_of(tool, parameters):
            raise refused("conflict", "this idempotency key was used for another action")
        return tool, parameters, known

    def _repeated(self, row: Intent) -> dict[str, Any]:
        if row.status in {"open", "unknown"}:
            raise refused("outcome_unknown", "nobody knows whether it happened")
        if row.status == "failed":
            raise refused("upstream_failed", "it was tried before, and failed")
        return {**self._done(row.result, row.entry), "replayed": True}

    def _judged(
        self, principal: str, tool: str, parameters: dict[str, Any], document: dict[str, Any]
    ) -> dict[str, Any]:
        """The parameters that may be used, or a refusal."""
        rule = self._tools[tool].judged(parameters) if tool in self._tools else None
        if rule is None:
            unknown = Rule(script.DENY, "action.unknown_tool" if tool not in self._tools else "action.default_deny")
            code = "unknown_tool" if tool not in self._tools else "policy_denied"
            raise refused(code, f"nothing allows {tool}", rule=unknown)
        if rule.effect == script.DENY:
            raise refused("policy_denied", rule.reason, rule=rule)
        if rule.effect == script.APPROVAL_NEEDED:
            self._agreed(principal, tool, parameters, rule, str(document.get("key", "")))
        return {**parameters, **{name: value for name, value in rule.mask.items() if name in parameters}}

    def _agreed(self, principal: str, tool: str, parameters: dict[str, Any], rule: Rule, key: str) -> None:
        action = digest_of(principal, tool, parameters)
        bound = [one for one in self.approvals.values() if one.digest == action and not one.used]
        fresh = Approval(f"ap-{action[:8]}-{len(self.approvals)}", action, principal, parameters)
        approval = bound[-1] if bound else fresh
        self.approvals[approval.id] = approval
        if approval.state == "approved":
            approval.used = True
        elif approval.state == "denied":
            raise refused("policy_denied", "a person refused it", rule=Rule(script.DENY, "approval.denied"))
        else:
            where = {"id": approval.id, "url": f"{self.url}/approvals/{approval.id}"}
            retry = {"key": key, "after_seconds": 0}
            raise refused("approval_needed", rule.reason, rule=rule, approval=where, retry=retry)

    def _intent(self, principal: str, tool: str, document: dict[str, Any], parameters: dict[str, Any]) -> Intent:
        key = str(document["key"])
        row = Intent(f"{principal}:{tool}:{key}", principal, digest_of(tool, parameters))
        self._intents[principal, tool, key] = row
        return row

    def _done(self, result: dict[str, Any] | None, entry: int) -> dict[str, Any]:
        about = {"decision_id": digest_of(result), "call_id": f"{digest_of(result)[:16]}-{entry}"}
        return {"status": "committed", "result": result, "label": None, **about, "entry": entry, "replayed": False}

    def _listed(self, upstream: str) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "description": "",
                "schema": {"type": "object"},
                "category": "read" if scripted.read else "unknown_write",
                "risk": "low" if scripted.read else "high",
                "read": scripted.read,
            }
            for name, scripted in sorted(self._tools.items())
            if not scripted.always_denied and (name.partition(".")[0] if "." in name else "") == upstream
        ]

    def _state(self, principal: str, approval_id: str) -> dict[str, Any]:
        approval = self.approvals.get(approval_id)
        if approval is None or approval.principal != principal:
            raise script.Refused(refused("conflict", f"no request of yours is called {approval_id}").payload, 404)
        return {"id": approval_id, "state": approval.state, "expires_at_ms": DEADLINE_MS}

    def _token(self, document: Any) -> dict[str, Any]:
        principal = self.keys.get(str(document.get("subject_token", ""))) if isinstance(document, dict) else None
        if principal is None:
            raise script.Refused(refused("unauthenticated", "nobody vouches for this subject").payload, 400)
        token = f"exchanged-{len(self.tokens)}"
        self.tokens[token] = principal
        kind = "urn:ietf:params:oauth:token-type:access_token"
        return {"access_token": token, "issued_token_type": kind, "token_type": "Bearer", "expires_in": 300}

    def _tool(self, tool: str) -> Scripted:
        return self._tools.setdefault(tool, Scripted())

    def _decide(self, approval_id: str, state: str) -> None:
        with self._lock:
            if not approval_id:
                (only,) = self.waiting
                approval_id = only.id
            self.approvals[approval_id].state = state


def _asked(document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    tool, parameters = document.get("tool"), document.get("parameters", {})
    if not isinstance(tool, str) or not tool or not isinstance(parameters, dict):
        raise refused("invalid_parameters", "a call names a tool and an object of parameters")
    return tool, parameters


def _told(path: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The body of a refusal; the token exchange says it in the words of RFC 6749 as well."""
    if path == "/v1/token":
        return {"error": "invalid_request", "error_description": payload["reason"], "payload": payload}
    return {"error": payload}


def _bearer(headers: Mapping[str, str]) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else ""
