"""From pixels to the file that is sent, and the digest under which its vector is remembered."""

import hashlib
from io import BytesIO

from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from muc_core.data.interpolation import Interpolation
from muc_core.encoders.remote.dialects import Picture
from muc_core.encoders.remote.settings import PictureFormat

JPEG_QUALITY = 95


def resized(images: Tensor, size: int, interpolation: Interpolation) -> Tensor:
    """uint8 `[n, 3, h, w]` to uint8 `[n, 3, size, size]`, as local encoders resize; the same pixels where it fits."""
    if images.shape[-2:] == (size, size):
        return images
    result: Tensor = transforms.resize(images, [size, size], InterpolationMode(interpolation), antialias=True)
    return result


def encode(image: Tensor, picture_format: PictureFormat) -> Picture:
    """One picture, uint8 `[3, h, w]`, as a file: PNG keeps every pixel, JPEG has quality 95 and full colour."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    buffer = BytesIO()
    if picture_format == "png":
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return Picture(buffer.getvalue(), f"image/{picture_format}")


def pixel_digest(image: Tensor) -> str:
    """SHA-256 over shape and pixels of one picture."""
    return hashlib.sha256(f"image {tuple(image.shape)} ".encode() + image.contiguous().numpy().tobytes()).hexdigest()


def text_digest(text: str) -> str:
    """SHA-256 over a text."""
    return hashlib.sha256(f"text {text}".encode("utf-8", "surrogatepass")).hexdigest()
