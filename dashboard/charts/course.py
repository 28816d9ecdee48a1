"""A run along the way: alignment of the three sets and the verdict of a quick audit at each checkpoint."""

from typing import Any

import plotly.graph_objects as go

from dashboard.charts.dial import SIGNS
from dashboard.charts.style import HUES, LEGEND_AT_FOOT, axis, base_layout, title_height, two_decimals
from dashboard.charts.verdict_looks import LOOKS
from muc_core.audit.result import Verdict
from muc_core.jobs.tuning.course import Course, CoursePoint

HOW_TO_READ = (
    "How to read this: mean similarity of each set with its own captions or changed copies, at the start and at every "
    "checkpoint. Forgetting brings vermilion down to blue and leaves green where it was. The sign of a vermilion point "
    "is the verdict of a quick audit: 2 views, no probes."
)
WRAP = 42
_SETS = (("forget", "forget set", "forget"), ("retain", "retained", "retain"), ("controls", "controls", "controls"))


def course_figure(course: Course, total_steps: int, *, dark: bool) -> go.Figure:
    """Alignment over steps; `course` has at least one point with figures."""
    title = course_finding(course)
    layout = base_layout(title, dark, height=320 + title_height(title, wrap=WRAP), wrap=WRAP)
    layout["margin"] = {"t": title_height(title, wrap=WRAP) + 20, "r": 12, "b": 104, "l": 56}
    seen = [point for point in course.points if point.verdict is not None]
    layout |= {
        "xaxis": axis("step", dark) | {"range": [0, max(total_steps, seen[-1].step, 1) * 1.02]},
        "yaxis": axis("similarity", dark),
        "showlegend": True,
        "legend": layout["legend"] | LEGEND_AT_FOOT,
    }
    return go.Figure([_line(seen, *one) for one in _SETS], layout)


def course_finding(course: Course) -> str:
    """The verdict so far, with its number."""
    last = next(point for point in reversed(course.points) if point.verdict is not None)
    assert last.verdict is not None  # just chosen so
    effect = "" if last.effect is None else f", {two_decimals(last.effect.value)} above never-seen pictures"
    return f"At step {last.step:,}, so far: {_word(last.verdict).lower()}{effect}"


def _word(verdict: Verdict) -> str:
    """A quick audit makes no probes, without which nothing is called forgotten."""
    return "No trace seen" if verdict == "forgotten" else LOOKS[verdict].word


def _line(points: list[CoursePoint], name: str, title: str, hue: str) -> dict[str, Any]:
    verdicts = [point.verdict for point in points if point.verdict is not None]
    marker: dict[str, Any] = {"size": 6, "color": HUES[hue]}
    if name == "forget":
        marker |= {"size": 11, "symbol": [SIGNS[verdict] for verdict in verdicts], "line": {"width": 1.5}}
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": title,
        "x": [point.step for point in points],
        "y": [getattr(point, name) for point in points],
        "line": {"color": HUES[hue], "width": 2, "dash": "dot" if name == "controls" else "solid"},
        "marker": marker,
        "text": [_word(verdict) for verdict in verdicts],
        "hovertemplate": f"step %{{x}}: {title} <b>%{{y:.2f}}</b><br>%{{text}}<extra></extra>",
    }
