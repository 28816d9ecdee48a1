"""`muc audit` and `muc matrices --inference` on the demo, as people call them."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from muc_core.cli import app
from muc_core.cli.audit import EXIT_CODES
from muc_core.data.demo import demo_split, load_demo
from muc_core.evidence.embeddings import Embeddings, write_embeddings
from tests.unit.evidence.pack import inputs


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ("audit", "--after", "demo-clip-retrain", *arguments))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


def folder_of_drawings(where: Path, count: int) -> list[str]:
    drawings = load_demo().subset(demo_split().forget[:count])
    where.mkdir()
    for place, pixels in enumerate(drawings.images(64)):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(where / f"IMG_{place:04}.png")
    return [str(text) for text in drawings.texts]


@pytest.mark.slow
def test_an_audit_tells_what_others_lost_in_words_and_in_both_files(home: Path) -> None:
    ids = home / "ids.txt"
    ids.write_text("\n".join(demo_split().forget[:30]))
    files = home / "audit.json", home / "audit.html"
    result = CliRunner().invoke(
        app,
        (
            "audit",
            "--before",
            "demo-clip",
            "--after",
            "demo-clip-gradient-ascent",
            "--forget",
            f"ids:{ids}",
            "--controls",
            "held-out",
            "--match",
            "60",
            "--retain",
            "category:face-smiling",
            "--views",
            "3",
            "--permutations",
            "199",
            "--out",
            str(files[0]),
            "--html",
            str(files[1]),
        ),
    )
    assert result.exit_code == 10, result.output
    found = json.loads(files[0].read_text())
    assert found["n_controls"] == 60
    assert {group["group"] for group in found["collateral"]["groups"]} == {"controls", "retained"}
    worst = found["collateral"]["items"][0]
    assert worst["interval"]["low"] < worst["lost"] < worst["interval"]["high"]
    assert "What others lost" in result.stdout
    page = files[1].read_text()
    assert "The most harmed pictures" in page
    assert f"{worst['lost']:.2f} (" in page


@pytest.mark.slow
def test_pictures_of_a_folder_take_their_captions_from_a_file(home: Path) -> None:
    texts = folder_of_drawings(home / "mine", 12)
    table = home / "names.csv"
    table.write_text("file,caption\n" + "".join(f'IMG_{place:04}.png,"{text}"\n' for place, text in enumerate(texts)))
    quick = ("audit", "--after", "demo-clip", "--forget", str(home / "mine"), "--quick", "--json")
    plain = json.loads(CliRunner().invoke(app, quick).stdout)
    named = json.loads(CliRunner().invoke(app, (*quick, "--captions", str(table))).stdout)
    assert (plain["mode"], named["mode"]) == ("two-view", "image-text")
    assert any("not probed" in warning for warning in named["warnings"])
    table.write_text("file,caption\nother.png,a bird\n")
    sentence = refused("--forget", str(home / "mine"), "--captions", str(table))
    assert "has no caption for 12 of the 12 pictures" in sentence


def test_options_that_contradict_one_another_are_refused(home: Path) -> None:
    given = ("--forget", "owner:artist", "--before", "demo-clip")
    assert "--quick looks at no retained pictures" in refused(*given, "--quick", "--retain", "retain")
    assert "name it with --before" in refused("--forget", "owner:artist", "--retain", "retain")
    (home / "c.csv").write_text("file,caption\n")
    assert "those of 'owner:artist' have theirs" in refused(*given, "--captions", str(home / "c.csv"))


@pytest.mark.parametrize(
    ("controls", "sentence"),
    [
        ("category:animal-bird", "every picture of 'category:animal-bird' was trained on"),
        ("nothing", "there is no set 'nothing'"),
    ],
)
def test_controls_that_can_be_none_are_refused(controls: str, sentence: str) -> None:
    assert sentence in refused("--forget", "owner:artist", "--controls", controls)


@pytest.mark.slow
def test_on_controls_of_the_last_resort_the_answer_is_cannot_tell() -> None:
    result = CliRunner().invoke(
        app,
        (
            "audit",
            "--after",
            "demo-clip-retrain",
            "--forget",
            "category:animal-bird",
            "--controls",
            "transformed",
            "--quick",
            "--json",
        ),
    )
    assert result.exit_code == 12, result.output
    found = json.loads(result.stdout)
    assert found["verdict"] == "cannot tell"
    assert any("strongly changed" in warning for warning in found["warnings"])


@pytest.mark.slow
def test_the_gap_is_written_with_its_intervals(home: Path) -> None:
    out = home / "gap.json"
    result = CliRunner().invoke(
        app,
        (
            "matrices",
            "--before",
            "demo-clip",
            "--after",
            "demo-clip-ac",
            "--items",
            "category:animal-bird",
            "--views",
            "3",
            "--inference",
            "--out",
            str(out),
        ),
    )
    assert result.exit_code == 0, result.output
    inference = json.loads(out.read_text())["inference"]
    assert inference["meaning"] in " ".join(result.stdout.split())
    n = len(inference["gap"])
    assert [len(inference[name]) for name in ("low", "high", "significant")] == [n, n, n]


def test_vectors_take_the_place_of_pictures_and_encoders(home: Path) -> None:
    vectors = home / "v.safetensors"
    known = inputs()
    vectors.write_bytes(write_embeddings(Embeddings(known.vectors, known.owner_ids, known.control_ids)))
    for option, value in (("--after", "demo-clip"), ("--controls", "held-out"), ("--views", "8")):
        result = CliRunner().invoke(app, ("audit", "--embeddings", str(vectors), option, value))
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{option} asks for pictures or encoders" in result.stderr
    result = CliRunner().invoke(app, ("audit", "--embeddings", str(home / "none"), "--json"))
    assert "cannot be read: No such file" in result.stderr
    os.mkfifo(pipe := home / "pipe")
    result = CliRunner().invoke(app, ("audit", "--embeddings", str(pipe)))
    assert result.stderr == f"Error: {pipe} is not an ordinary file; folders, pipes and devices are not read\n"
    files = home / "a.json", home / "a.xml", home / "a.html"
    written = ("--out", str(files[0]), "--junit", str(files[1]), "--html", str(files[2]))
    result = CliRunner().invoke(app, ("audit", "--embeddings", str(vectors), "--permutations", "99", *written))
    found = json.loads(files[0].read_text())
    assert result.exit_code == EXIT_CODES[found["verdict"]]
    assert (found["n_items"], found["seed"], found["permutations"]) == (8, 0, 99)
    assert "is the word of whoever wrote the file" in " ".join(result.stdout.split())
    assert "could not be asked" in files[2].read_text()


def test_without_pictures_or_vectors_what_is_missing_is_said() -> None:
    assert "--forget is missing" in refused()
    result = CliRunner().invoke(app, ("audit", "--forget", "owner:artist"))
    assert "--after is missing" in result.stderr


@pytest.mark.slow
def test_the_vectors_of_an_audit_give_its_numbers_again(home: Path) -> None:
    asked = ("--before", "demo-clip", "--after", "demo-clip-finetune", "--forget", "owner:artist", "--views", "2")
    vectors = home / "v.safetensors"
    more = ("--permutations", "199", "--json", "--write-embeddings", str(vectors))
    shown = CliRunner().invoke(app, ("audit", *asked, *more))
    again = CliRunner().invoke(app, ("audit", "--embeddings", str(vectors), "--permutations", "199", "--json"))
    first, second = json.loads(shown.stdout), json.loads(again.stdout)
    assert (shown.exit_code, again.exit_code) == (10, 10)
    for part in ("verdict", "findings", "items", "detectability", "membership"):
        assert first[part] == second[part], part
    assert [group["lost"] for group in first["collateral"]["groups"]] == [
        group["lost"] for group in second["collateral"]["groups"]
    ]
