"""How often the audit errs: many audits of encoders of which the truth is known. Writes Markdown.

    python -m benchmarks.calibration [--audits 1000] [--only NAME] [--out FILE]

Every encoder looks at all pictures once; an audit then draws its items and controls. Owner's items come from the
forget set (the original saw them, Retrain did not) or, for the null, from the same never-trained pool as the controls.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import kstest

from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.result import AuditResult, Verdict
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.data.demo import demo_split, load_demo
from muc_core.encoders.embed import embed_texts, embed_views
from muc_core.stats.rates import Rate, rate
from muc_core.workspace import Workspace

CONTROLS = 100
COUNTS = (20, 50, 100)
VIEWS = 8
FAMILIES = ("demo-clip", "demo-simclr", "demo-moco")
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Pool:
    """All pictures that audits draw from, as an encoder's vectors."""

    vectors: Vectors
    forget: Rows
    never: Rows

    def take(self, rows: Rows) -> Vectors:
        if isinstance(self.vectors, ImageTextVectors):
            return ImageTextVectors(self.vectors.views[:, rows], self.vectors.texts[rows])
        return ViewVectors(self.vectors.views[:, rows])


@lru_cache(maxsize=8)
def pool(name: str, forgotten_by: str) -> Pool:
    """The forget set of `forgotten_by`, then all pictures never trained on, through the encoder `name`."""
    workspace, dataset = Workspace(), load_demo()
    data = workspace.encoder(forgotten_by).manifest.data
    assert data is not None
    ids = (*data.split.forget, *demo_split().held_out, *demo_split().calibration)
    encoder, items = workspace.load(name), dataset.subset(ids)
    views = embed_views(encoder, items, views=VIEWS).numpy()
    vectors: Vectors = ViewVectors(views)
    if encoder.has_text:
        vectors = ImageTextVectors(views, embed_texts(encoder, [text or "" for text in items.texts]).numpy())
    n = len(data.split.forget)
    return Pool(vectors, np.arange(n), np.arange(n, len(ids)))


@dataclass(frozen=True)
class Study:
    """Audits of one kind. `seen`: share of the owner's items that come from the forget set, the others never seen."""

    before: str | None
    after: str
    forgotten_by: str
    n: int
    seen: float = 0.0
    adjusted: bool = False
    views: int = VIEWS

    def audits(self, count: int) -> Iterator[AuditResult]:
        after = pool(self.after, self.forgotten_by)
        before = pool(self.before, self.forgotten_by) if self.before else None
        rng = np.random.default_rng(0)
        for number in range(count):
            known = rng.choice(after.forget, round(self.seen * self.n), replace=False)
            never = rng.permutation(after.never)
            unknown, controls = np.split(never[: self.n - len(known) + CONTROLS], [self.n - len(known)])
            rows = np.concatenate([known, unknown, controls])
            names = [str(row) for row in rows]
            yield audit(
                self._few_views(after.take(rows)),
                before=None if before is None else self._few_views(before.take(rows)),
                owner_ids=names[: self.n],
                control_ids=names[self.n :],
                settings=AuditSettings(permutations=999, seed=number, adjusted=self.adjusted),
            )

    def _few_views(self, vectors: Vectors) -> Vectors:
        if isinstance(vectors, ImageTextVectors):
            return ImageTextVectors(vectors.views[: self.views], vectors.texts)
        return ViewVectors(vectors.views[: self.views])


def null_rows(audits: int) -> Iterator[str]:
    """Owner and controls from one never-trained pool, through Retrain."""
    yield (
        "| encoder | owner's items | false trace | false over-forgotten | audits with a false verdict on an item | "
        "one item's p against uniform (KS p) |"
    )
    yield "|---|--:|--:|--:|--:|--:|"
    for family in FAMILIES:
        for n in COUNTS:
            results = list(Study(None, f"{family}-retrain", f"{family}-retrain", n).audits(audits))
            traces, below = (_share(results, name) for name in ("trace", "below never-seen"))
            false = rate(sum(any(i.verdict != "no trace found" for i in r.items) for r in results), audits)
            draw = np.random.default_rng(1)
            one = [r.items[int(draw.integers(n))].p for r in results]
            uniform = kstest(one, "uniform").pvalue
            yield f"| {family}-retrain | {n} | {traces} | {below} | {_interval(false)} | {uniform:.2f} |"


