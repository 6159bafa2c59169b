"""The approval pages as a person's browser sees them, and as a page of somebody else's tries to use them."""

import pytest
from channel_world import Browser, asked, staged, world

from bywire.api import approval_pages, approval_pages_visitors
from bywire.api.approval_pages_visitors import ANONYMOUS_MS, Visitors


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    scene = staged(tmp_path_factory.mktemp("pages"))
    with pytest.MonkeyPatch.context() as patched:
        for name in ("SIGN_INS_PER_MINUTE", "VERDICTS_PER_MINUTE"):
            patched.setattr(approval_pages, name, 1_000)
        with world(scene) as found:
            yield found


@pytest.fixture
def browser(running):
    return Browser(running.port)


NUMBERS = iter(range(1, 1_000))


def made(running, **changes):
    return asked(running.workspace, next(NUMBERS), **changes)


def answer(browser, packet, verdict="approved", **more):
    page = browser.get(f"/approvals/{packet.id}")
    form = {"csrf": page.csrf, "digest": page.field("digest"), "verdict": verdict, "reason": "read it", **more}
    return browser.post(f"/approvals/{packet.id}/verdict", form)


def test_a_person_signs_in_sees_the_whole_packet_and_agrees(running, browser):
    packet = made(running, prose="please <b>hurry</b>")
    before = browser.get(f"/approvals/{packet.id}")
    assert before.status == 401
    assert "nightly" not in before.text
    done = browser.sign_in(running.scene, "oncall", packet.id)
    assert done.headers["location"] == f"/approvals/{packet.id}"
    page = browser.get(f"/approvals/{packet.id}")
    for text in (
        "nightly",
        packet.digest,
        "agent:fixer",
        "person:dana",
        "no test report",
        "Untrusted",
        packet.evidence_digest,
    ):
        assert text in page.text, text
    assert "please &lt;b&gt;hurry" in page.text
    agreed = answer(browser, packet)
    assert "person:oncall agreed to it" in agreed.text
    row = running.workspace.approvals.row(packet.id)
    assert row.verdict == "approved"
    told = running.scene.bywire("approvals", "show", packet.id, "--json").json
    assert told["approvals"] == [{"approver": "person:oncall", "role": "sre-oncall", "asserted_by": "channel"}]


class TestSignIn:
    def test_a_proof_works_once(self, running, browser):
        link = running.scene.bywire("approvals", "link", "--as", "oncall", "--json").json["url"]
        path = "/approvals/sign-in" + link.partition("/approvals/sign-in")[2]
        page = browser.get(path)
        assert "Sign in as person:oncall" in page.text
        form = {"csrf": page.csrf, "proof": page.field("proof"), "next": ""}
        assert browser.post("/approvals/sign-in", form).status == 303
        thief = Browser(running.port)
        again = {**form, "csrf": thief.get(path).csrf}
        assert "used before" in thief.post("/approvals/sign-in", again).text
        assert thief.get("/approvals").status == 401

    def test_looking_at_a_link_signs_nobody_in(self, running, browser):
        link = running.scene.bywire("approvals", "link", "--as", "oncall", "--json").json["url"]
        browser.get("/approvals/sign-in" + link.partition("/approvals/sign-in")[2])
        assert browser.get("/approvals").status == 401

    def test_a_challenge_is_of_one_browser(self, running, browser):
        def challenge(one):
            page = one.get("/approvals/sign-in")
            return page, page.text.partition("bywire approvals sign-in ")[2].partition(" ")[0]

        page, shown = challenge(browser)
        proof = running.scene.bywire("approvals", "sign-in", shown, "--as", "ines", "--json").json["proof"]
        other = Browser(running.port)
        theirs, _ = challenge(other)
        refused = other.post("/approvals/sign-in", {"csrf": theirs.csrf, "proof": proof, "next": ""})
        assert (refused.status, "another page" in refused.text) == (403, True)
        assert browser.post("/approvals/sign-in", {"csrf": page.csrf, "proof": proof, "next": ""}).status == 303
        assert "person:ines" in browser.get("/approvals").text

    def test_signing_in_changes_the_cookie(self, running, browser):
        browser.get("/approvals/sign-in")
        planted = browser.cookie
        browser.sign_in(running.scene, "oncall")
        assert browser.cookie != planted
        fixed = Browser(running.port)
        fixed.cookie = planted
        assert fixed.get("/approvals").status == 401

    @pytest.mark.parametrize(
        "asks", ["//evil.example", "https://evil.example/", "ap-000000000001/../x", "ap-000000000001\r\nx: y", "/etc"]
    )
    def test_no_redirect_leads_away(self, running, browser, asks):
        page = browser.get("/approvals/sign-in")
        link = running.scene.bywire("approvals", "link", "--as", "oncall", "--json").json["url"]
        form = {"csrf": page.csrf, "proof": link.partition("proof=")[2], "next": asks}
        done = browser.post("/approvals/sign-in", form)
        assert (done.status, done.headers["location"]) == (303, "/approvals")

    @pytest.mark.parametrize("proof", ["", "x", "é" * 10, "A" * 9_000, "eyJhIjoxfQ", "%00", "_-" * 40])
    def test_what_is_no_proof(self, running, browser, proof):
        page = browser.get("/approvals/sign-in")
        done = browser.post("/approvals/sign-in", {"csrf": page.csrf, "proof": proof, "next": ""})
        assert done.status == 403
        assert browser.get("/approvals").status == 401

    def test_an_approval_of_the_same_key_is_no_proof(self, running, browser):
        import base64

        from bywire.approvals.packet import sign_verdict
        from bywire.model.principal import KeyRole

        packet = made(running)
        key = running.workspace.keys.load(KeyRole.APPROVER, "person:oncall")
        envelope = sign_verdict(packet, "approved", "person:oncall", "sre-oncall", "", 1, key)
        page = browser.get("/approvals/sign-in")
        proof = base64.urlsafe_b64encode(envelope).decode()[:8_000]
        done = browser.post("/approvals/sign-in", {"csrf": page.csrf, "proof": proof, "next": ""})
        assert done.status == 403


