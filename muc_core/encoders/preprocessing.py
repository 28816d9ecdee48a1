"""What an encoder wants done to a picture before it looks: a size, and channels brought to a mean and a deviation."""

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from muc_core.data.interpolation import Interpolation

if TYPE_CHECKING:
    from torch import Tensor

Mean = Annotated[float, Field(ge=-10, le=10)]
Deviation = Annotated[float, Field(gt=0, le=10)]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Preprocessing(BaseModel):
    """Side of the square picture in pixels; mean and deviation of red, green and blue on a scale of 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=1, le=4096)
    mean: tuple[Mean, Mean, Mean] = IMAGENET_MEAN
    std: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD
    interpolation: Interpolation = "bicubic"

    def apply(self, images: "Tensor") -> "Tensor":
        """uint8 `[n, 3, h, w]` to float32 `[n, 3, size, size]`, what the encoder's first layer sees."""
        # Imported here so that listing a workspace needs no torch.
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional as transforms

        if images.shape[-2:] != (self.size, self.size):
            mode = InterpolationMode(self.interpolation)
            images = transforms.resize(images, [self.size, self.size], mode, antialias=True)
        return self.normalise(images.float() / 255)

    def normalise(self, images: "Tensor") -> "Tensor":
        """Pictures in [0, 1] less the mean, by the deviation."""
        from torchvision.transforms.v2 import functional as transforms

        normalised: Tensor = transforms.normalize(images, list(self.mean), list(self.std))
        return normalised

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:.3f}" for value in values) for values in (self.mean, self.std))
        return f"{self.size} x {self.size} pixels, {self.interpolation}, mean {mean}, deviation {std}"