def power_rows(audits: int) -> Iterator[str]:
    """The original itself as the encoder after: a share of the owner's items was seen, nothing was forgotten."""
    shares = (0.1, 0.25, 0.5, 1.0)
    yield "| encoder | owner's items | " + " | ".join(f"{share:.0%} seen" for share in shares) + " |"
    yield "|---|--:|" + "--:|" * len(shares)
    for family in FAMILIES:
        for n in COUNTS:
            cells = []
            for share in shares:
                study = Study(None, family, f"{family}-retrain", n, seen=share)
                cells.append(_share(list(study.audits(audits)), "trace"))
            yield f"| {family} | {n} | " + " | ".join(cells) + " |"


def verdict_rows(audits: int) -> Iterator[str]:
    """All of the owner's items were seen by the encoder before."""
    verdicts: tuple[Verdict, ...] = ("forgotten", "under-forgotten", "over-forgotten", "cannot tell")
    yield "| before | after | owner's items | " + " | ".join(verdicts) + " |"
    yield "|---|---|--:|" + "--:|" * len(verdicts)
    methods = ("retrain", "ac", "finetune", "gradient-ascent", "neggrad", "l1")
    pairs = [
        (family, after, f"{family}-retrain")
        for family in FAMILIES
        for after in (family, *(f"{family}-{method}" for method in methods))
    ]
    for before, after, forgotten_by in [*pairs, ("demo-simclr-blind", "demo-simclr-blind", "demo-clip-retrain")]:
        for n in COUNTS:
            found = Counter(r.verdict for r in Study(before, after, forgotten_by, n, seen=1.0).audits(audits))
            cells = " | ".join(f"{found[verdict] / audits:.1%}" for verdict in verdicts)
            yield f"| {before} | {after} | {n} | {cells} |"


def few_rows(audits: int) -> Iterator[str]:
    """What pays for owners of few pictures: an honest Retrain, called "forgotten" how often?"""
    yield "| encoder | views | traits | " + " | ".join(f"{n} items" for n in COUNTS) + " |"
    yield "|---|--:|---|" + "--:|" * len(COUNTS)
    for family in ("demo-clip", "demo-simclr"):
        for views in (1, VIEWS) if family == "demo-clip" else (2, VIEWS):
            for adjusted in (False, True):
                cells = []
                for n in COUNTS:
                    study = Study(
                        family, f"{family}-retrain", f"{family}-retrain", n, seen=1.0, adjusted=adjusted, views=views
                    )
                    cells.append(f"{sum(r.verdict == 'forgotten' for r in study.audits(audits)) / audits:.1%}")
                yield f"| {family} | {views} | {'yes' if adjusted else 'no'} | " + " | ".join(cells) + " |"


def _share(results: Sequence[AuditResult], name: str) -> str:
    found = sum(result.findings[name].p < result.alpha for result in results)
    return _interval(rate(found, len(results)))


def _interval(found: Rate) -> str:
    return f"{found.value:.1%} ({found.low:.1%}-{found.high:.1%})"


SECTIONS: dict[str, tuple[str, Callable[[int], Iterator[str]]]] = {
    "null": ("Null: false alarms (nominal 5 %)", null_rows),
    "power": ("Power: how often a trace is seen", power_rows),
    "verdicts": ("Verdicts", verdict_rows),
    "few": ("Few pictures: what pays", few_rows),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--audits", type=int, default=1000, help="audits of each kind")
    parser.add_argument("--only", choices=SECTIONS, help="one of the tables")
    parser.add_argument("--out", type=Path, help="file to write besides the terminal")
    chosen = parser.parse_args()
    lines = []
    for title, rows in [SECTIONS[chosen.only]] if chosen.only else SECTIONS.values():
        for line in chain(("", f"## {title}", "", rows.__doc__ or "", ""), rows(chosen.audits)):
            print(line, flush=True)
            lines.append(line)
    if chosen.out is not None:
        chosen.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
