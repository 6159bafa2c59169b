"""What Slack, Teams and a webhook are told, and what is heard from them; against servers that follow their shapes."""

import base64
import hashlib
import hmac
import itertools
import json
import time
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from channel_world import (
    GUID,
    IN_SECRET,
    OUT_SECRET,
    SLACK_SECRET,
    SLACK_TOKEN,
    TEAMS_SECRET,
    TENANT,
    Browser,
    Platform,
    asked,
    staged,
    world,
)
from scene import wait_until

from bywire.api import channel_callbacks
from bywire.approvals.grant import verify_approval
from bywire.gateway.redaction import Redactor
from bywire.wiring.channel_telling import Telling, sender, telling
from bywire.wiring.key_changes import revoke_key


@pytest.fixture(scope="module")
def platform():
    found = Platform()
    yield found
    found.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory, platform):
    scene = staged(tmp_path_factory.mktemp("callbacks"), platform.url)
    with world(scene) as found:
        yield found


NUMBERS = itertools.count(1)
IDS = itertools.count(1)


def made(running, **changes):
    return asked(running.workspace, next(NUMBERS), **changes)


def pressed(packet, member="U0ONCALL", action="bywire_approve", **changes):
    said = {
        "type": "block_actions",
        "user": {"id": member, "username": "whoever", "team_id": "T0BYWIRE"},
        "api_app_id": "A0",
        "token": "deprecated",
        "team": {"id": "T0BYWIRE", "domain": "ops"},
        "channel": {"id": "C0OPS", "name": "ops"},
        "response_url": "https://hooks.slack.example/actions/1",
        "actions": [
            {"action_id": action, "block_id": packet.id, "value": f"{packet.id}|{packet.digest}", "type": "button"}
        ],
        **changes,
    }
    return urlencode({"payload": json.dumps(said)}).encode()


def slack(running, body, *, at=None, late=0, secret=SLACK_SECRET, signature=None, nonce=True):
    at = str(int(time.time()) - late if at is None else at)
    # A press differs from the one before by its trigger; here by a field that nobody reads.
    body = body.replace(b"deprecated", b"%d" % next(IDS)) if nonce else body
    made = "v0=" + hmac.new(secret.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": at,
        "x-slack-signature": made if signature is None else signature,
    }
    return running.send("POST", "/channels/slack", body, headers=headers, token="")


def wrote(running, text, who="oncall", *, at=None, secret=TEAMS_SECRET, tenant=TENANT, authorization=None):
    at = datetime.now(UTC) if at is None else at
    body = json.dumps(
        {
            "type": "message",
            "id": str(next(IDS)),
            "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z",
            "serviceUrl": "https://smba.example/",
            "from": {"id": "29:1x", "name": "Somebody", "aadObjectId": GUID.get(who, who)},
            "conversation": {"id": "19:c"},
            "channelData": {"tenant": {"id": tenant}},
            "text": text,
        }
    ).encode()
    made = base64.b64encode(hmac.new(base64.b64decode(secret), body, hashlib.sha256).digest()).decode()
    headers = {
        "content-type": "application/json",
        "authorization": f"HMAC {made}" if authorization is None else authorization,
    }
    return running.send("POST", "/channels/teams", body, headers=headers, token="")


def posted(running, packet, *, member="ines@example", secret=IN_SECRET, at=None, identifier=None, **changes):
    at = str(int(time.time()) if at is None else at)
    identifier = identifier or f"msg_{next(IDS)}"
    data = {"approval": packet.id, "packet_digest": packet.digest, "verdict": "approved", "member": member, **changes}
    body = json.dumps({"type": "approval.verdict", "data": data}).encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = base64.b64encode(hmac.new(key, f"{identifier}.{at}.".encode() + body, hashlib.sha256).digest()).decode()
    headers = {
        "content-type": "application/json",
        "webhook-id": identifier,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,AAAA v1,{made}",
    }
    return running.send("POST", "/channels/webhook", body, headers=headers, token="")


def row(running, packet):
    return running.workspace.approvals.row(packet.id)


