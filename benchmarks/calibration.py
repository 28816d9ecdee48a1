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
from inspect import cleandoc
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import kstest

from benchmarks.cheaters import CHEATERS, draw, failed, known_to, original, run
from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.guard import control_guard
from muc_core.audit.honesty import singled_out
from muc_core.audit.result import AuditResult, Verdict
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.data.controls import transformed_controls
from muc_core.data.demo import demo_split, load_demo
from muc_core.encoders.base import Encoder
from muc_core.encoders.embed import embed_texts, embed_views
from muc_core.near_duplicates import honesty_checks
from muc_core.stats.rates import Rate, rate
from muc_core.workspace import Workspace

CONTROLS = 100
COUNTS = (20, 50, 100)
VIEWS = 8
GUARDED = 20
FAMILIES = ("demo-clip", "demo-simclr", "demo-moco")
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Pool:
    """All pictures that audits draw from, as an encoder's vectors."""

    vectors: Vectors
    forget: Rows
    never: Rows

    def take(self, rows: Rows) -> Vectors:
        return self.vectors.take(rows)


@lru_cache(maxsize=8)
def pool(name: str, forgotten_by: str, views: int = VIEWS) -> Pool:
    """The forget set of `forgotten_by`, then all pictures never trained on, through the encoder `name`."""
    workspace, dataset = Workspace(), load_demo()
    data = workspace.encoder(forgotten_by).manifest.data
    assert data is not None
    ids = (*data.split.forget, *demo_split().held_out, *demo_split().calibration)
    encoder, items = workspace.load(name), dataset.subset(ids)
    seen = embed_views(encoder, items, views=views).numpy()
    vectors: Vectors = ViewVectors(seen)
    if encoder.has_text:
        vectors = ImageTextVectors(seen, embed_texts(encoder, [text or "" for text in items.texts]).numpy())
    n = len(data.split.forget)
    return Pool(vectors, np.arange(n), np.arange(n, len(ids)))


