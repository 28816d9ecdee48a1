"""Random views: each picture is transformed on its own, the whole batch at once, from a seedable generator."""

import kornia.augmentation as K
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

_OF_THE_BATCH = ("order", "forward_input_shape")
"""kornia's parameters that are one for the whole batch; all others have a row for each picture."""


class AugmentSettings(BaseModel):
    """What a random view may change. A probability or strength of 0 leaves that transformation out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_scale: float = Field(0.5, gt=0, le=1, description="Smallest share of the picture that a random crop keeps.")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of a mirror image.")
    color_jitter: float = Field(0.0, ge=0, le=1, description="Strength of brightness, contrast and saturation changes.")
    hue: float = Field(0.0, ge=0, le=0.5, description="Largest change of hue, as a share of the colour circle.")
    jitter_probability: float = Field(0.8, ge=0, le=1, description="Share of the views whose colours are changed.")
    grayscale: float = Field(0.0, ge=0, le=1, description="Probability of losing all colour.")


class Augmentation:
    """Draws views of a given side in pixels.

    The transformations are kornia's, whose randomness comes from torch's global generator; each call runs under a seed
    drawn from the caller's generator and leaves the global one as it was.
    """

    def __init__(self, settings: AugmentSettings, size: int) -> None:
        self.settings = settings
        steps: list[K.AugmentationBase2D] = []
        if settings.crop_scale < 1:
            # "resample" crops and resizes the batch in one grid_sample; "slice" loops over the samples
            scale = (settings.crop_scale, 1.0)
            steps.append(K.RandomResizedCrop((size, size), scale=scale, p=1.0, cropping_mode="resample"))
        if settings.flip:
            steps.append(K.RandomHorizontalFlip(p=settings.flip))
        if settings.color_jitter or settings.hue:
            strength = settings.color_jitter
            steps.append(K.ColorJitter(strength, strength, strength, settings.hue, p=settings.jitter_probability))
        if settings.grayscale:
            steps.append(K.RandomGrayscale(p=settings.grayscale))
        self._steps = steps

    @torch.no_grad()
    def __call__(
        self, images: Tensor, generator: torch.Generator, *, of: int | None = None, here: Tensor | None = None
    ) -> Tensor:
        """uint8 `[n, 3, size, size]` to one random view of each, float32 in [0, 1], same shape.

        Args:
            of, here: the pictures are those at the positions `here`, int64 `[n]`, of a batch of `of`, whose others are
                not at hand; each gets the view that it would get among all of them.
        """
        seed = int(torch.randint(2**62, (1,), generator=generator))
        views = images.float() / 255
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(seed)
            for step in self._steps:
                drawn = step.forward_parameters(torch.Size((len(images) if of is None else of, *images.shape[1:])))
                if here is not None:
                    rows = here.cpu()
                    drawn = {name: value if name in _OF_THE_BATCH else value[rows] for name, value in drawn.items()}
                if len(images):
                    views = step(views, params=drawn)
        return views