class TestForms:
    def test_csrf_a_cross_site_post_with_the_cookie(self, running, browser):
        packet = made(running)
        browser.sign_in(running.scene, "oncall")
        page = browser.get(f"/approvals/{packet.id}")
        path = f"/approvals/{packet.id}/verdict"
        form = {"csrf": page.csrf, "digest": packet.digest, "verdict": "approved"}
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"content-type": "text/plain"},
        ):
            assert browser.post(path, form, headers=headers).status in {403, 415}, headers
        for csrf in ("", "x" * 43, page.csrf[:-1]):
            assert browser.post(path, {**form, "csrf": csrf}).status == 403
        assert browser.post(path, f"csrf={page.csrf}&csrf={page.csrf}&digest={packet.digest}".encode()).status == 403
        stranger = Browser(running.port)
        theirs = stranger.get("/approvals/sign-in").csrf
        assert browser.post(path, {**form, "csrf": theirs}).status == 403
        assert running.workspace.approvals.row(packet.id).envelopes == ()

    def test_host_rebinding(self, running, browser):
        for host in ("evil.example", f"evil.example:{running.port}", "127.0.0.1.evil.example"):
            assert browser.get("/approvals", headers={"host": host}).status == 421

    def test_what_a_browser_may_do_with_a_page(self, running, browser):
        page = browser.get("/approvals/sign-in")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["cross-origin-resource-policy"] == "same-origin"
        cookie = page.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/approvals" in cookie

    def test_a_body_that_is_too_large(self, running, browser):
        browser.sign_in(running.scene, "oncall")
        packet = made(running)
        form = {"csrf": browser.get(f"/approvals/{packet.id}").csrf, "reason": "x" * 40_000}
        assert browser.post(f"/approvals/{packet.id}/verdict", form).status == 413

    def test_a_visit_from_another_site_keeps_the_session(self, running, browser):
        """SameSite=Strict holds the cookie back; a new one must not take its place."""
        packet = made(running)
        browser.sign_in(running.scene, "oncall")
        kept = browser.cookie
        arrived = browser.get(f"/approvals/{packet.id}", headers={"sec-fetch-site": "cross-site"}, cookie=False)
        assert "set-cookie" not in arrived.headers
        assert f'content="0;url=/approvals/{packet.id}"' in arrived.text
        assert browser.cookie == kept
        assert browser.get(f"/approvals/{packet.id}").status == 200


