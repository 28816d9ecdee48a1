"""Pictures that are damaged, lie about themselves, cost much more than their size, or are something else, too."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np
from PIL import Image

from tests.hostile.case import Case, upload
from tests.hostile.uploads import encode, picture, png, png_with_header, zipped

FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
SIDE = 7070
"""7,070 x 7,070 pixels are just inside the limit of 50 megapixels."""


def cases() -> Iterator[Case]:
    yield from _damaged()
    yield from _small()
    yield from _heavy()
    yield from _lying()
    yield from _of_other_kinds()
    yield from _polyglots()


@cache
def sound(kind: str) -> bytes:
    return encode(Image.effect_noise((90, 70), 60).convert("RGB"), kind)


def flipped(content: bytes, seed: int, share: float = 0.01) -> bytes:
    """The same with a hundredth of its bytes changed, at least three."""
    chance = random.Random(seed)
    changed = bytearray(content)
    for _ in range(max(3, int(len(content) * share))):
        changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
    return bytes(changed)


def _damaged() -> Iterator[Case]:
    for kind, suffix in FORMATS.items():
        for percent in (1, 10, 50, 90):
            cut = partial(lambda kind, percent: sound(kind)[: len(sound(kind)) * percent // 100], kind, percent)
            yield upload(f"{suffix}_cut_at_{percent}_percent", f"cut.{suffix}", cut)
        for seed in range(5):
            yield upload(
                f"{suffix}_flipped_{seed}",
                f"flip.{suffix}",
                partial(lambda k, s: flipped(sound(k), s), kind, seed),
                "either",
            )
        yield upload(f"{suffix}_twice", f"twice.{suffix}", partial(lambda k: sound(k) * 2, kind), "either")


def _small() -> Iterator[Case]:
    for kind, suffix in FORMATS.items():
        yield upload(f"{suffix}_1x1", f"dot.{suffix}", partial(lambda k: encode(picture(1, 1), k), kind))
        yield upload(f"{suffix}_8x8", f"tiny.{suffix}", partial(lambda k: encode(picture(8, 8), k), kind), "used")


def _flat(mode: str, kind: str, **options: object) -> bytes:
    return encode(Image.new(mode, (SIDE, SIDE)), kind, **options)


def _grey16() -> bytes:
    return encode(Image.fromarray(np.zeros((SIDE, SIDE), np.uint16)), "PNG")


def _deep(colour: int, channels: int) -> bytes:
    line = bytes(1 + 2 * channels * SIDE)
    return png_with_header(SIDE, SIDE, bits=16, colour=colour, data=line * SIDE)


def _clear_palette() -> bytes:
    return encode(Image.new("P", (SIDE, SIDE)), "PNG", transparency=0)


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 5
    return _flat("RGB", "JPEG", exif=exif)


def _heavy() -> Iterator[Case]:
    """The most pixels that are accepted, in the fewest bytes: what counts is the memory that they take."""
    flat: dict[str, tuple[str, Callable[[], bytes]]] = {
        "png_1": ("png", partial(_flat, "1", "PNG")),
        "png_l": ("png", partial(_flat, "L", "PNG")),
        "png_la": ("png", partial(_flat, "LA", "PNG")),
        "png_rgb": ("png", partial(_flat, "RGB", "PNG")),
        "png_rgba": ("png", partial(_flat, "RGBA", "PNG")),
        "png_clear_palette": ("png", _clear_palette),
        "png_grey16": ("png", _grey16),
        "png_rgb16": ("png", partial(_deep, 2, 3)),
        "png_rgba16": ("png", partial(_deep, 6, 4)),
        "jpg_rgb": ("jpg", partial(_flat, "RGB", "JPEG")),
        "jpg_turned": ("jpg", _turned),
        "jpg_progressive": ("jpg", partial(_flat, "RGB", "JPEG", progressive=True)),
        "jpg_cmyk": ("jpg", partial(_flat, "CMYK", "JPEG")),
        "jpg_cmyk_progressive": ("jpg", partial(_flat, "CMYK", "JPEG", progressive=True)),
        "webp_lossless": ("webp", partial(_flat, "RGBA", "WEBP", lossless=True, method=0, quality=0)),
        "gif": ("gif", partial(_flat, "P", "GIF")),
        "bmp_1": ("bmp", partial(_flat, "1", "BMP")),
        "bmp_rgb": ("bmp", partial(_flat, "RGB", "BMP")),
        "tif_lzw": ("tif", partial(_flat, "RGB", "TIFF", compression="tiff_lzw")),
        "tif_deflate_rgba": ("tif", partial(_flat, "RGBA", "TIFF", compression="tiff_adobe_deflate")),
        "tif_cmyk": ("tif", partial(_flat, "CMYK", "TIFF", compression="tiff_lzw")),
        "tif_lab": ("tif", partial(_flat, "LAB", "TIFF", compression="tiff_lzw")),
    }
    for name, (suffix, make) in flat.items():
        yield upload(f"heavy_{name}", f"heavy.{suffix}", make, "used")
    yield upload("heavy_tif_float", "heavy.tif", partial(_flat, "F", "TIFF", compression="tiff_lzw"))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _with_chunks(*chunks: bytes) -> bytes:
    """A sound PNG with chunks after its header."""
    return png()[:33] + b"".join(chunks) + png()[33:]


def _app1(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def _jpeg_with(*segments: bytes) -> bytes:
    whole = encode(picture(), "JPEG")
    return whole[:2] + b"".join(segments) + whole[2:]


def _exif(entries: bytes, count: int, tail: bytes = b"") -> bytes:
    """An EXIF block of one directory with the stated count of entries."""
    return b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + struct.pack("<H", count) + entries + tail


def _entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHLL", tag, kind, count, value)


def _tiff(*entries: bytes, after: int = 0, tail: bytes = b"") -> bytes:
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<L", after)
    return b"II*\x00\x08\x00\x00\x00" + directory + tail


def _tiff_of(width: int, height: int, *more: bytes, after: int = 0, bits: int = 8, compression: int = 1) -> bytes:
    data = 8 + 2 + 12 * (8 + len(more)) + 4
    plain = [
        _entry(256, 4, 1, width),
        _entry(257, 4, 1, height),
        _entry(258, 3, 1, bits),
        _entry(259, 3, 1, compression),
        _entry(262, 3, 1, 1),
        _entry(273, 4, 1, data),
        _entry(278, 4, 1, height),
        _entry(279, 4, 1, min(width * height, 400)),
    ]
    return _tiff(*sorted([*plain, *more]), after=after, tail=bytes(400))


def _scan_bomb() -> bytes:
    """A progressive JPEG whose last scan is there thousands of times: each of them goes over the whole picture."""
    whole = encode(Image.new("RGB", (6000, 6000)), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * 3000 + whole[-2:]


def _many_frames(kind: str, count: int) -> bytes:
    frames = [Image.new("P", (16, 16), number % 256) for number in range(count)]
    return encode(picture(16, 16), kind, save_all=True, append_images=frames, duration=10)


def _jpeg_size(width: int, height: int) -> bytes:
    whole = bytearray(encode(picture(), "JPEG"))
    place = whole.index(b"\xff\xc0") + 5
    whole[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(whole)


def _gif_size(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + encode(picture(), "GIF")[10:]


def _bmp(width: int, height: int, *, bits: int = 24, compression: int = 0, colours: int = 0) -> bytes:
    header = struct.pack("<LllHHLLllLL", 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<LHHL", 54 + 4000, 0, 0, 54) + header + bytes(4000)


def _riff(*chunks: tuple[bytes, bytes], stated: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<L", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<L", len(body) if stated is None else stated) + body


def _canvas(width: int, height: int, flags: int = 2) -> bytes:
    return struct.pack("<L", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _lying() -> Iterator[Case]:
    """Headers and metadata that do not hold what they say, or hold far too much."""
    text = b"Comment\x00\x00"
    loop = _entry(0x8769, 4, 1, 8)  # a directory within the directory: itself
    png_cases: dict[str, Callable[[], bytes]] = {
        "png_no_pixels": lambda: png_with_header(64, 64),
        "png_zero_wide": lambda: png_with_header(0, 64),
        "png_2_to_the_31": lambda: png_with_header(2**31 - 1, 2**31 - 1, bits=1, colour=0),
        "png_unknown_colour": lambda: png_with_header(64, 64, colour=5),
        "png_3_bits": lambda: png_with_header(64, 64, bits=3, colour=0),
        "png_no_palette": lambda: png_with_header(16, 16, colour=3, data=bytes(17 * 16)),
        "png_chunk_of_2_gb": lambda: png()[:33] + b"\x7f\xff\xff\xffIDAT" + bytes(100),
        "png_wrong_filter": lambda: png_with_header(16, 16, colour=0, data=b"\x09" * 17 * 16),
    }
    for name, make in png_cases.items():
        yield upload(name, "odd.png", make)
    metadata: dict[str, tuple[str, Callable[[], bytes]]] = {
        "png_100000_texts": ("png", lambda: _with_chunks(*[_chunk(b"tEXt", b"a\x00b")] * 100_000)),
        "png_30_text_bombs": (
            "png",
            lambda: _with_chunks(*[_chunk(b"zTXt", text + zlib.compress(bytes(2**20)))] * 300),
        ),
        "png_itxt_bomb": (
            "png",
            lambda: _with_chunks(_chunk(b"iTXt", b"a\x00\x01\x00\x00\x00" + zlib.compress(bytes(2**26)))),
        ),
        "png_icc_bomb": ("png", lambda: _with_chunks(_chunk(b"iCCP", b"a\x00\x00" + zlib.compress(bytes(2**28))))),
        "png_two_headers": ("png", lambda: png()[:33] + png()[8:]),
        "png_exif_cut": ("png", lambda: _with_chunks(_chunk(b"eXIf", b"II*\x00\x08"))),
        "png_frames_that_are_not_there": (
            "png",
            lambda: _with_chunks(_chunk(b"acTL", struct.pack(">LL", 2**31 - 1, 0))),
        ),
        "jpg_exif_65535_entries": ("jpg", lambda: _jpeg_with(_app1(_exif(_entry(0x0112, 3, 1, 6) * 5000, 65535)))),
        "jpg_exif_loop": (
            "jpg",
            lambda: _jpeg_with(_app1(_exif(loop + _entry(0x8825, 4, 1, 8), 2, struct.pack("<L", 8)))),
        ),
        "jpg_exif_value_of_4_gb": ("jpg", lambda: _jpeg_with(_app1(_exif(_entry(0x927C, 7, 2**32 - 1, 8), 1)))),
        "jpg_exif_orientation_9999": ("jpg", lambda: _jpeg_with(_app1(_exif(_entry(0x0112, 3, 1, 9999), 1)))),
        "jpg_exif_orientation_a_text": ("jpg", lambda: _jpeg_with(_app1(_exif(_entry(0x0112, 2, 4, 0x41414141), 1)))),
        "jpg_exif_many_orientations": ("jpg", lambda: _jpeg_with(_app1(_exif(_entry(0x0112, 3, 2**16, 8), 1)))),
        "jpg_exif_empty": ("jpg", lambda: _jpeg_with(_app1(b"Exif\x00\x00"))),
        "jpg_400_exif_blocks": ("jpg", lambda: _jpeg_with(*[_app1(_exif(b"\xff" * 60_000, 5000))] * 400)),
        "jpg_xmp_of_24_mb": (
            "jpg",
            lambda: _jpeg_with(*[_app1(b"http://ns.adobe.com/xap/1.0/\x00" + b"<" * 65_000)] * 370),
        ),
        "jpg_xmp_entities": ("jpg", lambda: _jpeg_with(_app1(_LAUGHS))),
        "jpg_icc_255_parts": ("jpg", lambda: _jpeg_with(*[_icc(number) for number in range(1, 256)])),
        "jpg_scan_bomb": ("jpg", _scan_bomb),
        "jpg_comments_of_20_mb": ("jpg", lambda: _jpeg_with(*[b"\xff\xfe\xff\xff" + bytes(65533)] * 320)),
        "jpg_65500_wide": ("jpg", lambda: _jpeg_size(65_500, 65_500)),
        "jpg_0_high": ("jpg", lambda: _jpeg_size(64, 0)),
        "jpg_larger_than_its_data": ("jpg", lambda: _jpeg_size(7000, 7000)),
        "jpg_mpo_of_1000": ("jpg", lambda: _jpeg_with(b"\xff\xe2\x00\x40MPF\x00II*\x00\x08\x00\x00\x00" + bytes(50))),
        "gif_20000_frames": ("gif", lambda: _many_frames("GIF", 20_000)),
        "gif_65535_wide": ("gif", lambda: _gif_size(65_535, 65_535)),
        "gif_comments": (
            "gif",
            lambda: encode(picture(), "GIF")[:-1] + (b"!\xfe" + b"\xff" + b"A" * 255 + b"\x00") * 50_000 + b";",
        ),
        "gif_without_end": ("gif", lambda: encode(picture(), "GIF")[:-1] + b"!\xf9\x04\x00\x00\x00\x00\x00" * 200_000),
        "webp_2000_frames": ("webp", lambda: _many_frames("WEBP", 2_000)),
        "webp_16_million_wide": ("webp", lambda: _riff((b"VP8X", _canvas(2**24, 2**24)), (b"ANIM", bytes(6)))),
        "webp_stated_4_gb": ("webp", lambda: _riff((b"VP8X", _canvas(64, 64)), stated=2**32 - 2)),
        "webp_empty": ("webp", lambda: _riff()),
        "bmp_upside_down": ("bmp", lambda: _bmp(30, -30)),
        "bmp_2_to_the_31_high": ("bmp", lambda: _bmp(2, -(2**31))),
        "bmp_4_billion_colours": ("bmp", lambda: _bmp(30, 30, bits=8, colours=2**32 - 1)),
        "bmp_run_lengths": ("bmp", lambda: _bmp(7000, 7000, bits=8, compression=1, colours=2)),
        "bmp_jpeg_inside": ("bmp", lambda: _bmp(30, 30, compression=4)),
        "bmp_0_bits": ("bmp", lambda: _bmp(30, 30, bits=0)),
        "tif_directory_loop": ("tif", lambda: _tiff_of(20, 20, after=8)),
        "tif_no_entries": ("tif", lambda: _tiff()),
        "tif_60000_wide": ("tif", lambda: _tiff_of(60_000, 60_000)),
        "tif_255_channels": ("tif", lambda: _tiff_of(20, 20, _entry(277, 3, 1, 255))),
        "tif_tiles_of_0": ("tif", lambda: _tiff_of(20, 20, _entry(322, 3, 1, 0), _entry(323, 3, 1, 0))),
        "tif_tiles_of_65535": ("tif", lambda: _tiff_of(20, 20, _entry(322, 3, 1, 65535), _entry(323, 3, 1, 65535))),
        "tif_unknown_compression": ("tif", lambda: _tiff_of(20, 20, compression=65_000)),
        "tif_lzw_of_zeros": ("tif", lambda: _tiff_of(7000, 7000, compression=5)),
        "tif_deflate_of_nothing": ("tif", lambda: _tiff_of(7000, 7000, compression=8)),
        "tif_jpeg_of_zeros": ("tif", lambda: _tiff_of(7000, 7000, compression=7)),
        "tif_fax": ("tif", lambda: _tiff_of(7000, 7000, bits=1, compression=4)),
        "tif_64_bits": ("tif", lambda: _tiff_of(16, 16, bits=64)),
        "tif_4_billion_strips": ("tif", lambda: _tiff_of(20, 20, _entry(273, 4, 2**32 - 1, 8))),
        "tif_big": ("tif", lambda: b"II+\x00\x08\x00\x00\x00" + struct.pack("<QQ", 16, 2**63)),
        "tif_1000_pages": ("tif", lambda: encode(picture(), "TIFF", save_all=True, append_images=[picture()] * 999)),
    }
    for name, (suffix, make) in metadata.items():
        yield upload(name, f"odd.{suffix}", make, "either")


_LAUGHS = (
    b"http://ns.adobe.com/xap/1.0/\x00"
    + b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'ha'>"
    + b"".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>".encode() for n in range(12))
    + b"]><x:xmpmeta xmlns:x='adobe:ns:meta/'>&m;</x:xmpmeta>"
)


def _icc(number: int) -> bytes:
    content = b"ICC_PROFILE\x00" + bytes([number, 255]) + bytes(65_000)
    return b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content


def _saved(kind: str) -> bytes:
    return encode(picture(), kind)


def _of_other_kinds() -> Iterator[Case]:
    """Files that Pillow could open with other plug-ins, some of which start programs."""
    for kind, suffix in {
        "ICO": "ico",
        "PCX": "pcx",
        "TGA": "tga",
        "PPM": "ppm",
        "SGI": "sgi",
        "DDS": "dds",
        "ICNS": "icns",
        "JPEG2000": "jp2",
        "PDF": "pdf",
        "EPS": "eps",
        "MSP": "msp",
    }.items():
        image = partial(lambda kind: encode(picture().convert("1" if kind == "MSP" else "RGB"), kind), kind)
        yield upload(f"kind_{suffix}", f"picture.{suffix}", image)
        yield upload(f"kind_{suffix}_named_png", "picture.png", image)
    program = b"%!PS\n(/tmp/muc-executed) (w) file closefile\n%pipe%touch${IFS}EXECUTED\nshowpage\n"
    yield upload(
        "kind_postscript_program", "program.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n" + program
    )
    yield upload(
        "kind_svg_with_file",
        "drawing.png",
        lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    )
    yield upload("kind_svg_laughs", "drawing.svg", lambda: b"<?xml version='1.0'?>" + _LAUGHS)
    yield upload(
        "kind_imagemagick", "shell.jpg", lambda: b"push graphic-context\nfill 'url(https://x\"|touch EXECUTED\")'\n"
    )
    yield upload("kind_wmf", "old.wmf", lambda: b"\xd7\xcd\xc6\x9a" + bytes(100))
    yield upload(
        "kind_psd",
        "layers.psd",
        lambda: b"8BPS\x00\x01" + bytes(6) + b"\x00\x03\x00\x00\x00\x40\x00\x00\x00\x40\x00\x08\x00\x03" + bytes(300),
    )
    yield upload("kind_avif", "new.avif", lambda: b"\x00\x00\x00\x1cftypavif" + bytes(300))
    yield upload("kind_fits", "stars.fits", lambda: b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800))
    yield upload("kind_elf", "picture.png", lambda: b"\x7fELF\x02\x01\x01" + bytes(300))
    yield upload("kind_script", "picture.png", lambda: b"#!/bin/sh\ntouch EXECUTED\n")


def _polyglots() -> Iterator[Case]:
    """Sound pictures that are something else, too; nothing but the picture may be seen in them."""
    html = b"<script>alert(document.domain)</script>"
    script = b"=1;/*"
    both: dict[str, tuple[str, Callable[[], bytes]]] = {
        "png_and_zip": ("both.png", lambda: png() + zipped(("../evil.png", png()))),
        "png_and_html": ("both.png", lambda: _with_chunks(_chunk(b"tEXt", b"Title\x00" + html))),
        "png_and_php": ("both.php.png", lambda: png() + b"<?php system($_GET['c']); ?>"),
        "png_and_pickle": ("both.png", lambda: png() + b"cos\nsystem\n(S'touch EXECUTED'\ntR."),
        "jpg_and_html": ("both.jpg", lambda: _jpeg_with(b"\xff\xfe" + struct.pack(">H", len(html) + 2) + html)),
        "jpg_and_zip": ("both.jpg", lambda: encode(picture(), "JPEG") + zipped(("captions.csv", b"file,caption\n"))),
        "jpg_and_pdf": ("both.jpg", lambda: encode(picture(), "JPEG") + b"%PDF-1.7\n1 0 obj<</OpenAction 2 0 R>>"),
        "gif_and_script": ("both.gif", lambda: b"GIF89a" + script[:2] + b"\x00" + encode(picture(), "GIF")[9:]),
        "bmp_and_script": ("both.bmp", lambda: encode(picture(), "BMP") + b"*/alert(1)"),
    }
    for name, (given, make) in both.items():
        yield upload(f"both_{name}", given, make, "either")
    yield upload("both_zip_behind_png", "both.zip", lambda: png() + zipped(("a.png", png())), "either")
    yield upload("both_tar_named_png", "tar.png", lambda: b"a.png".ljust(257, b"\0") + b"ustar".ljust(255, b"\0"))
    yield upload("both_gzip_named_png", "gz.png", lambda: _gzip(png()))


def _gzip(content: bytes) -> bytes:
    import gzip

    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as packed:
        packed.write(content)
    return stream.getvalue()
