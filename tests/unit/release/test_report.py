"""The report: complete, self-contained, safe against what segments call themselves, and never too large."""

import re
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_fleet import ARTIFACT, SEGMENTS, seeded, traffic

from bywire.release.judge import judge
from bywire.release.judge_policy import JudgePolicy, StepContext
from bywire.release.report import POINTS_MAX, render
from bywire.release.report_history import RolloutHistory, VerdictEvent, event_from_verdict, point_from_verdict
from bywire.release.report_svg import tick_size

VOID = {"meta", "rect", "line", "polygon", "polyline", "circle"}


class Page(HTMLParser):
    """Checks that tags nest, and collects what a reader and a browser would get."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def rollout(harmed=None, rename=None, intervals=12):
    rows = traffic(seeded(3), range(intervals), 25, per_segment=24, harmed=harmed)
    rows = [msgspec.structs.replace(r, segment=(rename or {}).get(r.segment, r.segment)) for r in rows]
    verdicts = []
    for through in range(intervals):
        verdicts.append(judge(rows, JudgePolicy(), StepContext(25, 50, 0, through, artifact=ARTIFACT)))
        if verdicts[-1].decision == "rollback":
            break
    return RolloutHistory(
        "Assistant in checkout",
        "storefront",
        "production",
        ARTIFACT,
        1.0,
        tuple(map(point_from_verdict, verdicts)),
        (event_from_verdict(verdicts[0], 41), event_from_verdict(verdicts[-1], 47)),
        "RolledBack" if harmed else "Running",
        1234,
        56,
    )


def test_it_shows_who_was_harmed_how_much_and_where_it_is_recorded():
    history = rollout({"mobile-web": 0.4})
    html = render(history)
    page = Page(html)
    assert "Rolled back to the last good version" in page.text
    assert history.events[-1].explanation in page.text
    assert {"#41", "#47"} <= set(re.findall(r"#\d+", page.text))
    for segment in (*SEGMENTS, "all segments"):
        assert segment in page.text
    panels = re.findall(r"<figcaption><b>([^<]*)</b>(<span class=\"flag\">)?", html)
    assert [name for name, flag in panels if flag] == ["mobile-web"]
    assert panels[0][0] == "mobile-web"
    assert html.count('class="mark rollback"') == 3  # legend, chart and list


def test_it_fetches_nothing_and_runs_nothing():
    page = Page(render(rollout({"ios": 0.5})))
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base", "use", "image"} & set(page.tags)
    assert not [a for a in page.attributes if a[1] in {"href", "src", "xlink:href", "style"} or a[1].startswith("on")]
    assert "url(" not in re.sub(r"url\(#plot\d+\)", "", render(rollout()))
    assert "@import" not in render(rollout())


def test_what_comes_from_outside_is_text():
    evil = '"><script>alert(1)</script><b onmouseover=x>'
    history = rollout({"ios": 0.5}, {"ios": evil})
    history = msgspec.structs.replace(
        history,
        title=evil,
        service=evil,
        environment=evil,
        artifact=evil,
        outcome=evil,
        events=(*history.events, VerdictEvent(11, 25, evil, evil, (evil,), evil)),
    )
    html = render(history)
    page = Page(html)
    assert "<script" not in html
    assert "script" not in page.tags
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert evil in page.text


def test_light_and_dark_and_no_meaning_by_colour_alone():
    html = render(rollout({"ios": 0.5}))
    assert "prefers-color-scheme: dark" in html
    assert "named by the judge" in html
    shapes = {
        kind: len(re.search(f'class="mark {kind}" points="([^"]*)"', html)[1].split()) for kind in ("promote", "hold")
    }
    assert shapes == {"promote": 3, "hold": 4}
    labels = [value for tag, name, value in Page(html).attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == 1 + 1 + len(SEGMENTS)


def test_panels_share_one_vertical_axis():
    html = render(rollout({"ios": 0.5}))
    axes = {tuple(re.findall(r'text-anchor="end">([^<]*)<', panel)) for panel in html.split("<figure")[2:]}
    assert len(axes) == 1


def test_nothing_to_draw_is_still_a_page():
    empty = RolloutHistory("t", "s", "e", "", 1.0, (), (), "Pending")
    assert "Pending" in Page(render(empty)).text
    Page(render(msgspec.structs.replace(rollout(), points=rollout().points[:1], events=())))


def test_a_long_rollout_stays_a_small_page():
    history = rollout()
    point = history.points[-1]
    many = tuple(msgspec.structs.replace(point, interval=i, weight=5 if i < 9001 else 25) for i in range(20_000))
    events = tuple(msgspec.structs.replace(history.events[0], interval=i) for i in range(0, 20_000, 20))
    html = render(msgspec.structs.replace(history, points=many, events=events))
    assert len(html) < 600_000
    assert html.count("#41") < 300
    assert "earlier verdicts not listed" in html
    assert POINTS_MAX < 1000


@given(st.floats(1e-3, 1e9))
def test_ticks_are_round_and_few(span):
    tick = tick_size(span)
    assert 1 <= span / tick <= 8


@given(st.text(max_size=2000), st.sampled_from(["promote", "hold", "rollback"]), st.integers(-(10**6), 10**9))
@settings(max_examples=60, deadline=None)
def test_any_text_gives_a_page_that_nests(text, decision, interval):
    event = VerdictEvent(interval, 5, decision, "harm_detected", (text,), text, 3)
    Page(render(msgspec.structs.replace(HISTORY, title=text, service=text, events=(event,))))


HISTORY = rollout()


@pytest.mark.parametrize("interval_seconds", [0.5, 1.0, 60.0, 300.0])
def test_time_axis_starts_at_zero(interval_seconds):
    html = render(msgspec.structs.replace(HISTORY, interval_seconds=interval_seconds))
    assert ">0 s</text>" in html
    assert len(re.findall(r'text-anchor="middle">[\d.]+ (?:s|min|h)<', html)) < 70