def whispered(platform, *says):
    """The message in which one member alone was told all of this."""

    def found():
        told = [one.json for one in platform.at("/api/chat.postEphemeral")]
        return [one for one in told if all(text in one["text"] for text in says)]

    wait_until(found, 5)
    return found()[-1]


class TestSlack:
    def test_a_pressed_button_is_the_channels_word(self, running):
        packet = made(running)
        answer = slack(running, pressed(packet))
        assert (answer.status, answer.body) == (200, b"")
        found = row(running, packet)
        assert found.verdict == "approved"
        verdict = verify_approval(found.envelopes[0], running.workspace.trust)
        assert (verdict.approver, verdict.approval.asserted_by) == ("person:oncall", "channel")
        holder = running.workspace.trust.entry(verdict.key_id)
        assert (str(holder.role), holder.principal) == ("channel", "workload:slack")

    def test_denying(self, running):
        packet = made(running, tier="high")
        assert slack(running, pressed(packet, action="bywire_deny")).status == 200
        assert row(running, packet).verdict == "denied"

    def test_rule_19_a_stolen_signing_secret_at_a_high_tier(self, running, platform):
        packet = made(running, tier="high", quorum=2)
        for member in ("U0ONCALL", "U0INES"):
            assert slack(running, pressed(packet, member)).status == 200
        assert (row(running, packet).verdict, row(running, packet).envelopes) == ("pending", ())
        assert whispered(platform, packet.id, "stays pending", "high tier", f"bywire approvals approve {packet.id}")

    @pytest.mark.parametrize(
        "how",
        [
            {"secret": "another"},
            {"signature": ""},
            {"signature": "v0=" + "0" * 64},
            {"signature": "v0=é"},
            {"late": 301},
            {"late": -420},
            {"at": "0x10"},
            {"at": "9" * 20},
            {"at": ""},
        ],
    )
    def test_forged_late_or_of_the_future(self, running, how):
        packet = made(running)
        answer = slack(running, pressed(packet), **how)
        assert (answer.status, answer.json["error"]["cause"]) == (401, "callback_refused")
        assert row(running, packet).envelopes == ()

    def test_a_replay_is_refused(self, running):
        one, at = made(running, quorum=2), int(time.time())
        body = pressed(one, "U0INES")
        assert slack(running, body, at=at, nonce=False).status == 200
        assert len(row(running, one).envelopes) == 1
        signed = running.workspace.reader.rows("SELECT count(*) FROM channel_heard")[0][0]
        assert slack(running, body, at=at, nonce=False).status == 200
        assert len(row(running, one).envelopes) == 1
        assert running.workspace.reader.rows("SELECT count(*) FROM channel_heard")[0][0] == signed

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"payload=", b"payload={}", b"payload=%7B", b"x=1", b"payload={}&payload={}", b"\xff\xfe",
            b"payload=" + b"%5B" * 3_000, urlencode({"payload": '{"type": "block_actions"}'}).encode(),
        ],
    )  # fmt: skip
    def test_truncated_and_strange_bodies_that_are_signed(self, running, body):
        assert slack(running, body).status == 401

    def test_an_oversize_body(self, running):
        assert slack(running, b"payload=" + b"x" * 300_000).status == 413

    def test_from_another_workspace_or_channel(self, running):
        packet = made(running)
        for changes in ({"team": {"id": "T0OTHER"}}, {"channel": {"id": "C0OTHER"}}, {"type": "view_submission"}):
            assert slack(running, pressed(packet, **changes)).status == 401
        twice = {"actions": [{"action_id": "bywire_approve", "value": "x"}] * 2}
        assert slack(running, pressed(packet, **twice)).status == 401
        assert row(running, packet).envelopes == ()

    @pytest.mark.parametrize(
        ("member", "says"),
        [("U0NOBODY", "nobody is known"), ("U0DANA", "owns the agent"), ("U0SAM", "no role that counts")],
    )
    def test_who_may_not_answer_is_told_so(self, running, platform, member, says):
        packet = made(running)
        assert slack(running, pressed(packet, member)).status == 200
        assert whispered(platform, says)["user"] == member
        assert row(running, packet).envelopes == ()

    def test_a_button_of_another_packet(self, running, platform):
        packet = made(running)
        swapped = [{"action_id": "bywire_approve", "value": f"{packet.id}|{'f' * 64}", "type": "button"}]
        assert slack(running, pressed(packet, actions=swapped)).status == 200
        assert whispered(platform, packet.id, "not the packet that was shown")
        for value in (packet.id, f"{packet.id}|", f"{packet.id}|{packet.digest[:8]}", "|", ""):
            slack(running, pressed(packet, actions=[{"action_id": "bywire_approve", "value": value}]))
        assert row(running, packet).envelopes == ()

    def test_an_expired_packet_names_what_was_asked_since(self, running, platform):
        old = made(running, expires_at_ms=running.workspace.clock.now_ms() + 1)
        made(running, parameters={"job": "weekly"}, supersedes=old.id)
        slack(running, pressed(old))
        assert whispered(platform, old.id, "is expired", "weekly")

    def test_rule_19_one_person_on_every_channel_is_one(self, running):
        packet = made(running, quorum=2)
        assert slack(running, pressed(packet)).status == 200
        teams = wrote(running, f"<at>bywire</at> approve {packet.id} {packet.digest[:16]}")
        assert "answered" in teams.json["text"]
        browser = Browser(running.port)
        browser.sign_in(running.scene, "oncall")
        page = browser.get(f"/approvals/{packet.id}")
        form = {"csrf": page.csrf, "digest": packet.digest, "verdict": "approved"}
        assert browser.post(f"/approvals/{packet.id}/verdict", form).status == 409
        assert row(running, packet).verdict == "pending"
        assert posted(running, packet).json["state"] == "approved"