class TestShown:
    XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"

    def test_markup_in_arguments_prose_and_names(self, running, browser):
        browser.sign_in(running.scene, "oncall")
        packet = made(
            running,
            parameters={self.XSS: self.XSS},
            prose=self.XSS,
            requester=f"agent:{self.XSS}",
            environment=self.XSS,
            contrary=(self.XSS,),
            evidence_summary=(self.XSS,),
            alternatives=(self.XSS,),
            expected=self.XSS,
            undo=self.XSS,
        )
        for path in ("", f"/{packet.id}", f"/{packet.id}/wait"):
            page = browser.get(f"/approvals{path}")
            assert page.status == 200
            assert "<script" not in page.text
            assert "<img" not in page.text
            assert "49" not in page.text.replace("{{7*7}}", "").partition("<main>")[2].partition("digest")[0][:200]
        assert "&lt;script&gt;" in browser.get(f"/approvals/{packet.id}").text

    def test_what_cannot_be_seen_is_spelled_out(self, running, browser):
        browser.sign_in(running.scene, "oncall")
        packet = made(running, parameters={"job": "night\u202eyl\u200b\u3164"}, prose="a\u2066b")
        page = browser.get(f"/approvals/{packet.id}")
        assert "night&lt;U+202E&gt;yl&lt;U+200B&gt;&lt;U+3164&gt;" in page.text
        assert "a&lt;U+2066&gt;b" in page.text

    def test_ids_cannot_be_guessed_or_bent(self, running, browser):
        packet = made(running)
        stranger = Browser(running.port)
        known, unknown = stranger.get(f"/approvals/{packet.id}"), stranger.get("/approvals/ap-ffffffffffff")
        assert (known.status, unknown.status) == (401, 401)
        assert packet.digest not in known.text
        browser.sign_in(running.scene, "oncall")
        for about in ("ap-ffffffffffff", "ap-1", "%2e%2e", "ap-00000000000%27", "AP-000000000001"):
            assert browser.get(f"/approvals/{about}").status == 404, about

    def test_what_differs_from_an_earlier_request(self, running, browser):
        browser.sign_in(running.scene, "oncall")
        first = made(running, expires_at_ms=running.workspace.clock.now_ms() + 1)
        second = made(running, parameters={"job": "weekly"}, supersedes=first.id)
        assert "approved &#34;nightly&#34;, asked &#34;weekly&#34;" in browser.get(f"/approvals/{second.id}").text
        old = browser.get(f"/approvals/{first.id}")
        assert f"asked again as {second.id}" in old.text
        assert "Approve exactly this" not in old.text
        gone = browser.post(
            f"/approvals/{first.id}/verdict", {"csrf": old.csrf, "digest": first.digest, "verdict": "approved"}
        )
        assert (gone.status, "weekly" in gone.text) == (409, True)


