"""A rollout as one page: what was exposed, what it did to whom, how sure that is, and what was decided.

The page is one file without scripts or anything fetched from elsewhere; everything that comes from outside is escaped,
and a content security policy in the page forbids the rest. It is drawn from verdicts alone, so it can be drawn again by
anyone who holds the ledger.
"""

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from bywire.release import report_svg as svg
from bywire.release.explain import names, points
from bywire.release.report_history import HistoryPoint, RolloutHistory, VerdictEvent
from bywire.release.report_style import CSS
from bywire.release.verdict import AGGREGATE, SegmentRow

POINTS_MAX = 400
EVENTS_MAX = 120
PANELS_MAX = 24
TEXT_MAX = 600

_OUTCOMES = {
    "Successful": ("calm", "Promoted to full traffic"),
    "RolledBack": ("harm", "Rolled back to the last good version"),
    "Failed": ("harm", "Failed; a person must look"),
}
_SAID = {"promote": "promote", "hold": "hold", "rollback": "roll back"}


def render(history: RolloutHistory) -> str:
    """The whole page as HTML. Long histories are thinned, long lists cut; the page says so. Never raises."""
    drawn, events = _thinned(history.points), history.events[-EVENTS_MAX:]
    axes = svg.shared_axes(drawn, events, history.metric, history.interval_seconds)
    title = f"Rollout of {_cut(history.service)} to {_cut(history.environment)}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(_cut(history.title))}</title><style>{CSS}</style></head><body><main>"
        f"<header><p>{escape(title)}</p><h1>{escape(_cut(history.title))}</h1>"
        f"<p>artifact <code>sha256:{escape(_cut(history.artifact))}</code></p></header>"
        f"{_outcome(history)}{_tiles(history)}{_exposure(drawn, events, axes)}{_effects(history, drawn, axes)}"
        f"{_numbers(history)}{_decisions(history, events, axes)}{_FOOTER}</main></body></html>\n"
    )


def _outcome(history: RolloutHistory) -> str:
    kind, said = _OUTCOMES.get(history.outcome, ("calm", history.outcome))
    last = next((event for event in reversed(history.events) if event.decision != "hold"), None)
    why = f"<p>{escape(_cut(last.explanation))}</p>" if last else ""
    return f'<section class="outcome {kind}"><strong>{escape(_cut(said))}</strong>{why}</section>'


def _tiles(history: RolloutHistory) -> str:
    span = history.points[-1].interval - history.points[0].interval + 1 if history.points else 0
    share = f" ({history.exposure_bad / history.exposure_requests:.1%})" if history.exposure_requests else ""
    tiles = (
        ("Canary requests", f"{history.exposure_requests:,}"),
        ("of which failed", f"{history.exposure_bad:,}{share}"),
        ("Highest weight", f"{max((point.weight for point in history.points), default=0)}%"),
        ("Time exposed", svg.clock(round(span * history.interval_seconds, 1))),
        ("Harmed segments", names(_named(history)) or "none"),
    )
    return (
        '<dl class="tiles">'
        + "".join(f"<div><dt>{name}</dt><dd>{escape(_cut(value))}</dd></div>" for name, value in tiles)
        + "</dl>"
    )


def _exposure(drawn: Sequence[HistoryPoint], events: Sequence[VerdictEvent], axes: svg.Axes) -> str:
    legend = "".join(f"<li>{_icon(decision)}{said}</li>" for decision, said in _SAID.items())
    label = "Canary weight in percent of traffic over time, with verdicts"
    return (
        '<h2>Exposure and verdicts</h2><p class="lead">The share of traffic that the canary serves. Marks are '
        "verdicts; the number above a mark is its ledger entry.</p>"
        f'<ul class="legend">{legend}</ul>'
        f"<figure class=wide>{svg.exposure_chart(drawn, events, axes, label)}</figure>"
    )


def _effects(history: RolloutHistory, drawn: Sequence[HistoryPoint], axes: svg.Axes) -> str:
    named = _named(history)
    segments = {row.segment for point in drawn for row in point.rows if row.metric == history.metric}
    ordered = sorted(segments, key=lambda segment: (segment not in named, segment == AGGREGATE, segment))
    panels = "".join(_panel(history, drawn, axes, segment, index) for index, segment in enumerate(ordered[:PANELS_MAX]))
    hidden = f'<p class="lead">{len(ordered) - PANELS_MAX} more not drawn.</p>' if len(ordered) > PANELS_MAX else ""
    what = "failed" if history.metric == "errors" else "slow"
    return (
        f'<h2>Effect by segment</h2><p class="lead">Share of {what} requests, canary minus stable, in percentage '
        "points. All panels have the same axes. Bounds start anew with each step; parts beyond the axis are cut.</p>"
        f'{_EFFECT_LEGEND}<div class="panels">{panels}</div>{hidden}'
    )


def _panel(history: RolloutHistory, drawn: Sequence[HistoryPoint], axes: svg.Axes, segment: str, index: int) -> str:
    samples = svg.samples_of(drawn, segment, history.metric)
    last, named = samples[-1], segment in _named(history)
    reading = f"{last.effect:+.1f} points [{last.lower:.1f}, {last.upper:.1f}]"
    flag = '<span class="flag">&#9660; named by the judge</span>' if named else ""
    label = f"{names((segment,))}: effect {reading} at the end"
    chart = svg.effect_panel(samples, axes, _cut(label), named=named, clip=f"plot{index}")
    return (
        f"<figure{' class=named' if named else ''}><figcaption><b>{escape(_cut(names((segment,))))}</b>{flag}"
        f"<span>{escape(reading)}</span></figcaption>{chart}</figure>"
    )


