"""Which block of a pooled matrix is open: in the session, and in the address as ROW-COLUMN."""

import re

import streamlit as st

from dashboard.components.links import put_into_link
from dashboard.components.words import plain


def open_block(key: str, of: str, block: tuple[int, int] | None) -> None:
    """Show the pictures of a block, or all blocks again.

    Args:
        key: in the session and in the address.
        of: what the matrix is of; another one has other blocks.
    """
    st.session_state[key] = (of, block)


def opened_block(key: str, of: str) -> tuple[int, int] | None:
    """The block of this matrix that is open, at first that of the link."""
    if key not in st.session_state:
        open_block(key, of, _block_of_link(key))
    found: tuple[str, tuple[int, int] | None] = st.session_state[key]
    block = found[1] if found[0] == of else None
    put_into_link(**{key: None if block is None else f"{block[0]}-{block[1]}"})
    return block


def _block_of_link(key: str) -> tuple[int, int] | None:
    asked = st.query_params.get(key, "")
    known = re.fullmatch(r"(\d{1,6})-(\d{1,6})", asked)
    if asked and known is None:
        st.warning(f"The link names the block “{plain(asked)}”; a block is named like 3-5.", icon=":material/link_off:")
    return (int(known[1]), int(known[2])) if known else None
