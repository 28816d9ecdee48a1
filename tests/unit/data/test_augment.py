"""Random views: shape, range, seeds, and that each picture gets its own."""

import pytest
import torch

from muc_core.data.augment import Augmentation, AugmentSettings

FULL = AugmentSettings(crop_scale=0.3, flip=0.5, color_jitter=0.4, hue=0.1, grayscale=0.2)


def pictures(n: int, size: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_views_have_the_shape_and_the_range() -> None:
    views = Augmentation(FULL, 16)(pictures(9), torch.Generator().manual_seed(1))
    assert views.shape == (9, 3, 16, 16)
    assert views.dtype == torch.float32
    assert 0 <= float(views.min()) <= float(views.max()) <= 1


def test_a_generator_repeats_its_views_and_the_global_one_is_left_alone() -> None:
    augmentation = Augmentation(FULL, 16)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = augmentation(pictures(5), torch.Generator().manual_seed(1))
    assert torch.equal(torch.rand(2), expected)
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(augmentation(pictures(5), generator), first)
    assert not torch.equal(augmentation(pictures(5), generator), first)


def test_the_same_picture_gets_different_views_within_a_batch() -> None:
    same = pictures(1).repeat(8, 1, 1, 1)
    views = Augmentation(AugmentSettings(crop_scale=0.3, flip=0), 16)(same, torch.Generator().manual_seed(1))
    assert len({view.numpy().tobytes() for view in views}) == 8


@pytest.mark.parametrize("here", [[0, 2, 4, 6, 8], [7], []])
def test_some_pictures_of_a_batch_get_the_views_that_they_get_among_all(here: list[int]) -> None:
    augmentation, rows = Augmentation(FULL, 16), torch.tensor(here, dtype=torch.long)
    whole = augmentation(pictures(9), torch.Generator().manual_seed(1))
    some = augmentation(pictures(9)[rows], torch.Generator().manual_seed(1), of=9, here=rows)
    torch.testing.assert_close(some, whole[rows])


def test_without_any_strength_a_view_is_the_picture() -> None:
    view = Augmentation(AugmentSettings(crop_scale=1, flip=0), 16)(pictures(2), torch.Generator())
    assert torch.equal(view, pictures(2).float() / 255)


def test_flip_of_one_mirrors_every_picture() -> None:
    view = Augmentation(AugmentSettings(crop_scale=1, flip=1), 16)(pictures(4), torch.Generator())
    assert torch.equal(view, pictures(4).flip(-1).float() / 255)


@pytest.mark.parametrize("field", ["crop_scale", "flip", "hue"])
def test_settings_out_of_range_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        AugmentSettings(**{field: 1.5})
