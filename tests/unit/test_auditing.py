"""Audits of encoders on pictures: copies, captions and controls that would mislead, and what became of others."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from muc_core.audit.audit import AuditSettings
from muc_core.audit.result import STAND_INS, AuditResult
from muc_core.auditing import audit_encoders, infer_gap
from muc_core.data.controls import TRANSFORMED, find_controls, transformed_controls
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.interpolation import Interpolation
from muc_core.data.splits import DataSplit
from muc_core.errors import MucError

SIZE, DIMENSION = 32, 24
QUICK = AuditSettings(permutations=199)


@dataclass(eq=False)
class Pixels:
    """Sees colours on a coarse grid; of captions it knows those given to it, and guesses others with some skill."""

    known: Mapping[str, Tensor] = field(default_factory=dict)
    name: str = "pixels"
    family: str = "test"
    digest: str = "0" * 64
    image_size: int = SIZE
    interpolation: Interpolation = "bicubic"
    dimension: int = DIMENSION
    has_text: bool = True

    def encode_images(self, images: Tensor) -> Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(images.float() / 255 - 0.5, 4).flatten(1)
        return small @ torch.randn((48, DIMENSION), generator=torch.Generator().manual_seed(0))

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        guesses = [torch.randn(DIMENSION, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack([self.known.get(text, guess) for text, guess in zip(texts, guesses, strict=True)])


def pictures(name: str, n: int, *, seed: int, texts: Sequence[str] | None = None) -> ImageTextDataset:
    coarse = torch.rand((n, 3, 4, 4), generator=torch.Generator().manual_seed(seed))
    pixels = (torch.nn.functional.interpolate(coarse, SIZE, mode="nearest") * 255).to(torch.uint8)
    items = [
        Item(f"{name} {i}", text=f"{name} {i}" if texts is None else texts[i], label=f"{name} class {i % 3}")
        for i in range(n)
    ]
    return ImageTextDataset(name, items, TensorImages(pixels))


def joined(first: ImageTextDataset, second: ImageTextDataset) -> ImageTextDataset:
    pixels = torch.cat([first.images(SIZE), second.images(SIZE)])
    names = [*first.ids, *(f"{item_id} again" for item_id in second.ids)]
    return ImageTextDataset("both", [Item(name, text=name) for name in names], TensorImages(pixels))


def trained_on(*sets: ImageTextDataset) -> Pixels:
    encoder = Pixels()
    known = {
        text: vector
        for part in sets
        for text, vector in zip(map(str, part.texts), encoder.encode_images(part.images(SIZE)), strict=True)
    }
    return Pixels(known)


OWNER, CONTROLS, RETAINED = (
    pictures(name, n, seed=seed) for name, n, seed in (("mine", 30, 1), ("control", 60, 2), ("kept", 40, 3))
)


def run(after: Pixels, before: Pixels | None, **given: object) -> AuditResult:
    arguments: dict[str, object] = {
        "owner": OWNER,
        "controls": CONTROLS,
        "before": before,
        "views": 3,
        "probes": False,
        "settings": QUICK,
    }
    return audit_encoders(after, **(arguments | given))  # type: ignore[arg-type]


def test_memory_is_found_and_what_others_lost_is_told() -> None:
    before = trained_on(OWNER, RETAINED)
    found = run(trained_on(OWNER), before, retained=RETAINED)
    assert found.verdict == "under-forgotten"
    assert found.collateral is not None
    assert [(group.group, group.count) for group in found.collateral.groups] == [("controls", 60), ("retained", 40)]
    assert {change.group for change in found.collateral.items} == {"retained"}
    assert found.collateral.classes[0].name.startswith("kept class")
    assert found.collateral.items[0].meaning in found.explain()
    assert run(trained_on(OWNER), None, retained=RETAINED).collateral is None


def test_an_audit_without_probes_says_so() -> None:
    assert any("not probed" in warning for warning in run(trained_on(OWNER), None).warnings)
    assert not any("not probed" in warning for warning in run(trained_on(OWNER), None, probes=True).warnings)


def test_without_probes_nothing_is_called_forgotten() -> None:
    owner, controls = pictures("mine", 200, seed=1), pictures("control", 200, seed=2)
    before, after = trained_on(owner), trained_on(owner, controls)  # it tells them apart no more
    looks = {
        probes: run(after, before, owner=owner, controls=controls, probes=probes, views=6) for probes in (True, False)
    }
    assert {probes: found.verdict for probes, found in looks.items()} == {True: "forgotten", False: "cannot tell"}
    assert "Changed copies, The same encoder throughout" in looks[False].rule
    assert looks[False].rule.endswith(looks[True].rule)


def test_a_picture_counts_once() -> None:
    before = trained_on(OWNER, RETAINED)
    many = run(trained_on(OWNER), before, owner=joined(OWNER, OWNER))
    assert many.n_items == 30
    assert many.warnings[0].startswith("Of your pictures 30 are copies")
    one = OWNER.subset(OWNER.ids[:3])
    with pytest.raises(MucError, match="3 pictures to audit; at least 5"):
        run(trained_on(OWNER), before, owner=joined(one, one))
    assert run(trained_on(OWNER), before, controls=joined(CONTROLS, CONTROLS)).n_controls == 60


def test_the_owners_picture_under_another_name_is_no_control() -> None:
    with pytest.raises(MucError, match="the control 'mine 3 again' is the same picture as 'mine 3'"):
        run(trained_on(OWNER), None, controls=joined(CONTROLS, OWNER.subset(["mine 3"])))


def test_too_few_pictures_are_refused_before_anything_is_embedded() -> None:
    class Untouched(Pixels):
        def encode_images(self, images: Tensor) -> Tensor:
            raise AssertionError("asked for nothing")

    with pytest.raises(MucError, match="4 pictures to audit; at least 5 are needed, because chance"):
        run(Untouched(), None, owner=OWNER.subset(OWNER.ids[:4]))
    with pytest.raises(MucError, match="19 controls; at least 20 are needed, because"):
        run(Untouched(), None, controls=CONTROLS.subset(CONTROLS.ids[:19]))


def test_captions_that_one_side_shares_are_not_compared() -> None:
    owner = pictures("mine", 30, seed=1, texts=["a drawing of mine"] * 15 + [f"mine {i}" for i in range(15)])
    found = run(trained_on(OWNER), None, owner=owner)
    assert found.mode == "two-view"
    assert "15 are called 'a drawing of mine'" in found.warnings[0]
    with pytest.raises(MucError, match="give each picture a caption of its own"):
        run(trained_on(OWNER), None, owner=owner, mode="image-text")
    classes = [[f"a photo of class {i % 3}" for i in range(n)] for n in (30, 60)]
    both = (pictures("mine", 30, seed=1, texts=classes[0]), pictures("control", 60, seed=2, texts=classes[1]))
    assert run(trained_on(OWNER), None, owner=both[0], controls=both[1]).mode == "image-text"


def test_on_controls_of_the_last_resort_the_verdict_is_cannot_tell_and_why_is_said() -> None:
    changed = transformed_controls(RETAINED, most=40, seed=0)
    for after in (trained_on(OWNER), Pixels()):
        found = run(after, trained_on(OWNER, RETAINED), controls=changed.dataset, warnings=changed.warnings)
        assert found.verdict == "cannot tell"
        assert found.rule == TRANSFORMED
        assert TRANSFORMED in found.warnings
        assert found.checks[0].name == STAND_INS


class TestFindingControls:
    everything = joined(joined(OWNER, RETAINED), CONTROLS)
    split = DataSplit(
        seed=0, forget=everything.ids[:30], retain=everything.ids[30:70], held_out=everything.ids[70:], calibration=()
    )
    owner = everything.subset(split.forget)

    def find(self, spec: str, match: int | None = None) -> tuple[ImageTextDataset, tuple[str, ...]]:
        found = find_controls(spec, self.owner, dataset=self.everything, split=self.split, match=match)
        return found.dataset, found.warnings

    def test_held_out_pictures_are_taken_as_they_are_or_matched(self) -> None:
        assert self.find("held-out")[0].ids == self.split.held_out
        matched = self.find("held-out", 25)[0].ids
        assert len(set(matched)) == 25
        assert set(matched) < set(self.split.held_out)

    def test_pictures_that_were_trained_on_are_no_controls(self) -> None:
        with pytest.raises(MucError, match="every picture of 'retain' was trained on"):
            self.find("retain")

    def test_some_that_were_trained_on_are_left_out_and_that_is_said(self, tmp_path: Path) -> None:
        file = tmp_path / "ids.txt"
        file.write_text("\n".join([*self.split.retain[:3], *self.split.held_out[:30]]))
        found, warnings = self.find(f"ids:{file}")
        assert found.ids == self.split.held_out[:30]
        assert warnings == ("3 of the controls were trained on and are left out.",)

    def test_the_last_resort_is_made_of_other_peoples_pictures(self) -> None:
        found, warnings = self.find("transformed")
        assert set(found.ids) == set(self.split.retain)
        assert warnings == (TRANSFORMED,)
        with pytest.raises(MucError, match="not matched"):
            self.find("transformed", 30)
        with pytest.raises(MucError, match="no other people's pictures"):
            find_controls("transformed", self.owner, dataset=self.owner, split=None)


def test_the_gap_of_two_encoders_comes_with_what_views_explain() -> None:
    before, after = trained_on(OWNER, RETAINED), trained_on(RETAINED)
    found = infer_gap(before, after, OWNER, with_text=True, views=4, permutations=199)
    assert found.gap.shape == (30, 30)
    assert found.p == 1 / 200
    assert f"{found.significant.diagonal().sum()} of 30 cells of the diagonal" in found.meaning
    assert "pictures' own pairs lost more than" in found.meaning
    assert np.allclose(json.loads(json.dumps(found.as_dict()))["low"], found.low)
    same = infer_gap(before, before, OWNER, with_text=False, views=3, permutations=199)
    assert not same.significant.any()
    assert "Nothing shows" in same.meaning
    with pytest.raises(MucError, match="at least 3"):
        infer_gap(before, after, OWNER, with_text=True, views=2)