class TestTeams:
    def test_what_a_person_writes(self, running):
        packet = made(running)
        words = f"<at>bywire</at>&nbsp;approve {packet.id}\n{packet.digest[:16]} read the diff"
        answer = wrote(running, f"<p>{words}</p>")
        assert answer.status == 200
        assert "approved" in answer.json["text"]
        assert row(running, packet).verdict == "approved"
        assert verify_approval(row(running, packet).envelopes[0], running.workspace.trust).reason == "read the diff"

    def test_forged_late_and_foreign(self, running):
        packet = made(running)
        text = f"approve {packet.id} {packet.digest[:16]}"
        old = datetime.fromtimestamp(time.time() - 400, UTC)
        other = base64.b64encode(b"y" * 32).decode()
        for how in (
            {"secret": other}, {"authorization": ""}, {"authorization": "HMAC "}, {"authorization": "Bearer x"},
            {"at": old}, {"tenant": GUID["dana"]},
        ):  # fmt: skip
            assert wrote(running, text, **how).status == 401, how
        for text in ("approve", f"approve {packet.id}", f"approve {packet.id} {packet.digest[:15]}", "maybe x", ""):
            assert wrote(running, text).status == 401, text
        assert row(running, packet).envelopes == ()

    def test_a_high_tier_and_a_stranger_are_told_why(self, running):
        packet = made(running, tier="medium")
        assert "stays pending" in wrote(running, f"approve {packet.id} {packet.digest[:16]}").json["text"]
        stranger = "9f9f9f9f-1111-2222-3333-444444444444"
        assert "nobody is known" in wrote(running, f"approve {packet.id} {packet.digest}", stranger).json["text"]
        assert row(running, packet).envelopes == ()


