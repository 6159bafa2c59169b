"""What approval channels hear: signed callbacks, proofs of who somebody is. Signed well, hostile inside."""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

from registry import ALICE, NOW, ORIGIN, TRUST, Parser, parser

SECRET = b"8f742231b10e8888abcd99yyyzzz85a5"
ENCODED = base64.b64encode(SECRET).decode()
PRESSED = {
    "type": "block_actions",
    "user": {"id": "U0"},
    "team": {"id": "T0"},
    "channel": {"id": "C0"},
    "actions": [{"action_id": "bywire_approve", "value": "ap-000000000001|" + "a" * 64}],
}
WROTE = {
    "type": "message",
    "id": "1",
    "timestamp": "2026-09-21T14:13:20.0000000Z",
    "from": {"aadObjectId": "x"},
    "channelData": {"tenant": {"id": "t"}},
    "text": "<at>bywire</at> approve ap-000000000001 " + "a" * 16,
}
SAID = {
    "type": "approval.verdict",
    "data": {"approval": "ap-000000000001", "packet_digest": "a" * 64, "verdict": "approved", "member": "m"},
}


@parser("approvals/channel_slack.py:heard")
def _() -> Parser:
    from bywire.approvals.channel_slack import heard

    at = str(NOW // 1000).encode()

    def call(body: bytes) -> Any:
        body = urlencode({"payload": body}).encode()
        signed = b"v0=" + hmac.new(SECRET, b"v0:" + at + b":" + body, hashlib.sha256).hexdigest().encode()
        return heard(body, at, signed, secret=SECRET, team="T0", place="C0", now_ms=NOW)

    return Parser(call, (PRESSED,), "json")


@parser("approvals/channel_teams.py:heard")
def _() -> Parser:
    from bywire.approvals.channel_teams import heard

    def call(body: bytes) -> Any:
        signed = b"HMAC " + base64.b64encode(hmac.new(SECRET, body, hashlib.sha256).digest())
        return heard(body, signed, secret=ENCODED, tenant="t", now_ms=NOW)

    return Parser(call, (WROTE,), "json")


@parser("approvals/channel_webhook.py:heard")
def _() -> Parser:
    from bywire.approvals.channel_webhook import heard

    at = str(NOW // 1000).encode()

    def call(body: bytes) -> Any:
        signed = b"v1," + base64.b64encode(hmac.new(SECRET, b"m." + at + b"." + body, hashlib.sha256).digest())
        return heard(body, b"m", at, signed, secret=f"whsec_{ENCODED}", now_ms=NOW)

    return Parser(call, (SAID,), "json")


@parser("approvals/channel_sign_in.py:verify_sign_in")
def _() -> Parser:
    from bywire.approvals.channel_sign_in import SignIn, claimed_by, sign_in, verify_sign_in

    def call(raw: bytes) -> Any:
        text = raw.decode("latin-1")
        return claimed_by(text), verify_sign_in(text, TRUST, NOW, "")

    proof = sign_in(SignIn("person:alice", "n", "", ORIGIN, NOW), ALICE)
    return Parser(call, (proof.encode(),))
