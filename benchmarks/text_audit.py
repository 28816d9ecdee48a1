"""How often the audit of captions alone sees something: false alarms, and what it sees of a known memory.

python -m benchmarks.text_audit [--audits 500]

Truth is known of the demo's encoders: the original saw the artist's drawings with their names, the held-out ones were
never trained on. Every audit draws its captions at random; the pool is the calibration set's pictures. Prints Markdown.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from muc_core.audit.audit import AuditSettings
from muc_core.audit.texts import TextAudit, TextVectors, audit_texts
from muc_core.data.demo import demo_split, load_demo
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.workspace import Workspace

BEFORE = "demo-clip"
METHODS = ("retrain", "ac-matched", "ac", "neggrad", "finetune", "l1", "gradient-ascent")
NULL_CAPTIONS, CONTROLS = 40, 100
COUNTS = (20, 50, 100)
COLUMNS = ("set apart before", "set apart after", "moved")

Rows = npt.NDArray[np.intp]


class Demo:
    """Vectors of the artist's captions and, after them, the held-out ones, and of the pool, by encoder."""

    def __init__(self, names: Sequence[str]) -> None:
        demo, split = load_demo(), demo_split()
        captions, pool = demo.subset((*split.forget, *split.held_out)), demo.subset(split.calibration)
        self.mine, self.never = np.arange(len(split.forget)), len(split.forget) + np.arange(len(split.held_out))
        self.vectors = {}
        for name in names:
            encoder = Workspace().load(name)
            texts = embed_texts(encoder, [str(text) for text in captions.texts]).numpy()
            self.vectors[name] = TextVectors(texts, embed_images(encoder, pool).numpy())

    def audit(self, after: str, owner: Rows, controls: Rows, seed: int) -> TextAudit:
        rows = np.concatenate([owner, controls])
        before, later = (
            TextVectors(known.captions[rows], known.pool) for known in (self.vectors[BEFORE], self.vectors[after])
        )
        settings = AuditSettings(permutations=999, seed=seed)
        return audit_texts(later, len(owner), before=before, settings=settings)

    def drawn(self, count: int, seed: int, *, never_trained_on: bool) -> tuple[Rows, Rows]:
        generator = np.random.default_rng(seed)
        others = generator.permutation(self.never)
        if never_trained_on:
            return others[:count], others[count : count + CONTROLS]
        return generator.permutation(self.mine)[:count], others[:CONTROLS]


def line(name: str, audits: Sequence[TextAudit]) -> str:
    """Share of significant tests of each kind at 5 %, and of audits that say that something was seen."""
    hits = [[found.findings[column].p < 0.05 for found in audits] for column in COLUMNS]
    hits += [["moved" in found.seen for found in audits], ["set apart" in found.seen for found in audits]]
    return f"| {name} | {' | '.join(share(some) for some in hits)} |"


def share(hits: Sequence[bool]) -> str:
    interval = binomtest(sum(hits), len(hits)).proportion_ci(method="exact")
    return f"{np.mean(hits):.1%} ({interval.low:.1%}-{interval.high:.1%})"


def table(demo: Demo, count: int, audits: int, *, never_trained_on: bool) -> None:
    print("| after | " + " | ".join(COLUMNS) + " | says: moved | says: set apart |")
    print("|---|" + "--:|" * (len(COLUMNS) + 2))
    for method in METHODS:
        after = f"{BEFORE}-{method}"
        found = [
            demo.audit(after, *demo.drawn(count, seed, never_trained_on=never_trained_on), seed)
            for seed in range(audits)
        ]
        print(line(after, found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_audit", description=__doc__)
    parser.add_argument("--audits", type=int, default=500)
    audits = parser.parse_args().audits
    demo = Demo([BEFORE, *(f"{BEFORE}-{method}" for method in METHODS)])
    print(f"### {NULL_CAPTIONS} captions that nobody trained on, {audits:,} audits a row (nominal 5 %)")
    table(demo, NULL_CAPTIONS, audits, never_trained_on=True)
    for count in COUNTS:
        print(f"\n### {count} captions that the encoder before was trained on, {audits // 5:,} audits a row")
        table(demo, count, audits // 5, never_trained_on=False)


if __name__ == "__main__":
    main()
