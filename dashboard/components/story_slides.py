"""From what was measured to the five slides of the story, in any language. Pure: nothing is drawn here."""

import math

from dashboard.charts.style import HUES
from dashboard.charts.verdict_looks import LOOKS
from dashboard.services.story import Checked, Facts, Mean, Seen, Thought
from dashboard.texts import Texts
from muc_core.audit.detectability import WANTED_POWER
from muc_core.audit.result import GUARD, STAND_INS, AuditResult, ItemVerdict, Verdict
from muc_core.audit.verdict import SURE_OF_MEMORY
from muc_core.comparison import Mode
from muc_core.reports import story

STEPS = ("asked", "done", "sees", "sure", "not")
"""Names of the slides in the catalogue."""

SIGNS: dict[Verdict, str] = {"under-forgotten": "!", "forgotten": "✓", "over-forgotten": "↓", "cannot tell": "?"}
MOST_TRACES = 6


def tell(
    found: Facts,
    thought: tuple[story.Picture, Thought] | None,
    checked: Checked | None,
    words: Texts,
    *,
    dark: bool = False,
    notes: bool = False,
    refused: str | None = None,
) -> story.Story:
    """The story.

    Args:
        found: what was measured of the pair.
        thought: one picture and what both encoders take it for; None when there is no picture.
        checked: the audit to tell about; None when none has been made yet.
        words: the language.
        dark: whether it is shown on a dark page.
        notes: whether the speaker's notes come along.
        refused: why the pictures cannot be audited.
    """
    blocks = (
        _asked(found, words),
        _done(found, words),
        _sees(found, thought, words),
        _sure(checked, refused, words, dark=dark),
        _not(found, checked, words),
    )
    slides = tuple(
        story.Slide(words.say(f"{name}.title"), content, words.listed(f"{name}.notes") if notes else ())
        for name, content in zip(STEPS, blocks, strict=True)
    )
    return story.Story(
        language=words.language,
        title=words.say("story.title"),
        subtitle=words.say("story.subtitle"),
        slides=slides,
        glossary=words.pairs("glossary"),
        glossary_title=words.say("story.words"),
        notes_title=words.say("story.notes"),
        footer=words.say("story.footer", before=found.before, after=found.after),
    )


def _asked(found: Facts, words: Texts) -> tuple[story.Block, ...]:
    if found.kind == "nothing":
        return (story.Paragraph(words.say("asked.nothing")),)
    figures = []
    if found.kind == "own":
        said = words.counted("asked.own", found.count), words.say("asked.own_means")
        figures.append((words.count(found.count), words.say("asked.figure_own")))
    else:
        total, count = words.count(found.learned), words.count(found.count)
        said = words.say("asked.forget", total=total, count=count), words.say("asked.means")
        figures.append((total, words.say("asked.figure_total")))
        figures.append((count, words.say("asked.figure_count")))
    if found.subject_unseen is not None:
        figures.append((words.count(found.subject_unseen.count), words.say("asked.figure_unseen")))
    pictures = story.Pictures(
        tuple(story.Picture(url, text) for _, text, url in found.shown),
        HUES["uploads" if found.kind == "own" else "forget"],
    )
    shown = words.say("asked.shown", shown=words.count(len(found.shown)), count=words.count(found.count))
    some = [story.Paragraph(shown, quiet=True)] if len(found.shown) < found.count else []
    return (*map(story.Paragraph, said), pictures, *some, story.Figures(tuple(figures)))


def _done(found: Facts, words: Texts) -> tuple[story.Block, ...]:
    if found.before == found.after:
        return (story.Paragraph(words.say("methods.none")),)
    said = [words.say("done.versions", before=found.before, after=found.after), _method(found.method, words)]
    if found.run_time_s:
        said.append(_time(found.run_time_s, words))
    start, end = words.number(found.retain.before), words.number(found.retain.after)
    course = "same" if start == end else "fell" if found.retain.after < found.retain.before else "rose"
    rows = [_bar(words.say("done.kept", n=words.count(found.retain.count)), found.retain, HUES["retain"], words)]
    if found.unseen is not None:
        rows.append(
            _bar(words.say("done.unseen", n=words.count(found.unseen.count)), found.unseen, HUES["held-out"], words)
        )
    return (
        *map(story.Paragraph, said),
        _bars(words.say("done.price"), rows, found.mode, words),
        story.Paragraph(words.say(f"done.price_{course}")),
    )