class TestWebhook:
    def test_a_verdict_in(self, running):
        packet = made(running)
        answer = posted(running, packet, reason="agreed in the other tool")
        assert (answer.status, answer.json["state"]) == (200, "approved")

    def test_forged_late_replayed(self, running):
        packet = made(running)
        now = int(time.time())
        for how in ({"secret": OUT_SECRET}, {"at": now - 400}, {"at": now + 400}):
            assert posted(running, packet, **how).status == 401
        for changes in ({"verdict": "maybe"}, {"packet_digest": "x"}, {"approval": "x"}, {"extra": 1}):
            assert posted(running, packet, **changes).status == 401
        assert posted(running, packet, member="U0ONCALL").status == 403
        assert row(running, packet).envelopes == ()
        assert posted(running, packet, identifier="msg_same").status == 200
        again = posted(running, made(running), identifier="msg_same")
        assert (again.status, again.json["error"]["cause"]) == (409, "callback_replayed")

    def test_what_we_send_is_no_verdict(self, running, platform):
        """Two secrets: whoever receives our events cannot make them into answers."""
        packet = made(running)
        assert posted(running, packet, secret=OUT_SECRET).status == 401


def test_who_forges_callbacks_keeps_no_signed_one_out(template, tmp_path, monkeypatch):
    """Behind a proxy all come from one address: failures are counted there, and a denial still arrives."""
    monkeypatch.setattr(channel_callbacks, "FAILURES_PER_MINUTE", 4)
    scene, _ = template
    with world(scene.clone(tmp_path / "scene")) as found:
        packets = [made(found) for _ in range(3)]
        forged = [posted(found, packets[0], secret=OUT_SECRET).status for _ in range(10)]
        assert set(forged) == {401, 429}
        assert posted(found, packets[0], verdict="denied").json["state"] == "denied"
        assert slack(found, pressed(packets[1], action="bywire_deny")).status == 200
        assert len(row(found, packets[1]).envelopes) == 1
        assert wrote(found, f"deny {packets[2].id} {packets[2].digest[:16]}").status == 200


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    place = Platform()
    scene = staged(tmp_path_factory.mktemp("told"), place.url)
    yield scene, place
    place.close()


@pytest.fixture
def fresh(template, tmp_path):
    scene, place = template
    place.got.clear()
    place.fails = 0
    with world(scene.clone(tmp_path / "scene")) as found:
        found.platform = place
        yield found