def _numbers(history: RolloutHistory) -> str:
    if not history.points:
        return ""
    named = _named(history)
    body = "".join(_number_row(row, named, history.metric) for row in history.points[-1].rows[: 4 * PANELS_MAX])
    head = "".join(
        f'<th scope="col"{" class=word" if index < 2 else ""}>{said}</th>' for index, said in enumerate(_COLUMNS)
    )
    return (
        '<h2>The numbers at the end</h2><p class="lead">Counts of the last step, rates in percentage points. The '
        "evidence is an e-value: the factor by which the data speak for harm beyond the margin; 1 or less is none.</p>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


_COLUMNS = (
    "Segment", "Metric", "Canary", "Stable", "Effect, points", "Bounds", "Tolerated", "Detectable from", "Evidence",
)  # fmt: skip


def _number_row(row: SegmentRow, named: Sequence[str], metric: str) -> str:
    harmed = row.segment in named and row.metric == metric
    cells = (
        f"{row.bad_canary:,} of {row.requests_canary:,}",
        f"{row.bad_stable:,} of {row.requests_stable:,}",
        f"{row.effect * 100:+.1f}",
        f"{points(row.lower)} to {points(row.upper)}",
        points(row.tolerance),
        points(row.minimum_detectable_effect),
        _evidence(row.e_value),
    )
    return (
        f'<tr{" class=named" if harmed else ""}><th scope="row" class="word">{escape(_cut(names((row.segment,))))}</th>'
        f'<td class="word">{escape(_cut(row.metric))}</td>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    )


def _decisions(history: RolloutHistory, events: Sequence[VerdictEvent], axes: svg.Axes) -> str:
    rows = "".join(
        f'<tr><td class="word">{svg.clock(round((event.interval - axes.first) * axes.interval_seconds, 1))}</td>'
        f"<td>{event.weight}%</td>"
        f'<td class="word">{_icon(event.decision)}{escape(_cut(_SAID.get(event.decision, event.decision)))}</td>'
        f'<td class="say">{escape(_cut(event.explanation))} (<code>{escape(_cut(event.reason))}</code>)</td>'
        f"<td>{f'#{event.entry}' if event.entry >= 0 else 'none'}</td></tr>"
        for event in events
    )
    cut = len(history.events) - len(events)
    note = f'<p class="lead">{cut} earlier verdicts not listed.</p>' if cut else ""
    return (
        f'<h2>What was decided and why</h2>{note}<div class="scroll"><table><thead><tr>'
        '<th scope="col" class="word">Time</th><th scope="col">Weight</th><th scope="col" class="word">Verdict</th>'
        '<th scope="col" class="word">Because</th>'
        f'<th scope="col">Ledger entry</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _named(history: RolloutHistory) -> tuple[str, ...]:
    """Only harm names a segment; an inconclusive rollback accuses nobody."""
    return next(
        (event.segments for event in reversed(history.events) if event.reason == "harm_detected"),
        (),
    )


def _thinned(drawn: Sequence[HistoryPoint]) -> tuple[HistoryPoint, ...]:
    """At most `POINTS_MAX` points; the first and last of every step are kept, whatever their number."""
    stride = -(-len(drawn) // POINTS_MAX) if drawn else 1
    turns = {index for index, (now, after) in enumerate(pairwise(drawn)) if now.weight != after.weight}
    edges = {0, len(drawn) - 1, *turns, *(index + 1 for index in turns)}
    return tuple(point for index, point in enumerate(drawn) if index % stride == 0 or index in edges)


def _icon(decision: str) -> str:
    return f'<svg viewBox="0 0 14 14" aria-hidden="true">{svg.mark(decision, 7, 7, 5.5)}</svg>'


def _evidence(e_value: float) -> str:
    return f"{e_value:,.0f}" if 1000 <= e_value < 1e6 else f"{e_value:.3g}"


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "\u2026"


_EFFECT_LEGEND = (
    '<ul class="legend"><li><svg viewBox="0 0 28 14" class="calm" aria-hidden="true"><rect class="band" width="28" '
    'height="14"/><polyline class="line" points="0,7 28,7"/></svg>effect with bounds that hold at all times</li>'
    '<li><svg viewBox="0 0 28 14" aria-hidden="true"><polyline class="limit" points="0,7 28,7"/></svg>tolerated before '
    'the next step: the upper bound must fall below it</li><li><svg viewBox="0 0 28 14" aria-hidden="true">'
    '<line class="zero" x1="0" x2="28" y1="7" y2="7"/></svg>no effect</li></ul>'
)
_FOOTER = (
    "<footer><p>Bounds are confidence sequences (Robbins 1970; Howard and others 2021): the chance that the true "
    "effect of a step ever leaves them is limited, however often one looks. A rollback rests on an e-process over the "
    "bad requests of both arms, which is sharper than the bounds and may convict before they leave zero; a promotion "
    "needs the upper bound of every segment to stay within the error budget at the next exposure. Missing telemetry is "
    "never a reason to go on.</p></footer>"
)
