"""From an encoded file to a correct 8-bit RGB picture, or one sentence that says why not.

What a file says of itself is checked before any pixel is decoded, so that a decompression bomb costs nothing. A
truncated file is refused, never padded. Pillow's global settings are left as they are.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from muc_core.data.interpolation import Interpolation
from muc_core.errors import BadImage

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MIN_SIDE = 8
MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 200 * 2**20
MAX_SCANS = 100
"""Passes of a JPEG over its pixels; an honest one has about ten, and each costs as much as the first."""

_SCAN = b"\xff\xda"
_KINDS = "PNG, JPEG, WebP, GIF, BMP and TIFF files"
_LIMITS = f"pictures from {MIN_SIDE} x {MIN_SIDE} pixels to {MAX_PIXELS // 10**6} megapixels are accepted"
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each value of EXIF's orientation tag (EXIF 2.32, 4.6.4)."""


@dataclass(frozen=True)
class Decoded:
    """A picture in 8-bit RGB, upright and opaque, and what had to be done to it: sentences that name the file."""

    image: Image.Image
    notes: tuple[str, ...]


def decode_image(data: bytes, name: str) -> Decoded:
    """Decode a PNG, JPEG, WebP, GIF, BMP or TIFF file.

    EXIF rotation is applied, transparency is laid on white, palette, grey, 16-bit and CMYK pixels become 8-bit RGB (16
    bits are scaled, not clipped), and of several frames the first is taken. Safe to call from several threads.

    Args:
        data: the file's bytes.
        name: the file's name, for messages.

    Raises:
        BadImage: not such a picture, damaged, too small or too large.
    """
    if len(data) > MAX_FILE_BYTES:
        raise BadImage(f"{name} has {len(data) / 2**20:.0f} MB; files up to {MAX_FILE_BYTES // 2**20} MB are accepted")
    image = _open(BytesIO(data), name)
    if image.format in ("JPEG", "MPO") and data.count(_SCAN) > MAX_SCANS:
        raise BadImage(f"{name} goes over its pixels more than {MAX_SCANS} times; save it as an ordinary JPEG")
    notes: list[str] = []
    try:
        if getattr(image, "is_animated", False):
            notes.append(f"{name} holds several frames; the first is used")
        image.load()
        turn = _turn(image, name, notes)
        rgb = _to_rgb(image, name, notes)
        return Decoded(rgb if turn is None else rgb.transpose(turn), tuple(notes))
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every kind of error on damaged data
        raise BadImage(f"{name} is damaged or cut short and cannot be decoded; save or upload it again") from error


def check_header(stream: BinaryIO, name: str) -> None:
    """Look at a file's header only: is it a picture of an accepted kind and size?

    Raises:
        BadImage: as `decode_image` would, as far as the header tells.
    """
    _open(stream, name)


def to_square_tensor(image: Image.Image, size: int, interpolation: Interpolation = "bicubic") -> Tensor:
    """The centre square of an RGB picture as uint8 `[3, size, size]`; Pillow's filters, antialiased but for nearest."""
    width, height = image.size
    if width != height:
        # cropping comes first: a long strip would otherwise be enlarged whole only to be thrown away
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    square = image.resize((size, size), Image.Resampling[interpolation.upper()])
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def _open(stream: BinaryIO, name: str) -> Image.Image:
    try:
        image = Image.open(stream, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"{name} has far too many pixels; {_LIMITS}") from error
    except UnidentifiedImageError as error:
        raise BadImage(f"{name} is not a picture, or its beginning is damaged; {_KINDS} are accepted") from error
    except Exception as error:  # see decode_image
        raise BadImage(f"{name} is damaged: its header cannot be read; save or upload it again") from error
    width, height = image.size
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        raise BadImage(f"{name} is {width:,} x {height:,} pixels; {_LIMITS}")
    return image


def _turn(image: Image.Image, name: str, notes: list[str]) -> Image.Transpose | None:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the pixels are sound, only the camera's data are not: say so and go on
        notes.append(f"{name} has damaged EXIF data; it is used as stored, without rotation")
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def _to_rgb(image: Image.Image, name: str, notes: list[str]) -> Image.Image:
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        if isinstance(transparent := image.info.get("transparency"), int):
            values = np.where(values == transparent, 0xFFFF, values)
            notes.append(f"{name} has transparent areas; they were laid on white")
        # the high byte, which is also what Pillow takes of 16-bit colour
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise BadImage(f"{name} has 32-bit values of unknown range; pictures with 8 or 16 bits a channel are accepted")
    if image.has_transparency_data:
        # a large picture takes 200 MB: no copy more than needed
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        opaque = Image.new("RGB", image.size, "white")
        opaque.paste(rgba, mask=rgba)
        if rgba.getchannel("A").getextrema() != (255, 255):
            notes.append(f"{name} has transparent areas; they were laid on white")
        return opaque
    if image.mode == "CMYK":
        notes.append(f"{name} has print colours (CMYK); they were converted to RGB and may look slightly different")
    return image if image.mode == "RGB" else image.convert("RGB")
