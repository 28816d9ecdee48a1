"""Decoys: what is found stays the same, and what a service is told of which pictures are meant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from muc_core.audit.alignment import image_text_factors
from muc_core.audit.audit import AuditSettings
from muc_core.audit.guard import separate
from muc_core.audit.result import AuditResult
from muc_core.audit.summary import margins
from muc_core.auditing import audit_encoders, most_asked
from muc_core.comparison import ModeChoice
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.decoys import Decoys, draw_decoys
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.encoders.remote.faults import RejectedPictures
from muc_core.errors import MucError
from muc_core.stats.ranks import auc
from muc_core.workspace import Workspace

SIZE, DIMENSION, VIEWS = 32, 24, 3
QUICK = AuditSettings(permutations=199)


def pictures(name: str, numbers: range) -> ImageTextDataset:
    """Random blue patches; how much red and green is in a picture says its number, whatever is done to it."""
    blue = torch.rand((len(numbers), 1, 4, 4), generator=torch.Generator().manual_seed(numbers.start))
    pixels = torch.empty((len(numbers), 3, SIZE, SIZE), dtype=torch.uint8)
    pixels[:, 2:] = (torch.nn.functional.interpolate(blue, SIZE, mode="nearest") * 255).to(torch.uint8)
    for row, number in enumerate(numbers):
        pixels[row, 0], pixels[row, 1] = number // 16 * 16 + 8, number % 16 * 16 + 8
    items = [Item(f"{name} {number}", text=f"thing {number}") for number in numbers]
    return ImageTextDataset(name, items, TensorImages(pixels))


def numbers_of(images: Tensor) -> list[int]:
    coded = images[:, :2].float().mean(dim=(2, 3)) // 16
    return [int(red * 16 + green) for red, green in coded.tolist()]


OWNER, DECOYS, CONTROLS = range(24), range(24, 104), range(104, 164)
MINE, PUBLIC, NEVER_SEEN = (
    pictures(name, part) for name, part in (("mine", OWNER), ("public", DECOYS), ("control", CONTROLS))
)


@dataclass(eq=False)
class Own:
    """An encoder; writes down which pictures it is asked about, batch by batch, and which texts."""

    known: Mapping[str, Tensor] = field(default_factory=dict)
    name: str = "far"
    family: str = "test"
    digest: str = "0" * 64
    image_size: int = SIZE
    interpolation: Interpolation = "bicubic"
    dimension: int = DIMENSION
    has_text: bool = True
    batches: list[list[int]] = field(default_factory=list)
    texts: list[list[int]] = field(default_factory=list)
    refuses: frozenset[int] = frozenset()

    def encode_images(self, images: Tensor) -> Tensor:
        numbers = numbers_of(images)
        self.batches.append(numbers)
        if refused := {place: "no" for place, number in enumerate(numbers) if number in self.refuses}:
            raise RejectedPictures("http://far", refused, len(images))
        patches = torch.nn.functional.adaptive_avg_pool2d(images[:, 2:].float() / 255 - 0.5, 4).flatten(1)
        return patches @ torch.randn((16, DIMENSION), generator=torch.Generator().manual_seed(0))

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        numbers = [int(text.rstrip(".").split()[-1]) for text in texts]
        self.texts.append(numbers)
        guesses = [torch.randn(DIMENSION, generator=torch.Generator().manual_seed(number)) for number in numbers]
        return torch.stack(
            [self.known.get(f"thing {number}", guess) for number, guess in zip(numbers, guesses, strict=True)]
        )


class Service(Own):
    """The same, run by others."""

    def together(self) -> "Service":
        return self


def service(*known: ImageTextDataset) -> Service:
    plain = Service()
    learned = {
        str(text): vector
        for part in known
        for text, vector in zip(part.texts, plain.encode_images(part.images(SIZE)), strict=True)
    }
    return Service(learned)


def audited(
    decoys: Decoys | None, *, mode: ModeChoice = "auto", forgot: bool = True
) -> tuple[AuditResult, Service, Service]:
    before, after = service(MINE, PUBLIC), service(PUBLIC) if forgot else service(MINE, PUBLIC)
    result = audit_encoders(
        after, MINE, NEVER_SEEN, before=before, mode=mode, views=VIEWS, decoys=decoys, settings=QUICK
    )
    return result, before, after


def three(seed: int = 5) -> Decoys:
    return draw_decoys(PUBLIC, len(MINE), per_picture=3, seed=seed)


def advantage(asked: Sequence[Sequence[int]], others: Sequence[int]) -> dict[str, float]:
    """AUC of somebody who tells the owner's pictures from others by when, where in a batch and how often they come."""
    sequence = [number for batch in asked for number in batch]
    within = [(number, place / len(batch)) for batch in asked for place, number in enumerate(batch)]

    def tell(statistic: Mapping[int, float]) -> float:
        found: list[npt.NDArray[np.float64]] = [
            np.array([statistic[number] for number in part]) for part in (OWNER, others)
        ]
        return auc(found[0], found[1])

    return {
        "first seen": tell({number: -sequence.index(number) for number in {*sequence}}),
        "mean place": tell({n: -float(np.mean([p for m, p in within if m == n])) for n in {*sequence}}),
        "how often": tell({number: sequence.count(number) for number in {*sequence}}),
    }


