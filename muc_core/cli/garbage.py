"""Loading torch without a search for garbage."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage() -> Iterator[None]:
    """Search for no garbage inside, nor later among what was loaded inside. Where torch is loaded, nothing changes.

    torch and what builds on it make a million objects that all stay; looking through them again and again takes a sixth
    of the time of their import.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
