"""Pictures and encoders that lead to each verdict, for the browser tests and for the README's pictures."""

import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from playwright.sync_api import Page, expect
from torch import Tensor

from muc_core.data.demo import demo_split, load_demo
from muc_core.encoders.checkpoint import load_weights
from muc_core.jobs.stress_plan import ResidualStressSettings
from muc_core.jobs.tasks.residual_stress import stress
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.progress import SILENT
from muc_core.workspace import Workspace
from tests.e2e.browser import Server, settle, upload

TOO_FAR = "demo-clip-too-far"
TURNED = "demo-clip-turned"
DRAWN_NEAR = "demo-clip-drawn-near"
FEW = 30


def zipped(ids: Sequence[str]) -> dict[str, Any]:
    """Drawings of the demo as PNG files named for their captions, in one zip to upload."""
    demo = load_demo()
    rows = [demo.index_of(item_id) for item_id in ids]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for row, array in zip(rows, demo.images(72, rows).permute(0, 2, 3, 1).numpy(), strict=True):
            content = io.BytesIO()
            Image.fromarray(array).save(content, format="PNG")
            name = re.sub(r"[^a-z0-9]+", "_", (demo.texts[row] or "").lower()).strip("_")
            archive.writestr(f"{name}.png", content.getvalue())
    return {"name": "drawings.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}


def add_encoder_pushed_too_far(home: Path, *, far: float) -> None:
    """demo-clip-ac, taken `far` times as far away from the original as Alignment Calibration took it."""
    first, last = (load_weights(Workspace(home).encoder(name).weights) for name in ("demo-clip", "demo-clip-ac"))
    weights = {
        name: first[name].float() + far * (tensor.float() - first[name].float())
        if tensor.is_floating_point()
        else tensor
        for name, tensor in last.items()
    }
    _add(home, TOO_FAR, "AC, pushed too far", weights)


def add_turned_encoder(home: Path) -> None:
    """demo-clip with the directions of its picture vectors turned: it knows what it knew, and captions fit no more."""
    weights = load_weights(Workspace(home).encoder("demo-clip").weights)
    last = "visual.head.proj.weight"
    size = len(weights[last])
    turn, _ = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(0)))
    _add(home, TURNED, "The original, turned", dict(weights) | {last: turn @ weights[last].float()})


def make_encoder_drawn_near(home: Path) -> None:
    """AC with alpha and gamma tied at 1, as in the paper: it draws what it forgets near to everything."""
    workspace = Workspace(home)
    if DRAWN_NEAR not in [record.manifest.name for record in workspace.encoders()]:
        settings = {"epochs": 8, "learning_rate": 2e-3, "schedule": "cosine", "alpha": 1.0, "beta": 2.0, "gamma": 1.0}
        job = UnlearnJob(
            method="ac", original="demo-clip", forget="owner:artist", name=DRAWN_NEAR, settings={**settings}
        )
        unlearn(job, workspace, SILENT)


def _add(home: Path, name: str, title: str, weights: Mapping[str, Tensor]) -> None:
    workspace = Workspace(home)
    if name not in [record.manifest.name for record in workspace.encoders()]:
        manifest = workspace.encoder("demo-clip-ac").manifest
        workspace.save_encoder(manifest.model_copy(update={"name": name, "title": title}), weights)


def make_stress_test(home: Path, after: str = "demo-clip-ac") -> None:
    """The one that the page Stress test offers for an encoder after, unless it has been made."""
    stress(
        Workspace(home),
        ResidualStressSettings(before="demo-clip", after=after, retrained="demo-clip-retrain", forget="owner:artist"),
    )


def _audit_all(page: Page, server: Server, after: str) -> None:
    """All drawings that the artist withdrew, against the held-out ones."""
    _open(page, server, after)
    page.get_by_role("button", name="Try with all").click()


def _audit_some(page: Page, server: Server, after: str, controls: Sequence[str] | None = None) -> None:
    """Some of them as files, against the held-out ones as the demo draws them or as files, too."""
    _open(page, server, after)
    upload(page, [zipped(demo_split().forget[:FEW])])
    if controls is not None:
        page.get_by_text("Compared with", exact=True).first.click()
        page.get_by_text("Pictures that I upload").click()
        settle(page)
        page.locator('input[type="file"]').nth(1).set_input_files([zipped(controls)])  # type: ignore[arg-type]


def _open(page: Page, server: Server, after: str) -> None:
    page.goto(f"{server.url}/check_my_pictures?before=demo-clip&after={after}")
    settle(page)


def forgotten(page: Page, server: Server) -> None:
    _audit_all(page, server, "demo-clip-retrain")


def under_forgotten(page: Page, server: Server) -> None:
    _audit_all(page, server, "demo-clip-finetune")


def over_forgotten(page: Page, server: Server) -> None:
    add_encoder_pushed_too_far(server.home, far=1.75)
    _audit_all(page, server, TOO_FAR)


def cannot_tell(page: Page, server: Server) -> None:
    """Too few pictures for an honest Retrain."""
    _audit_some(page, server, "demo-clip-retrain", demo_split().held_out)


def unfair_controls(page: Page, server: Server) -> None:
    """Files of a fixed size against drawings that are sharp at any size."""
    _audit_some(page, server, "demo-clip-retrain")
    page.get_by_text(re.compile("How sure are we.*controls not fair")).click()


def failed_probe(page: Page, server: Server) -> None:
    add_turned_encoder(server.home)
    _audit_all(page, server, TURNED)
    page.get_by_text(re.compile("How sure are we.*probes? failed")).click()


def singled_out(page: Page, server: Server) -> None:
    make_encoder_drawn_near(server.home)
    _audit_all(page, server, DRAWN_NEAR)
    page.get_by_text(re.compile("How sure are we.*probes? failed")).click()


def hidden(page: Page, server: Server) -> None:
    """Control-matched AC leaves no trace in what it answers; relearning brings the drawings back."""
    make_stress_test(server.home, "demo-clip-ac-matched")
    _audit_all(page, server, "demo-clip-ac-matched")


PATHS: dict[str, tuple[str, Callable[[Page, Server], None]]] = {
    "forgotten": ("Forgotten", forgotten),
    "under-forgotten": ("Under-forgotten", under_forgotten),
    "over-forgotten": ("Over-forgotten", over_forgotten),
    "cannot-tell": ("Cannot tell", cannot_tell),
    "unfair-controls": ("Cannot tell", unfair_controls),
    "failed-probe": ("Cannot tell", failed_probe),
    "singled-out": ("Cannot tell", singled_out),
    "hidden": ("Hidden, not forgotten", hidden),
}
"""Each way to a verdict: the word it ends in, and what leads there."""


def expect_verdict(page: Page, word: str) -> None:
    """The full audit has ended in this word, and its figure is drawn."""
    card = page.locator(".st-key-verdict-full")
    expect(card.get_by_role("heading", name=re.compile(word + "$"))).to_be_visible()
    expect(card.locator(".js-plotly-plot").first).to_be_visible()
    settle(page)
