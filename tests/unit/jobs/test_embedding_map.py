"""The job that draws the joint map: which items, under which key, told how, and computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from muc_core.data.demo import demo_split
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.errors import UnknownName
from muc_core.jobs.tasks import embedding_map
from muc_core.jobs.tasks.embedding_map import EmbeddingMapSettings, choose_items, map_key, read_map, run
from muc_core.progress import SILENT
from muc_core.projection import JointProjection, joint_projection
from muc_core.workspace import Workspace

SETTINGS = EmbeddingMapSettings(before="f0", after="f1", most_per_set=12, n_neighbors=5)


@dataclass(frozen=True)
class Pixels:
    """An encoder whose vectors are pixels through a random matrix."""

    name: str
    seed: int
    family: str = "fake"
    digest: str = "0"
    image_size: int = 8
    interpolation: Interpolation = "bicubic"
    dimension: int = 16
    has_text: bool = False

    def encode_images(self, images: Tensor) -> Tensor:
        matrix = torch.randn(3 * 8 * 8, self.dimension, generator=torch.Generator().manual_seed(self.seed))
        return images.flatten(1).float() @ matrix

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        raise NotImplementedError


@dataclass
class Reports:
    steps: list[tuple[int, int]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.steps.append((step, total))
        self.messages.append(message)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Two encoders of which the second forgot something else than the demo's artist."""
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    workspace = Workspace(tmp_path / "home")
    split = demo_split()
    splits = {"f0": split, "f1": split.choose_forget(split.train[200:220])}
    for seed, (name, chosen) in enumerate(splits.items()):
        manifest = EncoderManifest(
            name=name,
            title=name,
            family="fake",
            architecture="pixels",
            data=DataReference(spec="demo", digest="", split=chosen),
        )
        workspace.save_encoder(manifest, {"w": torch.full((2,), float(seed))})
    monkeypatch.setattr(Workspace, "load", lambda _, name: Pixels(name, {"f0": 0, "f1": 1}[name]))
    return workspace


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the slow fit by a quick one, and notes the method asked for."""
    asked: list[str] = []

    def fit(
        before: npt.ArrayLike,
        after: npt.ArrayLike,
        *,
        method: str,
        seed: int,
        n_neighbors: int,
        min_dist: float,
        dimensions: int,
    ) -> JointProjection:
        asked.append(method)
        return joint_projection(before, after, method="pca", seed=seed, dimensions=dimensions)

    monkeypatch.setattr(embedding_map, "joint_projection", fit)
    return asked


class TestItems:
    def test_they_come_from_the_split_of_the_encoder_after(self, workspace: Workspace) -> None:
        items = choose_items(workspace, SETTINGS)
        reference = workspace.encoder("f1").manifest.data
        assert reference is not None
        assert len(items.dataset) == len(items.groups) == 36
        for group, part in (
            ("forget", reference.split.forget),
            ("retain", reference.split.retain),
            ("held-out", reference.split.held_out),
        ):
            chosen = [item_id for item_id, of in zip(items.dataset.ids, items.groups, strict=True) if of == group]
            assert len(chosen) == 12
            assert set(chosen) <= set(part)

    def test_the_same_settings_give_the_same_items_and_another_seed_others(self, workspace: Workspace) -> None:
        first, again = choose_items(workspace, SETTINGS), choose_items(workspace, SETTINGS)
        other = choose_items(workspace, SETTINGS.model_copy(update={"seed": 1}))
        assert first.dataset.ids == again.dataset.ids != other.dataset.ids

    def test_an_item_of_two_sets_counts_to_the_first(self, workspace: Workspace) -> None:
        settings = SETTINGS.model_copy(update={"sets": ("forget", "train"), "most_per_set": 5000})
        items = choose_items(workspace, settings)
        assert len(set(items.dataset.ids)) == len(items.dataset)
        assert items.groups.count("forget") == 20

    def test_unknown_names_are_said(self, workspace: Workspace) -> None:
        with pytest.raises(UnknownName, match="no encoder 'f2'"):
            choose_items(workspace, SETTINGS.model_copy(update={"after": "f2"}))
        with pytest.raises(UnknownName, match="no set 'x'"):
            choose_items(workspace, SETTINGS.model_copy(update={"sets": ("x",)}))

    @pytest.mark.parametrize(
        "wrong", [{"n_neighbors": 1}, {"min_dist": 2}, {"sets": ()}, {"most_per_set": 1}, {"x": 1}]
    )
    def test_settings_out_of_range_are_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            EmbeddingMapSettings.model_validate({"before": "f0", "after": "f1", **wrong})


class TestKey:
    def test_it_changes_with_whatever_changes_the_map(self, workspace: Workspace) -> None:
        keys = set()
        for change in ({}, {"seed": 1}, {"n_neighbors": 6}, {"min_dist": 0.5}, {"most_per_set": 13}, {"after": "f0"}):
            settings = SETTINGS.model_copy(update=change)
            keys.add(map_key(workspace, settings, choose_items(workspace, settings)))
        assert len(keys) == 6

    def test_names_do_not_matter(self, workspace: Workspace) -> None:
        manifest = workspace.encoder("f1").manifest.model_copy(update={"name": "twin"})
        workspace.save_encoder(manifest, {"w": torch.full((2,), 1.0)})
        twin = SETTINGS.model_copy(update={"after": "twin"})
        assert map_key(workspace, twin, choose_items(workspace, twin)) == map_key(
            workspace, SETTINGS, choose_items(workspace, SETTINGS)
        )


class TestRun:
    def test_a_map_is_computed_once_and_read_back(self, workspace: Workspace, fits: list[str]) -> None:
        reports = Reports()
        result = run(SETTINGS, workspace, reports)
        found = read_map(workspace, str(result["map"]))
        assert found is not None
        items = choose_items(workspace, SETTINGS)
        assert (found.ids, found.groups) == (items.dataset.ids, items.groups)
        assert found.before.shape == found.after.shape == (36, 2)
        assert np.isfinite(found.before).all()
        assert not np.allclose(found.before, found.after)
        assert result["items"] == 36
        assert fits == ["umap"]
        assert reports.steps == sorted(reports.steps)
        assert {total for _, total in reports.steps} == {4 * 36}
        assert reports.steps[-1] == (4 * 36, 4 * 36)

        assert run(SETTINGS, workspace, SILENT) == result
        assert fits == ["umap"]

    def test_a_damaged_map_is_computed_again(self, workspace: Workspace, fits: list[str]) -> None:
        result = run(SETTINGS, workspace, SILENT)
        (workspace.maps_folder / f"{result['map']}.npz").write_bytes(b"PK")
        assert read_map(workspace, str(result["map"])) is None
        assert run(SETTINGS, workspace, SILENT) == result
        assert len(fits) == 2
        assert read_map(workspace, str(result["map"])) is not None
