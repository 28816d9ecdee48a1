"""Input as the world sends it: broken, huge, odd or hostile files, made when they are asked for.

`uploads` holds the cases that unit tests take one by one. `python -m tests.hostile OUT` builds the whole corpus and
sends each of its files through the entry point that such a file would come in by, in a process that is watched.
"""

from tests.hostile.uploads import (
    USABLE,
    animation,
    encode,
    encrypted_zip,
    exif_rotated,
    hostile_cases,
    hostile_upload,
    hostile_uploads,
    many_members_zip,
    picture,
    png,
    png_with_header,
    raw_zip,
    symlink_zip,
    transparent,
    zeros_deflated,
    zip_bomb,
    zipped,
)

__all__ = [
    "USABLE",
    "animation",
    "encode",
    "encrypted_zip",
    "exif_rotated",
    "hostile_cases",
    "hostile_upload",
    "hostile_uploads",
    "many_members_zip",
    "picture",
    "png",
    "png_with_header",
    "raw_zip",
    "symlink_zip",
    "transparent",
    "zeros_deflated",
    "zip_bomb",
    "zipped",
]