class TestVerdict:
    def test_rule_19_a_high_tier_stays_pending_and_says_why(self, running, browser):
        packet = made(running, tier="high", quorum=2)
        browser.sign_in(running.scene, "oncall")
        page = browser.get(f"/approvals/{packet.id}")
        assert "Approve exactly this" not in page.text
        assert "a channel&#39;s word counts for trivial, low only" in page.text
        assert f"bywire approvals approve {packet.id} --as oncall" in page.text
        forced = answer(browser, packet)
        assert (forced.status, "stays pending" in forced.text) == (403, True)
        assert running.workspace.approvals.row(packet.id).envelopes == ()

    def test_a_denial_counts_at_every_tier(self, running, browser):
        packet = made(running, tier="high")
        browser.sign_in(running.scene, "ines")
        assert answer(browser, packet, "denied").status == 200
        assert running.workspace.approvals.row(packet.id).verdict == "denied"

    def test_one_proof_is_one_verdict(self, running, browser):
        one, two = made(running), made(running)
        browser.sign_in(running.scene, "oncall")
        assert answer(browser, one).status == 200
        page = browser.get(f"/approvals/{two.id}")
        assert "Prove again" in page.text
        form = {"csrf": page.csrf, "digest": two.digest, "verdict": "approved"}
        refused = browser.post(f"/approvals/{two.id}/verdict", form)
        assert (refused.status, "a proof of its own" in refused.text) == (403, True)
        assert running.workspace.approvals.row(two.id).envelopes == ()

    def test_a_double_click_is_one_verdict(self, running, browser):
        from concurrent.futures import ThreadPoolExecutor

        packet = made(running, quorum=2)
        browser.sign_in(running.scene, "oncall")
        page = browser.get(f"/approvals/{packet.id}")
        form = {"csrf": page.csrf, "digest": packet.digest, "verdict": "approved"}
        with ThreadPoolExecutor(8) as pool:
            said = list(pool.map(lambda _: browser.post(f"/approvals/{packet.id}/verdict", form).status, range(8)))
        assert sorted(said) == [200, *[403] * 7]
        assert len(running.workspace.approvals.row(packet.id).envelopes) == 1

    def test_a_packet_that_was_swapped_meanwhile(self, running, browser):
        packet = made(running)
        browser.sign_in(running.scene, "oncall")
        for digest in ("f" * 64, "", packet.digest[:8], "é" * 64):
            answered = answer(browser, packet, digest=digest)
            assert (answered.status, "not the packet that was shown" in answered.text) == (409, True)
        assert running.workspace.approvals.row(packet.id).envelopes == ()

    @pytest.mark.parametrize(("who", "says"), [("dana", "owns the agent"), ("sam", "no role that counts")])
    def test_rule_19_who_may_not_answer(self, running, browser, who, says):
        packet = made(running)
        browser.sign_in(running.scene, who)
        refused = answer(browser, packet)
        assert (refused.status, says in refused.text) == (403, True)
        assert running.workspace.approvals.row(packet.id).envelopes == ()

    def test_the_same_person_by_page_and_by_key(self, running, browser):
        packet = made(running, quorum=2)
        browser.sign_in(running.scene, "oncall")
        assert answer(browser, packet).status == 200
        ran = running.scene.approve(packet.id, "oncall")
        assert ran.json["error"]["code"] == "approval_settled"
        assert running.workspace.approvals.row(packet.id).verdict == "pending"

    def test_a_page_that_takes_no_verdicts(self, running, browser):
        import msgspec

        packet, channels = made(running), running.gateway.channels
        browser.sign_in(running.scene, "oncall")
        kept = channels.channels
        closed = msgspec.structs.replace(kept, web=msgspec.structs.replace(kept.web, verdicts=False))
        try:
            channels.channels = closed
            refused = answer(browser, packet)
        finally:
            channels.channels = kept
        assert (refused.status, "takes no verdicts" in refused.text) == (403, True)

    def test_a_revoked_key_ends_the_session(self, running, browser):
        browser.sign_in(running.scene, "ines")
        assert browser.get("/approvals").status == 200
        assert running.scene.bywire("keys", "rotate", "approver", "person:ines").code == 0
        assert browser.get("/approvals").status == 401


def test_a_crowd_at_one_address_keeps_nobody_out(tmp_path, monkeypatch):
    """Behind a proxy all have one address: strangers spend what is theirs, never a person's way in."""
    monkeypatch.setattr(approval_pages, "SIGN_INS_PER_MINUTE", 3)
    monkeypatch.setattr(approval_pages_visitors, "VISITORS_MAX", 8)
    with world(staged(tmp_path)) as found:
        person, stranger = Browser(found.port), Browser(found.port)
        link = found.scene.bywire("approvals", "link", "--as", "ines", "--json").json["url"]
        page = person.get("/approvals/sign-in" + link.partition("/approvals/sign-in")[2])
        assert {Browser(found.port).get("/approvals/sign-in").status for _ in range(130)} == {200}
        form = {"csrf": stranger.get("/approvals/sign-in").csrf, "proof": "x", "next": ""}
        assert {stranger.post("/approvals/sign-in", form).status for _ in range(8)} == {403, 429}
        form = {"csrf": page.csrf, "proof": page.field("proof"), "next": ""}
        assert person.post("/approvals/sign-in", form).status == 303
        packet = asked(found.workspace, next(NUMBERS))
        assert answer(person, packet, "denied").status == 200


@pytest.mark.parametrize("change", ["9", "0"])
def test_a_cookie_that_we_did_not_make_is_nobodys(change):
    visitors = Visitors(1_000)
    made = visitors.begin(0)
    assert visitors.find(made.secret, ANONYMOUS_MS - 1).csrf == made.csrf
    assert visitors.find(made.secret, ANONYMOUS_MS) is None
    head, until, mark = made.secret.split(".")
    assert visitors.find(f"{head}.{change}{until}.{mark}", 0) is None
    assert visitors.find(f"{head}.{until}.{'0' * 64}", 0) is None
    assert Visitors(1_000).find(made.secret, 0) is None, "a restart forgets"


def test_what_is_tried_too_often(running, monkeypatch):
    monkeypatch.setattr(approval_pages, "SIGN_INS_PER_MINUTE", 3)
    rates = approval_pages._Pages(running.gateway)._sign_ins
    now_ms = 1_790_000_000_000
    assert [rates.count("10.0.0.1", now_ms) for _ in range(4)] == [True, True, True, False]
    assert rates.count("10.0.0.2", now_ms)