class TestTelling:
    def one(self, running, name):
        return Telling(running.gateway.channels, name, sender(running.gateway.channels, name))

    def test_slack_from_the_question_to_the_end(self, fresh):
        secret = "ghp_" + "a1B2" * 9
        job = Redactor(b"w" * 32).canonical({"job": f"x <!channel> *b* {secret}"})
        packet = asked(fresh.workspace, parameters=job, prose="press approve quickly")
        way, platform = self.one(fresh, "slack"), fresh.platform
        assert way.round() == 1
        assert way.round() == 0
        first = platform.at("/api/chat.postMessage")[0]
        assert first.headers["authorization"] == f"Bearer {SLACK_TOKEN}"
        told = first.body.decode()
        assert secret not in told
        assert "quickly" not in told
        exact = next(block for block in first.json["blocks"] if block["type"] == "rich_text")
        assert "<!channel> *b*" in exact["elements"][0]["elements"][0]["text"]
        assert "<" not in first.json["text"]
        buttons = next(block for block in first.json["blocks"] if block.get("block_id") == packet.id)["elements"]
        assert {one["value"] for one in buttons} == {f"{packet.id}|{packet.digest}"}
        assert SLACK_TOKEN not in told
        assert "proof=" not in told
        fresh.workspace.approvals.remind(packet, "after-60", {"about": packet.id}, fresh.workspace.clock.now_ms())
        assert way.round() == 1
        threaded = platform.at("/api/chat.postMessage")[1].json
        assert threaded["thread_ts"] == "1700000001.000100"
        assert "person:oncall" in threaded["blocks"][0]["text"]["text"]
        assert slack(fresh, pressed(packet)).status == 200
        assert way.round() == 1
        ended = platform.at("/api/chat.update")[0].json
        assert ended["ts"] == "1700000001.000100"
        assert "approved by person:oncall" in ended["blocks"][0]["text"]["text"]
        assert "bywire_approve" not in json.dumps(ended)
        assert way.round() == 0

    def test_teams_and_the_webhook(self, fresh):
        packet, platform = asked(fresh.workspace, tier="high"), fresh.platform
        assert [self.one(fresh, name).round() for name in ("teams", "webhook")] == [1, 1]
        card = platform.got[0]
        assert card.path == "/workflows/1/triggers?api-version=1&sig=abc"
        content = card.json["attachments"][0]["content"]
        assert content["type"] == "AdaptiveCard"
        assert content["actions"] == [
            {
                "type": "Action.OpenUrl",
                "title": "Open the request",
                "url": f"http://127.0.0.1:{fresh.port}/approvals/{packet.id}",
            }
        ]
        assert "takes no verdict from a chat" in json.dumps(content)
        hook = platform.at("/hook")[0]
        signed = f"{hook.headers['webhook-id']}.{hook.headers['webhook-timestamp']}.".encode() + hook.body
        key = base64.b64decode(OUT_SECRET.removeprefix("whsec_"))
        made = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert hook.headers["webhook-signature"] == f"v1,{made}"
        assert (hook.json["type"], hook.json["data"]["digest"]) == ("approval.requested", packet.digest)
        assert hook.json["data"]["may_answer"] is False

    def test_what_does_not_arrive_is_tried_again_and_given_up(self, fresh):
        asked(fresh.workspace)
        way, platform, store = self.one(fresh, "webhook"), fresh.platform, fresh.gateway.channels.store
        platform.fails = 100
        assert way.round() == 1
        assert store.counts() == {"webhook": {"waiting": 1}}
        assert way.round() == 0
        for _ in range(7):
            fresh.workspace.writer.run(lambda tx: tx.execute("UPDATE channel_messages SET next_ms = 0"))
            assert way.round() == 1
        assert store.counts() == {"webhook": {"dead": 1}}
        assert len({one.headers["webhook-id"] for one in platform.at("/hook")}) == 1
        said = fresh.scene.bywire("approvals", "channels", "--json").json["channels"]
        assert next(one for one in said if one["channel"] == "webhook")["dead"] == 1

    def test_arguments_that_do_not_fit_take_no_button(self, fresh):
        packet = asked(fresh.workspace, parameters={"job": "x" * 3_000})
        self.one(fresh, "slack").round()
        told = fresh.platform.got[0].body.decode()
        assert "bywire_approve" not in told
        assert "too long" in told
        slack(fresh, pressed(packet))
        assert row(fresh, packet).envelopes == ()

    def test_threads_tell_and_end(self, fresh):
        with telling(fresh.gateway.channels) as ways:
            assert [way.name for way in ways] == ["slack", "teams", "webhook"]
            asked(fresh.workspace)
            wait_until(lambda: len(fresh.platform.got) >= 3, 10)

    def test_a_revoked_channel_key_says_nothing_more(self, fresh):
        first, second = asked(fresh.workspace, 1, quorum=2), asked(fresh.workspace, 2)
        assert slack(fresh, pressed(first)).status == 200
        changed = revoke_key(fresh.workspace, "workload:slack", "the signing secret was stolen")
        assert changed.ended == {"approvals": 1}
        assert slack(fresh, pressed(second)).status == 200
        assert row(fresh, second).envelopes == ()


def test_a_call_waits_for_slack_and_is_carried_out_once(tmp_path):
    """An agent's own call, from the question to the effect."""
    platform = Platform()
    with world(staged(tmp_path, platform.url, upstream_url=platform.url)) as running:
        way = Telling(running.gateway.channels, "slack", sender(running.gateway.channels, "slack"))
        ask = {"tool": "shop.restart", "parameters": {"job": "nightly"}, "key": "k1"}
        pending = running.post("/v1/call", ask)
        assert (pending.status, pending.code) == (202, "approval_needed")
        about = pending.json["error"]["approval"]["id"]
        packet = running.workspace.approvals.row(about).packet
        assert packet.tier == "low"
        assert way.round() == 1
        assert slack(running, pressed(packet)).status == 200
        for replayed in (False, True):
            done = running.post("/v1/call", ask)
            assert (done.status, done.json["status"], done.json["replayed"]) == (200, "committed", replayed), done.json
        assert len(platform.at("/jobs/nightly/restart")) == 1
    platform.close()
