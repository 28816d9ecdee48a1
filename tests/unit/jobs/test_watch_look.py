"""What a look asks of an encoder, and what it makes of the answers."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from muc_core.data.dataset import ImageTextDataset, TensorImages
from muc_core.encoders.base import Encoder
from muc_core.jobs.watch import store
from muc_core.jobs.watch.look import Subject, make_look
from muc_core.jobs.watch.spec import Look
from muc_core.jobs.watch.store import Watch
from muc_core.workspace import Workspace
from tests.unit.jobs.test_watch import spec
from tests.unit.test_auditing import CONTROLS, OWNER, SIZE, Pixels, trained_on


@dataclass(eq=False)
class Remembering(Pixels):
    """Answers as it did when it was first asked, unless it is asked anew: as one behind a URL is kept in a cache."""

    live: Pixels = field(default_factory=Pixels)

    def uncached(self) -> Encoder:
        return self.live


def watch(tmp_path: Path, controls: ImageTextDataset = CONTROLS) -> Watch:
    digests = {"owner_digest": OWNER.digest(), "controls_digest": controls.digest()}
    return store.register(Workspace(tmp_path), spec(looks=4, views=3, **digests))


def look(
    watched: Watch, after: Encoder, controls: ImageTextDataset = CONTROLS, digest: str = "same"
) -> tuple[Watch, Look]:
    found, canaries = make_look(watched, Subject(None, after, OWNER, controls, {"mine": digest}))
    return store.keep(watched, found, canaries), found


def test_an_encoder_that_is_remembered_is_asked_anew_at_every_look(tmp_path: Path) -> None:
    served = Remembering(live=trained_on())
    watched, first = look(watch(tmp_path), served)
    assert (first.alerts, first.moved) == ((), None)
    watched, second = look(watched, served)
    assert second.alerts == ()
    assert second.moved == pytest.approx(0, abs=1e-6)
    served.live = trained_on(OWNER)  # only what it makes of captions changes, and its name and digest stay
    watched, third = look(watched, served)
    assert third.alerts == ("trace", "model")
    assert third.p <= third.level
    assert third.moved is not None
    assert "otherwise than at the look before" in third.sentence


def test_other_files_are_another_model_even_when_they_answer_alike(tmp_path: Path) -> None:
    watched, _ = look(watch(tmp_path), trained_on())
    watched, second = look(watched, trained_on(), digest="other")
    assert second.alerts == ("model",)
    assert "The files of mine are others" in second.sentence


def test_a_look_can_be_made_again_exactly(tmp_path: Path) -> None:
    watched = watch(tmp_path)
    (_, first), (_, again) = look(watched, trained_on(OWNER)), look(watched, trained_on(OWNER))
    assert first.model_copy(update={"moment": again.moment}) == again


def test_unfair_controls_raise_no_alarm_of_a_trace(tmp_path: Path) -> None:
    dark = ImageTextDataset("dark", CONTROLS.items, TensorImages(CONTROLS.images(SIZE) // 3))
    _, found = look(watch(tmp_path, dark), trained_on(OWNER), dark)
    assert found.p <= found.level
    assert not found.fair
    assert found.alerts == ()
    assert "the controls are not fair" in found.sentence
