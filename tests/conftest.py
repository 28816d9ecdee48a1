"""What every test needs."""

import os
from collections.abc import Iterator

import pytest

from muc_core.encoders.remote.address import ALLOW_VARIABLE


@pytest.fixture(autouse=True)
def _private_addresses_as_before() -> Iterator[None]:
    """A page locks private addresses for its whole process; the next test starts without that lock."""
    before = os.environ.get(ALLOW_VARIABLE)
    yield
    if before is None:
        os.environ.pop(ALLOW_VARIABLE, None)
    else:
        os.environ[ALLOW_VARIABLE] = before
