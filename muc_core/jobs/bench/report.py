"""What a bench found, as tables: a mean and its spread for every method and metric, over all seeds."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from muc_core.errors import MucError, UnknownName
from muc_core.evaluation.gap import counting
from muc_core.evaluation.metrics import METRICS, Metric
from muc_core.evaluation.spread import Spread, spread
from muc_core.evaluation.tables import Table
from muc_core.jobs.bench.plan import CONTRAST, ORIGINAL, known_families, registered
from muc_core.jobs.bench.results import PLAN, Result, read_results
from muc_core.sheets import csv_text

BEGIN, END = "<!-- written by `make results` -->", "<!-- end of what `make results` writes -->"
PIVOT = "ac"
"""The method whose claim, to be nearest to Retrain, is put to the test."""
SUMMARY = ("gap", "collateral", "rte", "views")
"""Metrics of the first table, besides the audit."""

STRESS = (
    "How far the forget pictures stand above never-trained ones, in units of their spread: as the encoder is, and"
    " the half that was not shown after relearning the other half for 40 steps, here and in Retrain; with "
    "captions the share of that half whose own caption is the nearest then. On the line: the share of the way to "
    "the original's weights from which on a trace shows, and in how many runs. Linear AUC: a classifier on the "
    "features that tells forget from never-trained pictures."
)


@dataclass(frozen=True)
class Report:
    """The results of a bench.

    Attributes:
        results: the records, those of one family and method with the same settings.
        made: versions and device, from the plan.
    """

    results: tuple[Result, ...]
    made: dict[str, object]

    @property
    def families(self) -> tuple[str, ...]:
        """Those of the demo in its order, then presets."""
        there = {result.family for result in self.results}
        return tuple(name for name in dict.fromkeys([*known_families(), *sorted(there)]) if name in there)

    def methods(self, family: str) -> tuple[str, ...]:
        """Nearest to Retrain first; the original at the top, methods without a gap at the end."""
        names = dict.fromkeys(result.method for result in self.results if result.family == family)

        def place(method: str) -> tuple[bool, float]:
            gap = self.spread(family, method, _gap)
            return method != ORIGINAL, float("inf") if gap is None else gap.mean

        return tuple(sorted(names, key=place))

    def of(self, family: str, method: str) -> list[Result]:
        return [result for result in self.results if (result.family, result.method) == (family, method)]

    def by_training(self, family: str, method: str, value: Callable[[Result], float | None]) -> dict[int, list[float]]:
        """A figure of the runs of a method, by training; evaluations of one encoder count once, by their mean."""
        runs: dict[int, dict[int, list[float]]] = {}
        for result in self.of(family, method):
            found = value(result)
            if found is not None:
                runs.setdefault(result.train_seed, {}).setdefault(result.unlearn_seed, []).append(found)
        return {training: [mean(values) for values in each.values()] for training, each in runs.items()}

    def spread(self, family: str, method: str, value: Callable[[Result], float | None]) -> Spread | None:
        """A figure over the runs of a method, grouped by training."""
        runs = self.by_training(family, method, value)
        return spread(list(runs.values())) if runs else None

    def beyond(self, family: str, method: str) -> Spread | None:
        """How much larger the average gap is than that of `PIVOT`, each training compared with itself."""
        if method == PIVOT:
            return None
        ours, theirs = (self.by_training(family, name, _gap) for name in (method, PIVOT))
        shared = [[mean(ours[training]) - mean(theirs[training])] for training in ours if training in theirs]
        return spread(shared) if shared else None

    def overview(self, family: str) -> Table:
        """A row a method: gap with its interval and beside `PIVOT`'s, collateral, cost, and what the audit says."""
        columns = ["method", "average gap", "95 % interval", "beyond AC"]
        columns += [METRICS.get(name).title for name in SUMMARY[1:]]
        columns += ["audit effect d", "audit verdicts", "trainings x unlearnings"]
        rows = []
        for method in self.methods(family):
            cells = [title_of(method)]
            gap = self.metric(family, method, "gap")
            cells += [_text(METRICS.get("gap"), gap), _interval(METRICS.get("gap"), gap)]
            cells.append(_points(self.beyond(family, method)))
            cells += [_text(METRICS.get(name), self.metric(family, method, name)) for name in SUMMARY[1:]]
            effect = self.spread(
                family, method, lambda result: None if result.audit is None else result.audit.effect.value
            )
            verdicts = Counter(result.audit.verdict for result in self.of(family, method) if result.audit)
            said = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common())
            rows.append((*cells, _text(METRICS.get("cka"), effect), said or "–", _runs(effect)))
        return Table(tuple(columns), tuple(rows))

    def stress(self, family: str) -> Table:
        """A row a method: what residual stress finds; no rows when nothing was stressed."""
        columns = ["method", "at rest", "relearned", "Retrain relearned", "own caption first", "rounded to 8 bits"]
        columns += ["on the line from", "linear AUC", "verdicts", "trainings x unlearnings"]
        rows = []
        for method in self.methods(family):
            found = [result.stress for result in self.of(family, method) if result.stress]
            if not found:
                continue
            figures = [
                self.spread(family, method, lambda result, name=name: getattr(result.stress, name, None))  # type: ignore[misc]
                for name in ("rest", "relearned", "retrained", "first", "linear")
            ]
            *standings, first, linear = (_text(METRICS.get("cka"), each) for each in figures)
            back = sum(one.int8 is True for one in found)
            places = [f"{one.returns_at:.0%}" for one in found if one.returns_at is not None]
            verdicts = Counter(one.verdict for one in found)
            rows.append(
                (
                    title_of(method),
                    *standings,
                    first,
                    f"comes back in {back} of {len(found)}",
                    ", ".join(f"{place} ({count})" for place, count in sorted(Counter(places).items())) or "–",
                    linear,
                    ", ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common()),
                    _runs(figures[0]),
                )
            )
        return Table(tuple(columns), tuple(rows))

    def details(self, family: str, *, in_gap: bool) -> Table:
        """A row a metric, a column a method: mean ± spread. `in_gap`: the metrics of the average gap, or the others."""
        methods = self.methods(family)
        rows = []
        there = {name for result in self.results if result.family == family for name in result.values}
        counted = counting(there)
        for metric in METRICS:
            found = [self.metric(family, method, metric.name) for method in methods]
            if metric.name not in SUMMARY and (metric in counted) == in_gap and any(found):
                rows.append((metric.title, *(_text(metric, each) for each in found)))
        return Table(("metric", *(title_of(method) for method in methods)), tuple(rows))

    def metric(self, family: str, method: str, name: str) -> Spread | None:
        return self.spread(family, method, lambda result: result.values.get(name))

    def remarks(self, family: str) -> list[str]:
        """Errors, what is missing, and what the figures leave out, each once."""
        said = []
        for result in self.results:
            if result.family != family:
                continue
            if result.error:
                said.append(f"{title_of(result.method)}: {result.error}")
            said += result.notes
            for reason, names in result.missing.items():
                titles = ", ".join(METRICS.get(name).title for name in names)
                said.append(f"{title_of(result.method)}, not computed ({titles}): {reason}.")
        return list(dict.fromkeys(said))

    def settings(self, family: str) -> list[str]:
        lines = []
        for method in self.methods(family):
            settings = {name: value for name, value in self.of(family, method)[0].settings.items() if name != "augment"}
            given = ", ".join(f"{name} {value}" for name, value in settings.items() if name != "checkpoints")
            lines.append(f"- {title_of(method)}: {given}")
        return lines

    def to_markdown(self) -> str:
        """All tables under headings, to be put into a page."""
        parts = [_how(self.made, self.results)]
        for family in self.families:
            counts = next((r.counts for r in self.results if r.family == family and r.counts), {})
            sizes = ", ".join(f"{count} {part.replace('_', '-')}" for part, count in counts.items())
            parts += [f"## {family}\n\nPictures: {sizes}.\n", self.overview(family).to_markdown()]
            parts += ["### Metrics of the average gap\n", self.details(family, in_gap=True).to_markdown()]
            parts += ["### Other metrics\n", self.details(family, in_gap=False).to_markdown()]
            if (stress := self.stress(family)).rows:
                parts += [f"### Residual stress\n\n{STRESS}\n", stress.to_markdown()]
            if remarks := self.remarks(family):
                parts.append("\n".join(f"- {remark}" for remark in remarks) + "\n")
            parts.append("Settings (views aside):\n\n" + "\n".join(self.settings(family)) + "\n")
        return "\n".join(parts)

    def to_latex(self) -> str:
        """The overview and the metrics of the gap of each family."""
        tables = []
        for family in self.families:
            tables += [f"% {family}", self.overview(family).to_latex(), self.details(family, in_gap=True).to_latex()]
        return "\n".join(tables)

    def to_csv(self) -> str:
        """A row for each family, method and metric."""
        rows: list[tuple[object, ...]] = [
            ("family", "method", "metric", "mean", "sd", "low", "high", "runs", "trainings")
        ]
        for family in self.families:
            for method in self.methods(family):
                for metric in METRICS:
                    if (found := self.metric(family, method, metric.name)) is not None:
                        figures = (found.mean, found.sd, found.low, found.high, found.runs, found.groups)
                        rows.append((family, method, metric.name, *figures))
        return csv_text(rows)


