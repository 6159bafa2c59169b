"""The drawings of the report: exposure over time, and the effect in one segment with its bounds.

Every drawing shares one time axis, every effect one vertical axis, so that panels compare at a glance. Coordinates are
in a fixed view box; the page scales it. All text is escaped here.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

import msgspec

from bywire.release.report_history import HistoryPoint, VerdictEvent
from bywire.release.verdict import SegmentRow

_LEFT, _RIGHT = 44.0, 12.0


class Axes(msgspec.Struct, frozen=True):
    """The shared axes: intervals `first` to `last`, effects `low` to `high` in points (percent)."""

    first: int
    last: int
    interval_seconds: float
    low: float
    high: float


class Frame(NamedTuple):
    """A view box: its size and the plot area's top and bottom."""

    width: float
    height: float
    top: float
    bottom: float


class Sample(NamedTuple):
    """One interval of one segment: effect and bounds in points."""

    interval: int
    weight: int
    effect: float
    lower: float
    upper: float
    tolerance: float


PANEL = Frame(480, 190, 12, 162)
EXPOSURE = Frame(1040, 170, 40, 140)


def shared_axes(points: Sequence[HistoryPoint], events: Sequence[VerdictEvent], metric: str, seconds: float) -> Axes:
    """Axes that hold every estimate, and the bounds and tolerance of each step's end; wider bounds are cut."""
    intervals = [point.interval for point in points] + [event.interval for event in events] or [0]
    ends = [now for now, following in pairwise(points) if following.weight != now.weight] + list(points[-1:])
    values = [0.0]
    for point in points:
        values += [row.effect * 100 for row in point.rows if row.metric == metric]
    for point in ends:
        rows = [row for row in point.rows if row.metric == metric]
        values += [value * 100 for row in rows for value in (row.lower, row.upper, row.tolerance)]
    high = min(1.08 * max(*values, 1.0), 100.0)
    low = max(min(values), -high)
    tick = tick_size(high - low)
    return Axes(
        first=min(intervals),
        last=max(*intervals, min(intervals) + 1),
        interval_seconds=seconds,
        low=math.floor(low / tick) * tick,
        high=math.ceil(high / tick) * tick,
    )


def tick_size(span: float) -> float:
    """A round step that cuts `span` into four to eight."""
    scale = 10.0 ** math.floor(math.log10(max(span, 1e-6) / 4))
    return next(scale * factor for factor in (1, 2, 5, 10) if span / (scale * factor) <= 7)


def effect_panel(samples: Sequence[Sample], axes: Axes, label: str, *, named: bool, clip: str) -> str:
    """Effect with its bounds, zero line and tolerance for one segment. `clip` is an id unique in the page."""
    frame = PANEL
    parts = [_grid(frame, axes), _step_lines(samples, axes, frame)]
    body: list[str] = []
    for run in _runs(samples):
        upper = [(_x(s.interval, axes, frame), _y(s.upper, axes, frame)) for s in run]
        lower = [(_x(s.interval, axes, frame), _y(s.lower, axes, frame)) for s in run]
        limit = [(_x(s.interval, axes, frame), _y(s.tolerance, axes, frame)) for s in run]
        effect = [(_x(s.interval, axes, frame), _y(s.effect, axes, frame)) for s in run]
        body.append(f'<polygon class="band" points="{_path(_widened(upper) + _widened(lower)[::-1])}"/>')
        body.append(f'<polyline class="limit" points="{_path(_widened(limit))}"/>')
        body.append(f'<polyline class="line" points="{_path(effect)}"/>')
        body.append(f'<circle class="dot" cx="{effect[-1][0]:.1f}" cy="{effect[-1][1]:.1f}" r="3.5"/>')
    zero = _y(0, axes, frame)
    parts.append(
        f'<clipPath id="{clip}"><rect x="{_LEFT}" y="{frame.top}" width="{frame.width - _LEFT - _RIGHT + 6}" '
        f'height="{frame.bottom - frame.top}"/></clipPath><line class="zero" x1="{_LEFT}" x2="{frame.width - _RIGHT}" '
        f'y1="{zero:.1f}" y2="{zero:.1f}"/><g clip-path="url(#{clip})">{"".join(body)}</g>'
    )
    return _svg(frame, label, parts, "harm" if named else "calm")


