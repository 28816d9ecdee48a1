"""Random views: each picture is transformed on its own, the whole batch at once, from a seedable generator."""

import kornia.augmentation as K
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor


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
        steps: list[torch.nn.Module] = []
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
        self._steps = torch.nn.Sequential(*steps)

    @torch.no_grad()
    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 `[n, 3, size, size]` to one random view of each, float32 in [0, 1], same shape."""
        seed = int(torch.randint(2**62, (1,), generator=generator))
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(seed)
            views: Tensor = self._steps(images.float() / 255)
        return views
