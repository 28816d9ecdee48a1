"""How a picture is brought to another size; a module of its own, because naming it needs neither torch nor Pillow."""

from typing import Literal

Interpolation = Literal["nearest", "bilinear", "bicubic"]