def read_report(out: Path) -> Report:
    """The report on a folder of results. Raises `MucError` when there are none or they are damaged."""
    results = read_results(out)
    if not results:
        raise MucError(f"{out} has no results; run `muc bench-methods --out {out}` first")
    try:
        made = json.loads((out / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        made = {}
    return Report(tuple(results), made)


def into_page(page: str | None, tables: str) -> str:
    """A page with the tables between its two marks; what is around them stays. Without a page, the tables alone."""
    block = f"{BEGIN}\n\n{tables.strip()}\n\n{END}"
    if page is None:
        return f"# Results\n\n{block}\n"
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MucError(f"the page has no place for the tables; put the lines {BEGIN} and {END} where they belong")
    return f"{before}{block}{after}"


def title_of(method: str) -> str:
    if method == ORIGINAL:
        return "Original"
    try:
        title = registered(method).title
        return f"{title} + contrast" if method.endswith(CONTRAST) else title
    except UnknownName:  # results of a method that this version does not have
        return method


def _how(made: dict[str, object], results: Sequence[Result]) -> str:
    scale, processes = made.get("epochs_scale", 1.0), made.get("processes", 1)
    rehearsal = "" if scale == 1.0 else f" **A rehearsal with {scale} of the epochs: its figures mean nothing.**"
    search = made.get("search")
    found = f" Settings were found by {search} trials of each method, which saw no held-out picture." if search else ""
    versions = made.get("versions")
    torch_version = versions.get("torch", "?") if isinstance(versions, dict) else "?"
    evaluated = sum(result.stress is None for result in results)
    return (
        f"{evaluated} evaluations on {made.get('device', 'an unknown device')}, torch {torch_version}. Cells are "
        "mean ± standard deviation over all runs; intervals are Student's, 95 %, over the means of the trainings, "
        "which alone vary independently. Beyond AC: by how many points the gap is larger than Alignment Calibration's, "
        "each training compared with itself. Retrain is compared with another Retrain, so that its row is the floor "
        f"that chance sets. RTE was measured with {processes} runs at a time.{found}{rehearsal}\n"
    )


def _gap(result: Result) -> float | None:
    return result.values.get("gap")


def _points(found: Spread | None) -> str:
    """A difference of shares in points, with its interval where there is one."""
    if found is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{100 * found.mean:+z.1f}"
    return f"{100 * found.mean:+z.1f} ({100 * found.low:+z.1f} to {100 * found.high:+z.1f})"


def _text(metric: Metric, found: Spread | None) -> str:
    return "–" if found is None else found.text(metric)


def _runs(found: Spread | None) -> str:
    return "–" if found is None else f"{found.groups} x {found.runs / found.groups:g}"


def _interval(metric: Metric, found: Spread | None) -> str:
    if found is None or found.low is None or found.high is None:
        return "–"
    low, high = (
        f"{100 * max(value, 0):.1f}" if metric.unit == "share" else metric.text(value)
        for value in (found.low, found.high)
    )
    return f"{low} to {high}%" if metric.unit == "share" else f"{low} to {high}"