@pytest.mark.parametrize(("mode", "forgot"), [("auto", True), ("auto", False), ("two-view", True)])
def test_what_is_found_is_the_same_as_without_decoys(mode: ModeChoice, forgot: bool) -> None:
    plain, *_ = audited(None, mode=mode, forgot=forgot)
    hidden, *_ = audited(three(), mode=mode, forgot=forgot)
    assert hidden.model_copy(update={"warnings": ()}) == plain.model_copy(update={"warnings": ()})
    assert any("which of all they were" in warning for warning in plain.warnings)
    assert any("among 3 decoys, in an order shuffled with the seed 5" in warning for warning in hidden.warnings)


def test_without_decoys_the_order_of_questions_tells_which_pictures_are_meant() -> None:
    _, before, after = audited(None)
    for asked in (before, after):
        assert advantage(asked.batches, CONTROLS)["first seen"] == 1
        assert advantage(asked.texts, CONTROLS)["first seen"] == 1


def test_with_decoys_neither_order_nor_number_of_questions_tells_them_apart() -> None:
    found: dict[str, list[float]] = {}
    for seed in range(3):
        decoys = three(seed)
        others = numbers_of(decoys.pictures.images(SIZE))
        _, before, after = audited(decoys)
        for asked in (before.batches, before.texts, after.batches, after.texts):
            for name, value in advantage(asked, others).items():
                found.setdefault(name, []).append(value)
    assert set(found["how often"]) == {0.5}
    # of 24 pictures against 72, an AUC of chance has a standard deviation of .07
    assert max(abs(value - 0.5) for values in found.values() for value in values) < 0.25
    assert all(abs(np.mean(values) - 0.5) < 0.08 for values in found.values())


def test_every_batch_that_holds_pictures_of_the_owner_holds_their_decoys() -> None:
    _, before, after = audited(three())
    for batch in (*before.batches, *after.batches, *before.texts, *after.texts):
        mine, others = sum(number in OWNER for number in batch), sum(number in DECOYS for number in batch)
        assert others == 3 * mine


def test_no_more_is_asked_than_was_said() -> None:
    for decoys in (None, three()):
        _, before, after = audited(decoys)
        most = most_asked(len(MINE), len(NEVER_SEEN), decoys=3 if decoys else 0, views=VIEWS)
        assert tuple(sum(map(len, asked)) for asked in (after.batches, after.texts)) == most
        assert sum(map(len, before.batches)) <= most[0]


def test_an_encoder_of_ones_own_is_asked_for_no_decoys() -> None:
    after = Own(service(PUBLIC).known)
    audit_encoders(after, MINE, NEVER_SEEN, views=VIEWS, decoys=three(), settings=QUICK)
    assert not {number for batch in after.batches for number in batch} & {*DECOYS}


def test_decoys_are_drawn_by_a_seed_and_are_none_of_those_to_avoid() -> None:
    first, again, other = three().pictures.ids, three().pictures.ids, three(6).pictures.ids
    assert first == again != other
    avoid = set(PUBLIC.ids[:8])
    assert not avoid & set(draw_decoys(PUBLIC, 24, per_picture=3, seed=0, avoid=avoid).pictures.ids)
    with pytest.raises(MucError, match=r"are 96, and 'public' holds 80 that could be some; ask for up to 3"):
        draw_decoys(PUBLIC, 24, per_picture=4, seed=0)
    with pytest.raises(MucError, match="1 to 100 are accepted"):
        draw_decoys(PUBLIC, 24, per_picture=101, seed=0)


def test_decoys_without_captions_are_refused_where_captions_are_asked_for() -> None:
    silent = ImageTextDataset("silent", [Item(item.id) for item in PUBLIC.items], PUBLIC.source)
    decoys = draw_decoys(silent, len(MINE), per_picture=1, seed=0)
    modes: tuple[ModeChoice, ...] = ("auto", "two-view")
    for mode in modes:  # the probes of the latter ask for captions, too
        with pytest.raises(MucError, match="has no caption, and captions are asked for"):
            audited(decoys, mode=mode)


def test_what_a_service_refuses_is_named_whether_it_is_a_picture_or_a_decoy() -> None:
    for refused, sentence in ((3, "'mine 3'"), (numbers_of(three().pictures.images(SIZE))[0], "of the decoys")):
        after = Service(refuses=frozenset([refused]))
        with pytest.raises(MucError, match=sentence):
            audit_encoders(after, MINE, NEVER_SEEN, mode="two-view", views=VIEWS, decoys=three(), settings=QUICK)


@pytest.mark.slow
def test_a_service_that_remembers_tells_decoys_it_never_trained_on_and_not_those_it_did() -> None:
    """Which set decoys are best taken from; the figures are in docs/security.md."""
    demo, split = load_demo(), demo_split()
    encoder = Workspace().load("demo-clip")
    groups = {"owner": split.forget[:100], "calibration": split.calibration[:100], "retain": split.retain[::10][:100]}
    parts = {name: demo.subset(ids) for name, ids in groups.items()}
    scores = {}
    for name in ("calibration", "retain"):
        both = [parts["owner"], parts[name]]
        images = torch.cat([embed_images(encoder, part) for part in both]).numpy()
        texts = embed_texts(encoder, [str(text) for part in both for text in part.texts]).numpy()
        margin = margins(image_text_factors(images, texts))[1]
        scores[name] = auc(margin[:100], margin[100:])
        looks = separate(*(part.images(SIZE).numpy() for part in both), seed=0, permutations=99)
        assert looks.p > 0.01, name
    assert scores["calibration"] > 0.9
    assert abs(scores["retain"] - 0.5) < 0.15