def _method(method: str | None, words: Texts) -> str:
    if method is None:
        return words.say("methods.unknown")
    known = f"methods.{method}"
    return words.say(known) if words.has(known) else words.say("methods.other", method=method)


def _time(seconds: float, words: Texts) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return words.say(f"done.{unit}", n=words.count(round(seconds / length)))
    return words.say("done.seconds", n=words.count(max(round(seconds), 1)))


def _sees(found: Facts, thought: tuple[story.Picture, Thought] | None, words: Texts) -> tuple[story.Block, ...]:
    blocks: list[story.Block] = []
    if thought is not None:
        blocks.append(_guesses(*thought, HUES["uploads" if found.kind == "own" else "forget"], words))
    mean = found.subject_mean
    if mean is not None:
        start, end = words.number(mean.before), words.number(mean.after)
        course = "same" if start == end else "fell" if mean.after < mean.before else "rose"
        title = words.say(f"sees.{course}", **({} if course == "same" else {"before": start}), after=end)
        kind, hue = ("own", HUES["uploads"]) if found.kind == "own" else ("forget", HUES["forget"])
        rows = [_bar(words.say(f"sees.{kind}", n=words.count(mean.count)), mean, hue, words)]
        if (beside := found.subject_unseen) is not None:
            rows.append(_bar(words.say("done.unseen", n=words.count(beside.count)), beside, HUES["held-out"], words))
        blocks.append(_bars(title, rows, found.subject_mode, words))
        if beside is not None:
            blocks.append(story.Paragraph(words.say("sees.compare")))
    return tuple(blocks) or (story.Paragraph(words.say("asked.nothing")),)


def _guesses(picture: story.Picture, found: Thought, hue: str, words: Texts) -> story.Guesses:
    def side(moment: str, seen: Seen) -> story.Side:
        guesses = tuple(
            story.Guess(text, similarity, words.number(similarity), own=place == seen.own, url=url)
            for place, (text, similarity, url) in enumerate(zip(seen.texts, seen.similarities, seen.urls, strict=True))
        )
        pool = words.count(found.pool)
        if found.compared == "pictures":
            note = words.say("sees.of_pictures", pool=pool)
        elif seen.own_rank is None:
            note = words.say("sees.no_name", pool=pool)
        elif seen.own_rank == 1:
            note = words.say("sees.place_first", pool=pool)
        else:
            note = words.say("sees.place", place=words.count(seen.own_rank), pool=pool)
        return story.Side(words.say(f"sees.{found.compared}_{moment}"), guesses, note)

    before, now = side("before", found.before), side("now", found.after)
    return story.Guesses(words.say("sees.one"), picture, before, now, words.say("sees.tag"), hue)


def _sure(checked: Checked | None, refused: str | None, words: Texts, *, dark: bool) -> tuple[story.Block, ...]:
    if checked is None:
        if refused is None:
            return (story.Paragraph(words.say("sure.none")),)
        return story.Paragraph(words.say("sure.refused")), story.Paragraph(refused, quiet=True)
    result = checked.result
    name = result.verdict.replace(" ", "-")
    blocks: list[story.Block] = [
        story.Verdict(
            words.say(f"verdict.{name}.word"),
            SIGNS[result.verdict],
            LOOKS[result.verdict].ink(dark),
            words.say(f"verdict.{name}.meaning"),
        )
    ]
    if result.verdict == "cannot tell":
        blocks.append(story.Paragraph(words.say(f"reason.{why_undecided(result)}")))
    blocks.append(_counted(result, words))
    blocks.append(story.Points((_smallest(result, words), *_honest(result, words), *_one_by_one(result, words))))
    traces = [item.id for item in result.items if item.verdict == "trace found" and item.id in checked.urls]
    if traces:
        pictures = tuple(
            story.Picture(checked.urls[item], checked.names.get(item, item)) for item in traces[:MOST_TRACES]
        )
        blocks += [
            story.Paragraph(words.say("sure.clearest")),
            story.Pictures(pictures, LOOKS["under-forgotten"].ink(dark)),
        ]
    source = words.say("sure.source_here")
    if checked.kept is not None:
        day, title = checked.kept
        source = words.say("sure.source_saved", date=day, title=title)
    alarm = words.say("sure.alarm", n=round(100 * result.alpha))
    return (*blocks, story.Paragraph(f"{alarm} {source}", quiet=True))


