"""The pages with 2,000 pictures: reruns with warm caches, on pictures of noise and untrained encoders."""

import io
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from benchmarks.measure import Row, typical_seconds
from dashboard.services import Files
from muc_core.data.sets import load_dataset
from muc_core.data.splits import make_split
from muc_core.encoders.families.clip import ClipFamily
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.workspace import write_encoder

ROUTER = Path(__file__).parents[1] / "dashboard" / "streamlit_app.py"
BUDGET_S = 1.5
MANY, RETAINED, HELD_OUT = 2_000, 400, 200
"""Pictures of the forget set, and of the other two."""
SIDE = 48
BEFORE, AFTER = "many-clip", "many-clip-ac"
VISITS: dict[str, dict[str, str]] = {
    "overview": {},
    "present": {"step": "3"},
    "check_my_pictures": {},
    "matrices": {"matrices_items": "forget"},
    "embedding_map": {"map_count": "2,000 of each set"},
    "embedding_map side by side": {"map_count": "2,000 of each set", "map_view": "side by side, with a lasso"},
    "stress_test": {},
    "tune": {},
    "compare": {},
}
"""What is opened, by the address. The first word is the page."""


def rows(*, quick: bool) -> list[Row]:
    with workspace_of_many() as uploads:
        return [row(name, query, uploads, repeats=3 if quick else 9) for name, query in VISITS.items()]


def row(name: str, query: dict[str, str], uploads: Files, *, repeats: int) -> Row:
    """A rerun of a page. Raises `RuntimeError` when it failed: a fault is quick, and no measurement."""
    page = name.partition(" ")[0]
    app = AppTest.from_file(str(ROUTER), default_timeout=600)
    for key, value in query.items():
        app.query_params[key] = value
    if page == "check_my_pictures":
        app.session_state["my_files"] = uploads
    app.switch_page(f"app_pages/{page}.py").run()
    said = [element.value for element in (*app.exception, *app.error)]
    if said:
        raise RuntimeError(f"the page {name} failed: {said}")
    app.run()
    seconds = typical_seconds(app.run, repeats=repeats)
    return Row(
        f"rerun of the page {name.replace('_', ' ')}, {MANY:,} pictures",
        f"{1000 * seconds:.0f} ms",
        "",
        "",
        f"<= {1000 * BUDGET_S:.0f} ms",
        seconds / BUDGET_S,
    )


@contextmanager
def workspace_of_many() -> Iterator[Files]:
    """A workspace in which two encoders know 2,600 pictures, 2,000 of them to be forgotten; those as an upload."""
    names = ("MUC_ASSETS", "MUC_HOME")
    kept = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        ids = write_pictures(here / "pictures")
        write_encoders(here / "assets", here / "pictures", ids[:MANY])
        os.environ.update(MUC_ASSETS=str(here / "assets"), MUC_HOME=str(here / "home"))
        try:
            yield packed(here / "pictures", ids[:MANY])
        finally:
            for name, value in kept.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def write_pictures(folder: Path) -> tuple[str, ...]:
    """Pictures of noise with captions and owners. Their ids, in the order of the files."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    lines = ["file,caption,owner"]
    names = tuple(f"{number:04}.png" for number in range(MANY + RETAINED + HELD_OUT))
    for number, name in enumerate(names):
        pixels = torch.randint(0, 256, (SIDE // 4, SIDE // 4, 3), dtype=torch.uint8, generator=generator).numpy()
        Image.fromarray(pixels).resize((SIDE, SIDE)).save(folder / name)
        lines.append(f"{name},picture number {number},{'ann' if number < MANY else 'bob'}")
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    return names


def write_encoders(assets: Path, pictures: Path, forget: tuple[str, ...]) -> None:
    """Two untrained encoders of the demo's size, the second as if it came from the first."""
    dataset = load_dataset(str(pictures))
    split = make_split(dataset, seed=0, held_out=HELD_OUT, calibration=0, forget=forget)
    data = DataReference(spec=str(pictures), digest=dataset.digest(), split=split)
    for seed, (name, original) in enumerate(((BEFORE, None), (AFTER, BEFORE))):
        manifest = EncoderManifest(
            name=name,
            title=name,
            family="clip",
            architecture="muc-tiny",
            method="ac" if original else None,
            original=original,
            data=data,
        )
        write_encoder(assets / "encoders", manifest, ClipFamily().build("muc-tiny", seed).state_dict())


def packed(pictures: Path, ids: tuple[str, ...]) -> Files:
    """Some of the pictures as a zip from a browser."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in ids:
            archive.write(pictures / name, name)
    return Files.of([("pictures.zip", content.getvalue())])