@dataclass(frozen=True)
class Study:
    """Audits of one kind.

    Attributes:
        seen: share of the owner's items that come from the forget set, the others never seen.
        views: of each picture that an audit looks at, of the `embedded` ones.
    """

    before: str | None
    after: str
    forgotten_by: str
    n: int
    seen: float = 0.0
    adjusted: bool = False
    views: int = VIEWS
    embedded: int = VIEWS
    permutations: int = 999

    def drawn(self, count: int) -> Iterator[tuple[Vectors, Vectors | None, list[str]]]:
        """Vectors in the encoders after and before, and ids, the owner's first."""
        after = pool(self.after, self.forgotten_by, self.embedded)
        before = pool(self.before, self.forgotten_by, self.embedded) if self.before else None
        rng = np.random.default_rng(0)
        for _ in range(count):
            known = rng.choice(after.forget, round(self.seen * self.n), replace=False)
            never = rng.permutation(after.never)
            unknown, controls = np.split(never[: self.n - len(known) + CONTROLS], [self.n - len(known)])
            rows = np.concatenate([known, unknown, controls])
            earlier = None if before is None else self._few_views(before.take(rows))
            yield self._few_views(after.take(rows)), earlier, [str(row) for row in rows]

    def audits(self, count: int) -> Iterator[AuditResult]:
        for number, (after, before, names) in enumerate(self.drawn(count)):
            yield audit(
                after,
                before=before,
                owner_ids=names[: self.n],
                control_ids=names[self.n :],
                settings=AuditSettings(permutations=self.permutations, seed=number, adjusted=self.adjusted),
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


def singled_out_rows(audits: int) -> Iterator[str]:
    """How often the owner's pictures are called singled out, without and with the encoder before that saw them."""
    yield "| before | after | " + " | ".join(f"{n} items" for n in COUNTS) + " |"
    yield "|---|---|" + "--:|" * len(COUNTS)
    for family in FAMILIES:
        methods = ("retrain", "finetune", "ac", *(("ac-matched",) if family == "demo-clip" else ()))
        for method in methods:
            for before in (None, family):
                cells = []
                for n in COUNTS:
                    study = Study(before, f"{family}-{method}", f"{family}-retrain", n, seen=1.0)
                    checks = (
                        singled_out(after, earlier, names, n, seed=number)
                        for number, (after, earlier, names) in enumerate(study.drawn(audits))
                    )
                    cells.append(_interval(rate(sum(check.passed is False for check in checks), audits)))
                yield f"| {before or 'not given'} | {family}-{method} | " + " | ".join(cells) + " |"


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


def _always(encoder: Encoder) -> Callable[[int], Encoder]:
    """The same encoder whatever the seed."""
    return lambda _: encoder


def cheater_rows(audits: int) -> Iterator[str]:
    """Encoders that hide what they know, with the encoder before at hand and without; then honest ones.

    50 of the owner's items, 100 controls. A probe counts as having caught a cheater when it failed; honest encoders are
    accused when any probe fails.
    """
    yield "| encoder after | encoder before | any probe fails | which probes fail | forgotten | under-forgotten |"
    yield "|---|---|--:|---|--:|--:|"
    kinds: list[tuple[str, Callable[[int], Encoder]]] = [(name, each.make) for name, each in CHEATERS.items()]
    honest = ("demo-clip-retrain", "demo-clip-ac", "demo-clip-finetune")
    kinds += [(f"honest: {name}", _always(known_to(name))) for name in honest]
    for name, make in kinds:
        for before in (original(), None):
            verdicts: Counter[str] = Counter()
            probes: Counter[str] = Counter()
            accused = 0
            for seed in range(audits):
                drawn, after = draw(1000 + seed), make(seed)
                checks = honesty_checks(before, after, drawn.owner, drawn.controls, seed=seed)
                probes.update(failed(checks))
                accused += bool(failed(checks))
                verdicts[run(after, drawn, before=before, checks=checks).verdict] += 1
            which = ", ".join(f"{probe} {count / audits:.0%}" for probe, count in probes.most_common()) or "none"
            forgotten, under = (_interval(rate(verdicts[v], audits)) for v in ("forgotten", "under-forgotten"))
            with_before = "given" if before else "not given"
            caught = _interval(rate(accused, audits))
            yield f"| {name} | {with_before} | {caught} | {which} | {forgotten} | {under} |"


def partial_rows(audits: int) -> Iterator[str]:
    """A share of the owner's items is still known to the demo CLIP as before, the others are like never-seen ones.

    The encoder before saw all of them. Vectors of items still known, and of the others' stand-ins, are the original's.
    """
    verdicts: tuple[Verdict, ...] = ("forgotten", "under-forgotten", "over-forgotten", "cannot tell")
    yield "| owner's items | still known | " + " | ".join(verdicts) + " |"
    yield "|--:|--:|" + "--:|" * len(verdicts)
    data = pool("demo-clip", "demo-clip-retrain")
    for n in (50, 100):
        for share in (0.0, 0.1, 0.25, 0.5):
            rng = np.random.default_rng(1)
            found: Counter[Verdict] = Counter()
            for number in range(audits):
                seen, never = rng.permutation(data.forget)[:n], rng.permutation(data.never)
                known = seen[: round(share * n)]
                strangers, controls = np.split(never[: n - len(known) + CONTROLS], [n - len(known)])
                result = audit(
                    data.take(np.concatenate([known, strangers, controls])),
                    before=data.take(np.concatenate([seen, controls])),
                    owner_ids=[f"item {i}" for i in range(n)],
                    control_ids=[f"control {i}" for i in range(len(controls))],
                    settings=AuditSettings(permutations=999, seed=number),
                )
                found[result.verdict] += 1
            cells = " | ".join(_interval(rate(found[verdict], audits)) for verdict in verdicts)
            yield f"| {n} | {share:.0%} | {cells} |"


def last_resort_rows(audits: int) -> Iterator[str]:
    """Retrain, which never saw the owner's 50 items, against 100 retained pictures of others, strongly changed.

    What the tests alone would say, and how often the control guard fails.
    """
    yield "| encoder | false trace | false over-forgotten | the tests alone say forgotten | control guard fails |"
    yield "|---|--:|--:|--:|--:|"
    for family in FAMILIES:
        workspace, dataset = Workspace(), load_demo()
        data = workspace.encoder(f"{family}-retrain").manifest.data
        assert data is not None
        owner, others = dataset.subset(data.split.forget), dataset.subset(data.split.retain)
        changed = transformed_controls(others, most=200, seed=0).dataset
        encoder = workspace.load(f"{family}-retrain")
        views = [embed_views(encoder, part, views=4).numpy() for part in (owner, changed)]
        vectors: Vectors = ViewVectors(np.concatenate(views, axis=1))
        if encoder.has_text:
            texts = [text or "" for part in (owner, changed) for text in part.texts]
            vectors = ImageTextVectors(np.concatenate(views, axis=1), embed_texts(encoder, texts).numpy())
        rng = np.random.default_rng(0)
        results, unfair = [], 0
        for number in range(audits):
            mine = rng.choice(len(owner), 50, replace=False)
            theirs = rng.choice(len(changed), CONTROLS, replace=False)
            results.append(
                audit(
                    vectors.take(np.concatenate([mine, len(owner) + theirs])),
                    owner_ids=[f"item {i}" for i in range(50)],
                    control_ids=[f"control {i}" for i in range(CONTROLS)],
                    settings=AuditSettings(permutations=999, seed=number),
                )
            )
            if number < GUARDED:
                pixels = (part.images(32, rows.tolist()).numpy() for part, rows in ((owner, mine), (changed, theirs)))
                unfair += control_guard(*pixels, seed=number).passed is False
        forgotten = _interval(rate(sum(r.verdict == "forgotten" for r in results), audits))
        guard = _interval(rate(unfair, min(audits, GUARDED)))
        traces, below = (_share(results, name) for name in ("trace", "below never-seen"))
        yield f"| {family}-retrain | {traces} | {below} | {forgotten} | {guard} |"


def _share(results: Sequence[AuditResult], name: str) -> str:
    found = sum(result.findings[name].p < result.alpha for result in results)
    return _interval(rate(found, len(results)))


def _interval(found: Rate) -> str:
    return f"{found.value:.1%} ({found.low:.1%}-{found.high:.1%})"


SECTIONS: dict[str, tuple[str, Callable[[int], Iterator[str]]]] = {
    "null": ("Null: false alarms (nominal 5 %)", null_rows),
    "power": ("Power: how often a trace is seen", power_rows),
    "verdicts": ("Verdicts", verdict_rows),
    "partial": ("Partial memory: what the tolerance forgives", partial_rows),
    "last-resort": ("Controls of the last resort", last_resort_rows),
    "cheaters": ("Cheaters and honest encoders", cheater_rows),
    "singled-out": ("Pictures that are singled out", singled_out_rows),
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
        for line in chain(("", f"## {title}", "", cleandoc(rows.__doc__ or ""), ""), rows(chosen.audits)):
            print(line, flush=True)
            lines.append(line)
    if chosen.out is not None:
        chosen.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
