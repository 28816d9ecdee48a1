"""Uploads as the world sends them: broken, huge, odd or hostile files, made as bytes when asked for.

`hostile_uploads()` maps a case to (file name, content). The cases in `USABLE` are odd but sound and must be accepted;
each of the others must be refused with one sentence and without harm to the files beside it.
"""

import io
import json
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

USABLE = frozenset(
    {
        "animated_apng",
        "animated_gif",
        "animated_webp",
        "cmyk_jpeg",
        "colour_key_png",
        "exif_rotated_jpeg",
        "gray16_png",
        "gray16_tiff",
        "gray_alpha_png",
        "gray_jpeg",
        "long_strip_png",
        "no_suffix",
        "one_bit_png",
        "palette_png",
        "palette_transparent_png",
        "rgb16_png",
        "transparent_png",
        "transparent_webp",
        "wrong_suffix",
    }
)
"""Pictures that must be read correctly."""


def picture(width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    """An RGB picture with a red left half and a marked top left corner, different for each seed."""
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    image.paste((0, 255, seed % 256), (0, 0, width // 4, height // 4))
    return image


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(seed: int = 0) -> bytes:
    return encode(picture(seed=seed))


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """A zip archive; a name given twice is packed twice."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def png_with_header(
    width: int, height: int, *, bits: int = 8, colour: int = 2, data: bytes = b"", extra: bytes = b""
) -> bytes:
    """A PNG with any header (PNG specification, 11.2); `data` are the filtered scan lines."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", zlib.compress(data)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def raw_zip(members: list[tuple[str, bytes, int, int]]) -> bytes:
    """A zip of (name, deflated content, CRC-32, stated size), whether they agree or not (APPNOTE 4.3)."""
    body: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name, content, crc, size in members:
        fields = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 33, crc, len(content), size, len(name), 0)
        directory.append(b"PK\x01\x02" + struct.pack("<H", 20) + fields)
        directory.append(struct.pack("<HHHLL", 0, 0, 0, 0, offset) + name.encode())
        body.append(b"PK\x03\x04" + fields + name.encode() + content)
        offset += len(body[-1])
    count, length = len(members), sum(map(len, directory))
    end = struct.pack("<HHHHLLH", 0, 0, count, count, length, offset, 0)
    return b"".join([*body, *directory, b"PK\x05\x06", end])


def zeros_deflated(megabytes: int) -> bytes:
    """So many megabytes of zeros as a raw deflate stream, a thousandth of that long."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(bytes(2**20))
    packer.flush(zlib.Z_FULL_FLUSH)
    # after a full flush the same input gives the same output, which can be repeated
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * megabytes + packer.flush()


def zip_bomb(members: int = 100, megabytes: int = 100) -> bytes:
    """A small zip that unpacks to members * megabytes: a good picture, then members full of zeros named as pictures."""
    content, crc = zeros_deflated(megabytes), zlib.crc32(bytes(megabytes * 2**20))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    good = packer.compress(png()) + packer.flush()
    bombs = [(f"bomb{number:03}.png", content, crc, megabytes * 2**20) for number in range(members)]
    return raw_zip([("good.png", good, zlib.crc32(png()), len(png())), *bombs])


def encrypted_zip() -> bytes:
    """A zip whose member says that it is encrypted, in both of its headers."""
    archive = bytearray(zipped(("secret.png", png())))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(mark) + offset] |= 1
    return bytes(archive)


def symlink_zip() -> bytes:
    link = zipfile.ZipInfo("link.png")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped((link, b"/etc/passwd"))


def many_members_zip(count: int = 10_001) -> bytes:
    return raw_zip([(f"{number}.png", b"\x03\x00", 0, 0) for number in range(count)])


def exif_rotated(orientation: int, kind: str = "JPEG") -> bytes:
    """`picture()` as a camera would store it that was turned: upright once the orientation is applied."""
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = picture() if stored is None else picture().transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless: dict[str, dict[str, object]] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    return encode(image, kind, exif=exif, **lossless.get(kind, {}))


def animation(kind: str) -> bytes:
    """Three frames, the first of them `picture()`."""
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("white", "black")]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    return encode(picture(), kind, save_all=True, append_images=frames, duration=100, **lossless)


def transparent(mode: str = "RGBA") -> Image.Image:
    """Opaque red on the left, half-transparent black in the middle, clear on the right: 10 pixels each."""
    image = Image.new("RGBA", (30, 30), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 10, 30))
    image.paste((0, 0, 0, 128), (10, 0, 20, 30))
    return image.convert(mode)


@cache
def hostile_uploads() -> dict[str, tuple[str, bytes]]:
    """Every case by name: (file name, content). All together about 40 MB, built once in a few seconds."""
    return {case: (file_name, make()) for case, (file_name, make) in _CASES.items()}


def hostile_upload(case: str) -> tuple[str, bytes]:
    """One case, without building the others."""
    file_name, make = _CASES[case]
    return file_name, make()


def hostile_name(case: str) -> str:
    """The file name of a case, without building it."""
    return _CASES[case][0]


def hostile_cases() -> tuple[str, ...]:
    return tuple(_CASES)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _gray16(kind: str) -> bytes:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    return encode(Image.fromarray(np.tile(ramp, (16, 1))), kind)


def _rgb16_png() -> bytes:
    pixel = struct.pack(">HHH", 65535, 32768, 0)
    return png_with_header(16, 16, bits=16, data=(b"\x00" + pixel * 16) * 16)


def _colour_key_png() -> bytes:
    # tRNS names the one colour that is clear: red
    key = _chunk(b"tRNS", struct.pack(">HHH", 255, 0, 0))
    line = b"\x00" + b"\xff\x00\x00" * 8 + b"\x00\x00\xff" * 8
    return png_with_header(16, 16, data=line * 16, extra=key)


def _text_bomb_png() -> bytes:
    text = _chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(64 * 2**20), 9))
    return png_with_header(16, 16, data=(b"\x00" + bytes(48)) * 16, extra=text)


def _palette_transparent_png() -> bytes:
    image = transparent().convert("RGB").quantize(4)
    return encode(image, transparency=image.getpixel((25, 5)))


def _float_tiff() -> bytes:
    return encode(Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)), "TIFF")


_CASES: dict[str, tuple[str, Callable[[], bytes]]] = {
    # not pictures
    "empty": ("empty.png", lambda: b""),
    "text": ("notes.txt", lambda: b"buy milk"),
    "text_as_png": ("text.png", lambda: b"this is no picture\n" * 100),
    "html_as_jpeg": ("page.jpg", lambda: b"<!doctype html><script>alert(1)</script>"),
    "svg": ("drawing.svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>'),
    "pdf": ("paper.pdf", lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
    "postscript": ("figure.eps", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n"),
    "heic": ("phone.heic", lambda: b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200)),
    "pickle": ("weights.pt", lambda: b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix"),
    # damaged
    "truncated_png": ("half.png", lambda: encode(picture(200, 200))[:400]),
    "truncated_jpeg": ("half.jpg", lambda: encode(picture(200, 200), "JPEG")[:1500]),
    "truncated_webp": ("half.webp", lambda: encode(picture(200, 200), "WEBP", lossless=True)[:60]),
    "truncated_gif": ("half.gif", lambda: encode(Image.effect_noise((200, 200), 50), "GIF")[:9000]),
    "truncated_bmp": ("half.bmp", lambda: encode(picture(200, 200), "BMP")[:9000]),
    "truncated_tiff": ("half.tif", lambda: encode(picture(200, 200), "TIFF", compression="tiff_lzw")[:300]),
    "header_only_png": ("head.png", lambda: png()[:33]),
    "wrong_checksum_png": ("flip.png", lambda: png()[:20] + b"\x99" + png()[21:]),
    # too small, too large
    "one_pixel": ("dot.png", lambda: encode(picture(1, 1))),
    "seven_pixels_high": ("flat.png", lambda: encode(picture(99, 7))),
    "bomb_60000": ("bomb.png", lambda: png_with_header(60_000, 60_000, bits=1, colour=0, data=bytes(2**20))),
    "bomb_10000": ("large.png", lambda: png_with_header(10_000, 10_000, bits=1, colour=0, data=bytes(1251 * 10_000))),
    "bomb_7100": ("edge.png", lambda: png_with_header(7_100, 7_100, bits=1, colour=0, data=bytes(889 * 7_100))),
    "text_bomb_png": ("comment.png", _text_bomb_png),
    # 32-bit values have no known range
    "float_tiff": ("depth.tif", _float_tiff),
    # odd, but sound
    "cmyk_jpeg": ("print.jpg", lambda: encode(picture().convert("CMYK"), "JPEG", quality=95)),
    "gray_jpeg": ("grey.jpg", lambda: encode(picture().convert("L"), "JPEG")),
    "gray16_png": ("scan.png", lambda: _gray16("PNG")),
    "gray16_tiff": ("scan.tif", lambda: _gray16("TIFF")),
    "rgb16_png": ("deep.png", _rgb16_png),
    "one_bit_png": ("fax.png", lambda: encode(picture().convert("1"))),
    "palette_png": ("palette.png", lambda: encode(picture().quantize(8))),
    "palette_transparent_png": ("sticker.png", _palette_transparent_png),
    "colour_key_png": ("key.png", _colour_key_png),
    "transparent_png": ("logo.png", lambda: encode(transparent())),
    "transparent_webp": ("logo.webp", lambda: encode(transparent(), "WEBP", lossless=True, exact=True)),
    "gray_alpha_png": ("shade.png", lambda: encode(transparent("LA"))),
    "animated_gif": ("wave.gif", lambda: animation("GIF")),
    "animated_webp": ("wave.webp", lambda: animation("WEBP")),
    "animated_apng": ("wave.png", lambda: animation("PNG")),
    "exif_rotated_jpeg": ("turned.jpg", lambda: exif_rotated(6)),
    "long_strip_png": ("strip.png", lambda: encode(picture(60_000, 8))),
    "wrong_suffix": ("really_a_png.jpg", png),
    "no_suffix": ("picture", png),
    # names
    "name_climbs": ("../../evil.png", png),
    "name_absolute": ("/etc/evil.png", png),
    "name_windows": ("C:\\evil.png", png),
    "name_control": ("evil\n\x00.png", png),
    "name_empty": ("", png),
    # archives
    "zip_not_a_zip": ("fake.zip", lambda: b"this is no archive"),
    "zip_truncated": ("cut.zip", lambda: zipped(("a.png", png()))[:-40]),
    "zip_empty": ("nothing.zip", lambda: zipped()),
    "zip_climbs": ("climb.zip", lambda: zipped(("../evil.png", png()), ("a/../../evil.png", png()))),
    "zip_climbs_backslash": ("climb2.zip", lambda: zipped(("..\\evil.png", png()))),
    "zip_absolute": ("absolute.zip", lambda: zipped(("/etc/evil.png", png()), ("C:\\evil.png", png()))),
    "zip_symlink": ("link.zip", symlink_zip),
    "zip_encrypted": ("secret.zip", encrypted_zip),
    "zip_nested": ("nested.zip", lambda: zipped(("inner.zip", zipped(("a.png", png()))))),
    "zip_many_members": ("many.zip", many_members_zip),
    "zip_wrong_size": ("liar.zip", lambda: raw_zip([("a.png", zeros_deflated(64), 0, 1000)])),
    "zip_one_huge": ("huge.zip", lambda: raw_zip([("a.png", zeros_deflated(3000), 0, 3000 * 2**20)])),
    "zip_bzip2": ("odd.zip", lambda: _bzip2()),
    # caption files
    "captions_not_utf8": ("captions.csv", lambda: "file,caption\na.png,crème\n".encode("latin-1")),
    "captions_utf16": ("captions.tsv", lambda: "file\tcaption\na.png\tbird\n".encode("utf-16")),
    "captions_empty": ("captions.csv", lambda: b""),
    "captions_no_header": ("captions.csv", lambda: b"a.png,a bird\nb.png,a cat\n"),
    "captions_bad_json": ("captions.jsonl", lambda: b'{"file": "a.png"\n[1]\nnull\n' + b"[" * 100_000),
    "captions_surrogate": ("captions.jsonl", lambda: json.dumps({"file": "a.png", "caption": "\ud800"}).encode()),
    "captions_commas": ("captions.csv", lambda: b"file,caption\na.png,red, white and blue\n"),
    "captions_open_quote": ("captions.csv", lambda: b'file,caption\na.png,"never closed\nb.png,cat\n'),
}


def _bzip2() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.png", png())
    return stream.getvalue()
