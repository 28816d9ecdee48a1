"""What might bring Alignment Calibration nearer to Retrain on the demo's CLIP, each remedy over several trainings.

    python -m benchmarks.remedies OUT.jsonl

Originals and Retrains are those of `muc bench-methods`, trained into build/remedies unless they are there.
Each line of OUT.jsonl is one encoder: the remedy, and what the bench says of it, a record of `muc_core.jobs.bench`.
What is in OUT.jsonl is not done again. A table is printed at the end; docs/results.md has it.
"""

import json
import os
import sys
from collections import Counter
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

from muc_core.evaluation.metrics import METRICS
from muc_core.evaluation.spread import spread
from muc_core.evaluation.tables import Table
from muc_core.jobs.bench.plan import ORIGINAL, RETRAIN, Evaluated, Made, evaluations, make_plan, needed, recipe_of
from muc_core.jobs.bench.pool import Answer, attempt, crew
from muc_core.jobs.bench.results import Result
from muc_core.jobs.bench.work import evaluate, make
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.progress import Progress
from muc_core.workspace import Workspace

Step = tuple[str, dict[str, Any]]
"""A method, and what differs from its recipe."""

REMEDIES: dict[str, tuple[Step, ...]] = {
    "none: as the demo has it (beta 2, 8 epochs)": (("ac", {}),),
    "weaker: beta 1": (("ac", {"beta": 1.0}),),
    "stronger: beta 3": (("ac", {"beta": 3.0}),),
    "4 epochs": (("ac", {"epochs": 4}),),
    "16 epochs": (("ac", {"epochs": 16}),),
    "alpha and gamma tied: 1": (("ac", {"alpha": 1.0, "gamma": 1.0}),),
    "gamma apart: alpha 0, gamma 1": (("ac", {"gamma": 1.0}),),
    "gamma apart: alpha 1, gamma 0": (("ac", {"alpha": 1.0}),),
    "retain first: 4 epochs of Fine-tune, 4 of AC": (("finetune", {"epochs": 4}), ("ac", {"epochs": 4})),
    "retain first: 4 epochs of Fine-tune, 8 of AC": (("finetune", {"epochs": 4}), ("ac", {})),
    "retain last: 8 epochs of AC, 4 of Fine-tune": (("ac", {}), ("finetune", {"epochs": 4, "learning_rate": 0.001})),
}
SEED = 0


def steps_of(original: Made, remedy: str, forget: str) -> list[Made]:
    """The encoders on the way of a remedy, each made from the one before."""
    made, before = [], original.name
    for number, (method, changed) in enumerate(REMEDIES[remedy]):
        settings = {**recipe_of(original.family, method), **changed}
        name = f"{original.name}-remedy{list(REMEDIES).index(remedy)}-{number}"
        job = UnlearnJob(method=method, original=before, forget=forget, name=name, settings=settings, seed=SEED)
        made.append(Made(original.family, method, original.train_seed, SEED, job))
        before = name
    return made


def try_remedy(asked: tuple[Evaluated, str, str], workspace: Workspace, progress: Progress) -> Result:
    """What the bench says of what a remedy makes of an original; its encoders are deleted then."""
    bench, remedy, forget = asked
    made = steps_of(bench.made, remedy, forget)
    for each in made:
        make(each, workspace, progress)
    # audited against the original, not against the step before
    job = made[-1].job.model_copy(update={"original": bench.made.name})
    result = evaluate(replace(bench, made=replace(made[-1], method="ac", job=job)), workspace, progress)
    for each in made:
        workspace.delete_encoder(each.name)
    return result


def table(found: dict[str, list[Result]]) -> Table:
    """Mean and standard deviation over the trainings, a row a remedy."""
    columns = (
        "remedy",
        "average gap",
        "collateral",
        "similarity, forgotten",
        "and retained",
        "audit effect d",
        "verdicts",
    )
    rows = []
    for remedy, results in found.items():
        cells = [
            spread([[result.values[name]] for result in results]).text(METRICS.get(name))
            for name in ("gap", "collateral", "similarity_forget", "similarity_retain")
        ]
        audits = [result.audit for result in results if result.audit is not None]
        effect = spread([[audit.effect.value] for audit in audits]).text(METRICS.get("cka"))
        counted = Counter(audit.verdict for audit in audits).most_common()
        rows.append((remedy, *cells, effect, ", ".join(f"{verdict} {count}" for verdict, count in counted)))
    return Table(columns, tuple(rows))


def check(answer: Answer[Any]) -> None:
    """Raises `RuntimeError` with the reason when nothing came of a task."""
    if reason := answer.error or answer.defect:
        raise RuntimeError(reason)


def main(out: Path, home: Path, processes: int) -> None:
    plan = make_plan(families=["clip"], methods=[RETRAIN], unlearn_seeds=2)
    originals = [each for each in evaluations(plan) if each.made.method == ORIGINAL]
    found: dict[str, list[Result]] = {remedy: [] for remedy in REMEDIES}
    for line in out.read_text(encoding="utf-8").splitlines() if out.exists() else ():
        record = json.loads(line)
        found[record["remedy"]].append(Result.model_validate(record["result"]))
    asked = [
        (each, remedy, plan.forget)
        for each in originals
        for remedy, results in found.items()
        if each.made.train_seed not in {result.train_seed for result in results}
    ]
    with crew(home, processes=processes, device="cpu") as pool, out.open("a", encoding="utf-8") as file:
        if asked:
            for wanted in ([each.made for each in originals], [one for each in originals for one in needed(each)]):
                for made in pool.map(attempt, repeat(make), wanted, repeat(None)):
                    check(made)
        answers = pool.map(attempt, repeat(try_remedy), asked, repeat(None))
        for (_, remedy, _), answer in zip(asked, answers, strict=True):
            check(answer)
            assert answer.value is not None
            found[remedy].append(answer.value)
            print(json.dumps({"remedy": remedy, "result": answer.value.model_dump(mode="json")}), file=file, flush=True)
    print(table(found).to_markdown())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path("build/remedies"), processes=os.cpu_count() or 1)