def exposure_chart(points: Sequence[HistoryPoint], events: Sequence[VerdictEvent], axes: Axes, label: str) -> str:
    """Canary weight over time with the verdicts above it; the shape of a mark says what was decided."""
    frame = EXPOSURE
    scale = msgspec.structs.replace(axes, low=0.0, high=100.0)
    parts = [_grid(frame, scale, unit="%", ticks=(0, 25, 50, 75, 100))]
    outline: list[tuple[float, float]] = []
    for point, following in pairwise((*points, *points[-1:])):
        height = _y(point.weight, scale, frame)
        outline += [(_x(point.interval, scale, frame), height), (_x(following.interval, scale, frame), height)]
    if outline:
        floor = _y(0, scale, frame)
        closed = [(outline[0][0], floor), *outline, (outline[-1][0], floor)]
        parts.append(f'<polygon class="exposure" points="{_path(closed)}"/>')
    taken = -math.inf
    for event in events:
        x = _x(event.interval, scale, frame)
        parts.append(f'<line class="step" x1="{x:.1f}" x2="{x:.1f}" y1="26" y2="{frame.bottom}"/>')
        parts.append(mark(event.decision, x, 20))
        note = f"#{event.entry}" if event.entry >= 0 else ""
        if note and x - taken > 34:
            taken = x
            parts.append(f'<text x="{x:.1f}" y="9" text-anchor="middle">{note}</text>')
    return _svg(frame, label, parts, "calm")


def mark(decision: str, x: float, y: float, size: float = 6.5) -> str:
    """Promote points up, rollback points down, hold is a hollow square."""
    if decision == "promote":
        corners = [(x, y - size), (x + size, y + size), (x - size, y + size)]
    elif decision == "rollback":
        corners = [(x - size, y - size), (x + size, y - size), (x, y + size)]
    else:
        side = size * 0.75
        corners = [(x - side, y - side), (x + side, y - side), (x + side, y + side), (x - side, y + side)]
    kind = decision if decision in {"promote", "rollback"} else "hold"
    return f'<polygon class="mark {kind}" points="{_path(corners)}"/>'


def samples_of(points: Iterable[HistoryPoint], segment: str, metric: str) -> list[Sample]:
    """What one segment did over time, in points."""
    return [
        _sample(point, row) for point in points for row in point.rows if (row.segment, row.metric) == (segment, metric)
    ]


def clock(seconds: float) -> str:
    """Time since the start of the drawing, short."""
    if seconds < 120:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def _sample(point: HistoryPoint, row: SegmentRow) -> Sample:
    return Sample(point.interval, point.weight, row.effect * 100, row.lower * 100, row.upper * 100, row.tolerance * 100)


def _runs(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Stretches of one weight: bounds start anew with each step, so lines must not join across."""
    runs: list[list[Sample]] = []
    for sample in samples:
        if runs and runs[-1][-1].weight == sample.weight:
            runs[-1].append(sample)
        else:
            runs.append([sample])
    return runs


def _grid(frame: Frame, axes: Axes, unit: str = "", ticks: Sequence[float] = ()) -> str:
    parts = []
    tick = tick_size(axes.high - axes.low)
    count = round((axes.high - axes.low) / tick)
    for value in ticks or [axes.low + tick * index for index in range(count + 1)]:
        y = _y(value, axes, frame)
        said = f"{value:g}{unit}" if unit or value <= 0 else f"+{value:g}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{frame.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{said}</text>')
    span = (axes.last - axes.first) * axes.interval_seconds
    seconds = tick_size(span) if span < 120 else max(60.0, round(tick_size(span / 60) * 60, 6))
    for index in range(int(span / seconds) + 1):
        x = _x(axes.first + index * seconds / axes.interval_seconds, axes, frame)
        parts.append(f'<text x="{x:.1f}" y="{frame.bottom + 18}" text-anchor="middle">{clock(index * seconds)}</text>')
    return "".join(parts)


def _step_lines(samples: Sequence[Sample], axes: Axes, frame: Frame) -> str:
    return "".join(
        f'<line class="step" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top}" y2="{frame.bottom}"/>'
        for before, after in pairwise(samples)
        if before.weight != after.weight and (x := _x((before.interval + after.interval) / 2, axes, frame))
    )


def _x(interval: float, axes: Axes, frame: Frame) -> float:
    return _LEFT + (frame.width - _LEFT - _RIGHT) * (interval - axes.first) / (axes.last - axes.first)


def _y(value: float, axes: Axes, frame: Frame) -> float:
    return frame.bottom - (frame.bottom - frame.top) * (value - axes.low) / (axes.high - axes.low)


def _widened(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A single point would be invisible as an area or a dashed line: give it some width."""
    return line if len(line) > 1 else [(line[0][0] - 3, line[0][1]), (line[0][0] + 3, line[0][1])]


def _path(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _svg(frame: Frame, label: str, parts: Iterable[str], kind: str) -> str:
    said = escape(label)
    return (
        f'<svg class="{kind}" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img" aria-label="{said}">'
        f"<title>{said}</title>{''.join(parts)}</svg>"
    )
