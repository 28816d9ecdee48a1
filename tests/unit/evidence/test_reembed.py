"""Asking an encoder again for the vectors in a pack."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from muc_core.audit.audit import AuditSettings
from muc_core.auditing import Audited, audit_encoders
from muc_core.cli import app
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.ingest import ingest_folder, usable_dataset
from muc_core.encoders.base import Encoder
from muc_core.errors import MucError
from muc_core.evidence.manifest import EncoderIdentity
from muc_core.evidence.pack import sign, take_down
from muc_core.evidence.reembed import TOLERANCE, Reembedded, ask_again
from muc_core.evidence.verify import verify_pack
from muc_core.reports.evidence import write_reports
from muc_core.workspace.workspace import EncoderRecord, encoder_in, load_record
from tests.app.pair import write_pair
from tests.unit.evidence.pack import KEY

OWNER, CONTROLS = 6, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the encoders demo-clip and demo-clip-ac, untrained, and beside it pictures with captions as files."""
    assets = tmp_path_factory.mktemp("assets")
    write_pair(assets)
    drawings = load_demo().subset([*demo_split().forget[:OWNER], *demo_split().held_out[:CONTROLS]])
    (assets / "pictures").mkdir()
    lines = ["file,caption"]
    for number, (pixels, text) in enumerate(zip(drawings.images(48), drawings.texts, strict=True)):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(assets / "pictures" / f"{number:02}.png")
        lines.append(f'{number:02}.png,"{text}"')
    (assets / "pictures" / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    return assets / "encoders"


def record(folder: Path, name: str) -> EncoderRecord:
    return encoder_in(folder / name)


def encoder(folder: Path, name: str) -> Encoder:
    return load_record(record(folder, name))


@cache
def pictures(folder: Path) -> ImageTextDataset:
    """The owner's, then the controls."""
    files = folder.parent / "pictures"
    return usable_dataset(ingest_folder(files, name="pictures"), files)


@cache
def packed(folder: Path) -> bytes:
    """Evidence that demo-clip-ac forgot some drawings."""
    kept: list[Audited] = []
    given, ids = pictures(folder), pictures(folder).ids
    result = audit_encoders(
        encoder(folder, "demo-clip-ac"),
        given.subset(ids[:OWNER]),
        given.subset(ids[OWNER:]),
        views=2,
        probes=False,
        settings=AuditSettings(permutations=99, seed=5),
        keep=kept.append,
    )
    (audited,) = kept
    draft = take_down(
        audited.inputs,
        result,
        title="Did it?",
        owner=audited.owner,
        controls=audited.controls,
        encoders={"after": EncoderIdentity.of(record(folder, "demo-clip-ac").manifest)},
    )
    return sign(draft, KEY, write_reports)


def asked(folder: Path, name: str, given: ImageTextDataset) -> Reembedded:
    data = packed(folder)
    digest = record(folder, name).manifest.content_digest
    return ask_again(data, verify_pack(data), encoder(folder, name), digest, given)


def test_the_encoder_that_was_audited_gives_the_same_answers_in_whatever_order_the_pictures_come(folder: Path) -> None:
    for given in (pictures(folder), pictures(folder).subset(pictures(folder).ids[::-1])):
        found = asked(folder, "demo-clip-ac", given)
        assert found.agrees
        assert found.same_digest
        assert (found.pictures, found.missing, found.captions) == (OWNER + CONTROLS, 0, OWNER + CONTROLS)
        assert found.furthest < 1e-4


def test_pictures_that_are_not_at_hand_are_left_out(folder: Path) -> None:
    found = asked(folder, "demo-clip-ac", pictures(folder).subset(pictures(folder).ids[2 : OWNER + 3]))
    assert found.agrees
    assert (found.pictures, found.missing) == (OWNER + 1, CONTROLS - 1)
    strangers = load_demo().subset(demo_split().retain[:3])
    with pytest.raises(MucError, match="none of the pictures is one that the audit was about"):
        asked(folder, "demo-clip-ac", strangers)


def test_another_encoder_does_not_agree(folder: Path) -> None:
    found = asked(folder, "demo-clip", pictures(folder))
    assert not found.agrees
    assert not found.same_digest
    assert found.furthest > 10 * TOLERANCE
    assert found.picture in pictures(folder).ids


def test_captions_are_compared_where_there_are_any(folder: Path) -> None:
    def captioned(text: str | None) -> ImageTextDataset:
        first, *rest = pictures(folder).items
        return ImageTextDataset("mine", [replace(first, text=text), *rest], pictures(folder).source)

    other = asked(folder, "demo-clip-ac", captioned("something else altogether"))
    assert not other.agrees
    assert other.furthest < 1e-4
    assert other.captioned == pictures(folder).ids[0]
    silent = asked(folder, "demo-clip-ac", captioned(None))
    assert silent.agrees
    assert silent.captions == OWNER + CONTROLS - 1


def test_the_command_says_whether_it_is_the_encoder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MUC_ASSETS", str(folder.parent))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "e.muc.zip").write_bytes(packed(folder))

    def verify(*arguments: object, code: int) -> str:
        result = CliRunner().invoke(app, ["verify", str(tmp_path / "e.muc.zip"), *map(str, arguments)])
        assert result.exit_code == code, result.output
        return " ".join((result.stderr if code == 2 else result.stdout).split())

    these = ("--with-pictures", folder.parent / "pictures")
    told = verify(*these, "--with-encoder", "demo-clip-ac", code=0)
    assert "The encoder is the one that the pack names" in told
    assert "26 pictures are those in the pack" in told
    other = verify(*these, "--with-encoder", folder / "demo-clip", code=20)
    assert "by its digest none that the pack names" in other
    assert "26 pictures are not those in the pack" in other
    content = json.loads(verify(*these, "--with-encoder", "demo-clip", "--json", code=20))
    assert content["verified"] is True
    assert content["encoder"]["agrees"] is False
    assert "name them with --with-pictures" in verify("--with-encoder", "demo-clip", code=2)
    assert "there is no encoder 'nobody'" in verify(*these, "--with-encoder", "nobody", code=2)
    assert "manifest.json" in verify(*these, "--with-encoder", tmp_path, code=2)