def why_undecided(result: AuditResult) -> str:
    """Which rule of the audit ended in "cannot tell": its name in the catalogue; rules in the audit's order."""
    if _fairness(result) is False:
        return "guard"
    before = result.findings.get("memory before")
    if before is not None and before.p >= result.alpha * SURE_OF_MEMORY:
        return "nothing"
    decided = any(result.findings[name].p < result.alpha for name in ("like never-seen", "below never-seen"))
    like = result.findings["like never-seen"].p < result.alpha
    if decided and not (like and result.detectability.power < WANTED_POWER):
        return "probe"
    return "few"


def _counted(result: AuditResult, words: Texts) -> story.Figures:
    planted = "_planted" if result.detectability.source == "planted" else ""
    return story.Figures(
        (
            (words.count(result.n_items), words.say("sure.figure_items")),
            (words.count(result.n_controls), words.say("sure.figure_controls")),
            (words.share(result.detectability.power), words.say(f"sure.figure_power{planted}")),
        )
    )


def _smallest(result: AuditResult, words: Texts) -> str:
    share = result.detectability.smallest_share
    if not math.isfinite(share) or share > 1:
        return words.say("sure.too_small")
    planted = "_planted" if result.detectability.source == "planted" else ""
    return words.say(f"sure.smallest{planted}", share=words.share(share))


def _fairness(result: AuditResult) -> bool | None:
    """Whether the controls are a fair comparison; None when that was not found out."""
    found = {check.name: check.passed for check in result.checks}
    return False if found.get(STAND_INS) is False else found.get(GUARD)


def _honest(result: AuditResult, words: Texts) -> tuple[str, ...]:
    fair = words.say({True: "sure.fair", False: "sure.unfair", None: "sure.not_looked"}[_fairness(result)])
    probes = [check.passed for check in result.checks if check.name not in (GUARD, STAND_INS)]
    if not probes:
        return (fair,)
    counts = {"passed": probes.count(True), "failed": probes.count(False), "missing": probes.count(None)}
    return fair, words.say("sure.probes", **counts)


def _one_by_one(result: AuditResult, words: Texts) -> tuple[str, ...]:
    verdicts = [item.verdict for item in result.items]
    names: dict[str, ItemVerdict] = {"trace": "trace found", "below": "below never-seen", "clear": "no trace found"}
    alone = words.say("sure.alone", **{key: words.count(verdicts.count(name)) for key, name in names.items()})
    if result.verdict == "under-forgotten" and "trace found" not in verdicts:
        return alone, words.say("sure.together")
    return (alone,)


def _not(found: Facts, checked: Checked | None, words: Texts) -> tuple[story.Block, ...]:
    points = list(words.listed("not.points"))
    if checked is None:
        points.insert(0, words.say("not.unchecked"))
    elif checked.result.verdict == "cannot tell":
        points.insert(0, words.say("not.open"))
    start, end = words.number(found.retain.before), words.number(found.retain.after)
    if found.retain.after < found.retain.before and start != end:
        points.append(words.say("not.cost", before=start, after=end))
    return (story.Points(tuple(points)), story.Paragraph(words.say("not.last")))


def _bar(label: str, mean: Mean, hue: str, words: Texts) -> story.Bar:
    return story.Bar(label, mean.before, mean.after, words.number(mean.before), words.number(mean.after), hue)


def _bars(title: str, rows: list[story.Bar], mode: Mode, words: Texts) -> story.Bars:
    how = words.say("done.to_names" if mode == "image-text" else "done.to_copies")
    return story.Bars(title, tuple(rows), words.say("page.before"), words.say("page.now"), how)
