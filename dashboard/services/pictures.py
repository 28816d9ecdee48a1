"""Small pictures as data URLs."""

import base64
import io

import streamlit as st
from PIL import Image

from muc_core.data.dataset import ImageTextDataset


def picture_url(dataset: ImageTextDataset, index: int, size: int = 96) -> str:
    """A picture as a PNG data URL for tables and tooltips."""
    pixels = dataset.images(size, [index])[0].permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnails(dataset: ImageTextDataset, size: int = 48) -> list[str]:
    """Every picture as a small data URL, in order: for charts that show hundreds of them on hover."""
    return _thumbnails(dataset.digest(), size, _dataset=dataset)


@st.cache_data(show_spinner=False, max_entries=16)
def _thumbnails(digest: str, size: int, *, _dataset: ImageTextDataset) -> list[str]:
    return draw_thumbnails(_dataset, size)


def draw_thumbnails(dataset: ImageTextDataset, size: int) -> list[str]:
    """As `thumbnails`, and kept nowhere."""
    urls = []
    for pixels in dataset.images(size).permute(0, 2, 3, 1).contiguous().numpy():
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="WEBP", quality=80)
        urls.append("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode())
    return urls
