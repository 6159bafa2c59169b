"""A served gateway with channels, people with keys, and a browser that keeps cookies and reads forms."""

import html
import http.client
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from serving import prepared, served

from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.approvals.packet import Packet, evidence_digest
from bywire.identity.trust import TrustRoot
from bywire.model.principal import KeyRole
from bywire.seal import jcs

PEOPLE = [
    {"id": "person:dana", "roles": ["service-owner", "sre-oncall"]},
    {"id": "person:oncall", "roles": ["sre-oncall", "service-owner"]},
    {"id": "person:ines", "roles": ["incident-commander", "sre-oncall"]},
    {"id": "person:sam", "roles": ["database-owner"]},
]
SLACK_SECRET, SLACK_TOKEN = "8f742231b10e8888abcd99yyyzzz85a5", "xoxb-bot-token-of-a-test"
TEAMS_SECRET = "bXkgdGVhbXMgc2VjdXJpdHkgdG9rZW4gb2YgYSB0ZXN0"
OUT_SECRET = "whsec_" + "T3V0IHNlY3JldCBmb3IgYSB0ZXN0IG9mIG91cnM="
IN_SECRET = "whsec_" + "SW4gc2VjcmV0IGZvciBhIHRlc3Qgb2Ygb3VycyE="
TENANT = "0a0a0a0a-1111-2222-3333-444444444444"
GUID = {"oncall": "1b1b1b1b-1111-2222-3333-444444444444", "dana": "2c2c2c2c-1111-2222-3333-444444444444"}
MEMBERS = {"U0ONCALL": "person:oncall", "U0INES": "person:ines", "U0DANA": "person:dana", "U0SAM": "person:sam"}


class Got(NamedTuple):
    """What a platform was sent."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Platform:
    """A local server in the place of Slack, Teams and a webhook's receiver."""

    def __init__(self):
        self.got: list[Got] = []
        self.fails = 0
        outer = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            log_message = lambda self, *_: None

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                failing, outer.fails = outer.fails > 0, max(0, outer.fails - 1)
                said = {"ok": True, "channel": "C0OPS", "ts": f"17000000{len(outer.got):02}.000100"}
                answer = json.dumps(said).encode()
                self.send_response(500 if failing else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.send_header("connection", "close")
                self.end_headers()
                self.wfile.write(answer)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def at(self, path):
        return [one for one in self.got if one.path.partition("?")[0] == path]

    def close(self):
        self.server.shutdown()
        self.thread.join(10)
        self.server.server_close()


def secrets_in(root):
    found = {}
    for name, text in (
        ("slack", SLACK_SECRET),
        ("token", SLACK_TOKEN),
        ("teams", TEAMS_SECRET),
        ("out", OUT_SECRET),
        ("in", IN_SECRET),
    ):
        place = root / f"secret-{name}"
        place.write_text(text)
        place.chmod(0o600)
        found[name] = str(place)
    return found


def channels_of(root, platform_url):
    """A whole `channels` section."""
    lies = secrets_in(root)
    url = root / "secret-url"
    url.write_text(f"{platform_url}/workflows/1/triggers?api-version=1&sig=abc")
    url.chmod(0o600)
    return {
        "web": {"verdicts": True},
        "slack": {
            "channel": "C0OPS",
            "team": "T0BYWIRE",
            "token_file": lies["token"],
            "signing_secret_file": lies["slack"],
            "people": MEMBERS,
            "address": platform_url,
            "private": True,
        },
        "teams": {
            "url_file": str(url),
            "secret_file": lies["teams"],
            "tenant": TENANT,
            "people": {guid: f"person:{name}" for name, guid in GUID.items()},
            "private": True,
        },
        "webhook": {
            "url": f"{platform_url}/hook",
            "secret_file": lies["out"],
            "verdict_secret_file": lies["in"],
            "people": {"ines@example": "person:ines"},
            "private": True,
        },
    }


def staged(root, platform_url="http://127.0.0.1:9", **more):
    """A prepared scene whose people all have approver keys."""
    root.mkdir(parents=True, exist_ok=True)
    scene = prepared(root / "scene", environment="staging", channels=channels_of(root, platform_url), **more)
    scene.configure(people=PEOPLE, reminders={"after_seconds": [60]})
    keys = KeyFiles(OperatorDirectory(scene.operator))
    trust = keys.trust()
    made = [keys.create(KeyRole.APPROVER, one["id"]) for one in PEOPLE if not keys.exists(KeyRole.APPROVER, one["id"])]
    keys.save_trust(TrustRoot(version=1, origin=trust.origin, keys=(*trust.keys, *made)))
    return scene


def asked(workspace, number=1, **changes):
    """A request as the door would store it."""
    parameters = changes.pop("parameters", {"job": "nightly"})
    action = {"tool": "shop.restart", "parameters": parameters, "principal": "agent:fixer", "change": ""}
    now_ms = workspace.clock.now_ms()
    made = Packet(
        id=f"ap-{number:012x}",
        action=action,
        action_digest=jcs.digest(action),
        evidence=(),
        evidence_digest=evidence_digest(()),
        bundle_digest="d" * 64,
        environment="staging",
        service="tiny",
        requester="agent:fixer",
        target={"version": 1, "stable": "b" * 64},
        plan=None,
        plan_digest="",
        tier="low",
        approver_roles=("sre-oncall", "service-owner", "incident-commander"),
        requested_at_ms=now_ms,
        expires_at_ms=now_ms + 3_600_000,
        undo="run it again",
        expected="the job runs once more",
        missing=("no test report",),
        contrary=(),
        uncertain=("asked by a session that read untrusted text",),
        prose="",
    )
    made = msgspec.structs.replace(made, **changes)
    workspace.approvals.pending(made)
    return made


@contextmanager
def world(scene, **limits):
    with served(scene, **limits) as running:
        running.scene = scene
        running.workspace = running.gateway.workspace
        yield running


class Page(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def csrf(self):
        found = re.search(r'name="csrf" value="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else ""

    def field(self, name):
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else ""


class Browser:
    """Keeps one cookie, follows no redirect by itself."""

    def __init__(self, port):
        self.port = port
        self.cookie = ""

    def send(self, method, path, form=None, headers=None, *, cookie=True):
        sent = {"cookie": self.cookie} if self.cookie and cookie else {}
        body = None
        if form is not None:
            body = form if isinstance(form, bytes) else urlencode(form).encode()
            sent |= {
                "content-type": "application/x-www-form-urlencoded",
                "origin": f"http://127.0.0.1:{self.port}",
                "sec-fetch-site": "same-origin",
            }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, sent | (headers or {}))
            answer = connection.getresponse()
            found = {k.lower(): v for k, v in answer.getheaders()}
            text = answer.read().decode()
        finally:
            connection.close()
        if "set-cookie" in found and cookie:
            self.cookie = found["set-cookie"].partition(";")[0]
        return Page(answer.status, found, text)

    def get(self, path, **more):
        return self.send("GET", path, **more)

    def post(self, path, form, **more):
        return self.send("POST", path, form, **more)

    def sign_in(self, scene, who, about=""):
        """By a one-time link."""
        link = scene.bywire("approvals", "link", "--as", who, "--json").json["url"]
        path = "/approvals/sign-in" + link.partition("/approvals/sign-in")[2]
        page = self.get(f"{path}&next={about}" if about else path)
        done = self.post(
            "/approvals/sign-in", {"csrf": page.csrf, "proof": page.field("proof"), "next": page.field("next")}
        )
        assert done.status == 303, done
        return done
