"""One file per way to ask a service for vectors; importing this package registers them all."""

import pkgutil
from importlib import import_module

from muc_core.encoders.remote.dialects.base import DIALECTS, Dialect, Picture

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    import_module(f"{__name__}.{_module}")

__all__ = ["DIALECTS", "Dialect", "Picture"]
