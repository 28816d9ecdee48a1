"""Vectors of a data set in files: what they are, going on with them, and refusals."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from muc_core.data.demo import demo_split, load_demo
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.load import load_encoder  # noqa: F401  (registers the families)
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.errors import Cancelled, MissingTextTower, MucError
from muc_core.jobs import follow, submit
from muc_core.jobs.tasks.embed import EmbedJob, run
from muc_core.progress import SILENT
from muc_core.workspace import Workspace

N = 160  # held-out drawings


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Untrained encoders of the demo: a CLIP, a SimCLR, and one of unknown data."""
    folder = tmp_path_factory.mktemp("embed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUC_ASSETS", str(folder / "none"))
        made = Workspace(folder / "home")
        data = DataReference(spec="demo", digest=load_demo().digest(), split=demo_split())
        for name, family, architecture, reference in (
            ("clip", "clip", "muc-tiny", data),
            ("simclr", "simclr", "demo-resnet", data),
            ("stray", "clip", "muc-tiny", None),
        ):
            manifest = EncoderManifest(
                name=name, title=name, family=family, architecture=architecture, settings={}, seeds={}, data=reference
            )
            model = FAMILIES.get(family).build(architecture, 0)
            made.save_encoder(manifest, model.state_dict())
        yield made


class Stop:
    """Progress that is cancelled after so many reports."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.steps: list[int] = []

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.steps.append(step)
        self.left -= 1
        if self.left < 0:
            raise Cancelled


def read(path: Path) -> np.ndarray:
    mapped: np.ndarray = np.load(path / "vectors.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    return mapped


def test_vectors_of_a_set_and_its_captions(workspace: Workspace, tmp_path: Path) -> None:
    job = EmbedJob(encoder="clip", out=tmp_path / "new" / "out", items="held-out", captions=True, shard=50)
    told = run(job, workspace, SILENT)
    assert told == {"folder": str(job.out), "items": N, "dimension": 128}
    dataset, encoder = load_demo().subset(demo_split().held_out), workspace.load("clip")
    assert json.loads((job.out / "ids.json").read_text()) == list(dataset.ids)
    np.testing.assert_allclose(read(job.out / "image_features"), embed_images(encoder, dataset), atol=1e-5)
    texts = [text for text in dataset.texts if text]
    np.testing.assert_allclose(read(job.out / "text_features"), embed_texts(encoder, texts), atol=1e-5)
    assert sorted(path.name for path in job.out.iterdir()) == ["ids.json", "image_features", "text_features"]


def test_it_goes_on_where_it_was_broken_off(workspace: Workspace, tmp_path: Path) -> None:
    job = EmbedJob(encoder="clip", out=tmp_path, items="held-out", shard=50)
    with pytest.raises(Cancelled):
        run(job, workspace, Stop(2))
    kept = sorted(path.name for path in (tmp_path / "image_features").glob("shard-*"))
    assert kept == ["shard-00000.npy", "shard-00001.npy"]
    rest = Stop(99)
    run(job, workspace, rest)
    assert rest.steps == [150, 160], "the second half alone was embedded"
    again = Stop(99)
    run(job, workspace, again)
    assert again.steps == []
    assert read(tmp_path / "image_features").shape == (N, 128)


def test_a_folder_with_other_vectors_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    run(EmbedJob(encoder="clip", out=tmp_path, items="held-out"), workspace, SILENT)
    before = read(tmp_path / "image_features").copy()
    for other in ({"encoder": "simclr"}, {"items": "calibration"}):
        job = EmbedJob.model_validate({"encoder": "clip", "out": tmp_path, "items": "held-out", **other})
        with pytest.raises(MucError, match="holds vectors of something else"):
            run(job, workspace, SILENT)
    np.testing.assert_array_equal(read(tmp_path / "image_features"), before)


def test_refusals(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(MissingTextTower, match="'simclr' has no text tower; leave the captions out"):
        run(EmbedJob(encoder="simclr", out=tmp_path, captions=True), workspace, SILENT)
    with pytest.raises(MucError, match="not known what 'stray' was trained on"):
        run(EmbedJob(encoder="stray", out=tmp_path), workspace, SILENT)
    with pytest.raises(MucError, match="not split"):
        run(EmbedJob(encoder="stray", out=tmp_path, data="demo", items="held-out"), workspace, SILENT)
    (tmp_path / "file").touch()
    with pytest.raises(MucError, match="could not be written"):
        run(EmbedJob(encoder="clip", out=tmp_path / "file", items="held-out"), workspace, SILENT)


def test_pictures_without_captions(workspace: Workspace, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (48, 48)).save(tmp_path / "pictures" / "a.png")
    job = EmbedJob(encoder="clip", out=tmp_path / "out", data=str(tmp_path / "pictures"))
    assert run(job, workspace, SILENT)["items"] == 1
    with pytest.raises(MucError, match="1 pictures have no caption \\(the first is 'a"):
        run(job.model_copy(update={"captions": True}), workspace, SILENT)


@pytest.mark.slow
def test_two_processes_write_what_one_writes(workspace: Workspace, tmp_path: Path) -> None:
    one, two = (EmbedJob(encoder="clip", out=tmp_path / out, items="held-out", shard=20) for out in ("one", "two"))
    run(one, workspace, SILENT)
    *_, job = follow(workspace, submit(workspace, "embed", two, launcher="accelerate").id)
    assert (job.state, job.error) == ("done", None)
    assert job.result["items"] == N
    np.testing.assert_allclose(read(two.out / "image_features"), read(one.out / "image_features"), atol=1e-5)
    assert (two.out / "ids.json").read_bytes() == (one.out / "ids.json").read_bytes()
