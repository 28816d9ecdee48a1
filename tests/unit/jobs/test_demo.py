"""The shipped demo encoders are those of the recipes, small enough, and tell the story that the demo tells."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from muc_core.data.demo import demo_split, load_demo
from muc_core.encoders.base import Encoder
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.errors import UnknownName
from muc_core.jobs.demo import ORIGINAL, UNLEARNED, build_demo
from muc_core.jobs.tasks.unlearn import method_settings, run
from muc_core.progress import SILENT
from muc_core.unlearning.method import METHODS
from muc_core.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def matched_cosine(encoder: Encoder, ids: tuple[str, ...]) -> float:
    items = load_demo().subset(ids)
    images = F.normalize(embed_images(encoder, items), dim=1)
    texts = F.normalize(embed_texts(encoder, [text or "" for text in items.texts]), dim=1)
    return float((images * texts).sum(dim=1).mean())


def test_every_method_is_shown_by_a_shipped_encoder_of_its_recipe(workspace: Workspace) -> None:
    shipped = {record.manifest.name: record.manifest for record in workspace.encoders() if record.shipped}
    assert set(shipped) == {ORIGINAL.name, *(job.name for job in UNLEARNED)}
    assert {job.method for job in UNLEARNED} == set(METHODS.names())
    for job in UNLEARNED:
        manifest = shipped[job.name]
        expected = method_settings(METHODS.get(job.method), job.settings).model_dump(mode="json")
        assert (manifest.method, manifest.original, manifest.settings) == (job.method, ORIGINAL.name, expected)
        assert manifest.data is not None
        assert manifest.data.split == demo_split()
        assert manifest.data.digest == load_demo().digest()


def test_the_shipped_encoders_are_small(workspace: Workspace) -> None:
    sizes = [record.weights.stat().st_size for record in workspace.encoders() if record.shipped]
    assert max(sizes) < 4e6
    assert sum(sizes) < 40e6


def test_the_original_remembers_what_retrain_never_saw(workspace: Workspace) -> None:
    split = demo_split()
    original, retrained = workspace.load(ORIGINAL.name), workspace.load("demo-clip-retrain")
    assert matched_cosine(original, split.forget) > matched_cosine(original, split.held_out) + 0.3
    assert abs(matched_cosine(retrained, split.forget) - matched_cosine(retrained, split.held_out)) < 0.1


@pytest.mark.slow
def test_the_recipe_gives_the_shipped_figures_again(workspace: Workspace) -> None:
    recipe = next(job for job in UNLEARNED if job.method == "ac").model_copy(update={"name": "again"})
    torch.manual_seed(0)
    run(recipe, workspace, SILENT)
    for ids in (demo_split().forget, demo_split().held_out):
        again, shipped = (matched_cosine(workspace.load(name), ids) for name in ("again", "demo-clip-ac"))
        # other thread counts and processors round differently; training carries that on
        assert again == pytest.approx(shipped, abs=0.03)


def test_unknown_encoders_are_refused_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="demo-clip-ac"):
        build_demo(tmp_path, only=["demo-clap"])
