"""A workspace of small encoders that do not go together: other sizes, lengths, modalities, a URL, a damaged one."""

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from muc_core.data.sets import load_dataset
from muc_core.data.splits import DataSplit
from muc_core.encoders.backbones import DEMO, build_backbone
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.load import load_encoder  # noqa: F401  (registers the families)
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.encoders.remote.settings import SETTINGS_FILE, RemoteSettings
from muc_core.workspace import Workspace, write_encoder

PICTURES = 16
URL = "http://127.0.0.1:9/v1"
"""Nobody listens there: nothing that a test does not expect is answered."""


def write_pictures(folder: Path) -> None:
    """Sixteen pictures of noise with captions."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    lines = ["file,caption"]
    for number in range(PICTURES):
        pixels = torch.randint(0, 256, (12, 12, 3), dtype=torch.uint8, generator=generator).numpy()
        Image.fromarray(pixels).resize((48, 48)).save(folder / f"{number:02}.png")
        lines.append(f"{number:02}.png,thing number {number}")
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")


def backbone_weights(seed: int = 0) -> Mapping[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_backbone(DEMO).module.state_dict()


def write_odd(assets: Path, home: Path, folder: Path) -> None:
    """small-clip and small-clip-ac; odd-simclr, odd-backbone, odd-broken; odd-url in the workspace itself.

    Args:
        assets: for those that come with the program.
        home: the workspace, where an encoder behind a URL lies.
        folder: for the pictures they were trained on.
    """
    write_pictures(folder)
    dataset = load_dataset(str(folder))
    ids = dataset.ids
    split = DataSplit(seed=0, forget=ids[:4], retain=ids[4:10], held_out=ids[10:14], calibration=ids[14:])
    data = DataReference(spec=str(folder), digest=dataset.digest(), split=split)

    def write(name: str, family: str, architecture: str, weights: Mapping[str, Tensor], original: str | None) -> None:
        manifest = EncoderManifest(
            name=name,
            title=name,
            family=family,
            architecture=architecture,
            method="ac" if original else None,
            original=original,
            data=data,
        )
        write_encoder(assets / "encoders", manifest, weights)

    clip, simclr = FAMILIES.get("clip"), FAMILIES.get("simclr")
    write("small-clip", "clip", "muc-tiny", clip.build("muc-tiny", 0).state_dict(), None)
    write("small-clip-ac", "clip", "muc-tiny", clip.build("muc-tiny", 1).state_dict(), "small-clip")
    write("odd-simclr", "simclr", DEMO, simclr.build(DEMO, 0).state_dict(), None)
    write("odd-backbone", "backbone", DEMO, backbone_weights(), None)
    write("odd-broken", "clip", "muc-tiny", {"something": torch.zeros(3)}, None)
    settings = RemoteSettings(
        url=URL,
        dialect="openai-image",
        model="theirs",
        image_size=48,
        dimension=128,
        has_text=True,
        retries=0,
        allow_private=True,
    )
    manifest = EncoderManifest(name="odd-url", title="odd-url", family="remote", architecture="theirs", source="a URL")
    Workspace(home, assets=assets).add_encoder(manifest, {SETTINGS_FILE: settings.to_json()})
