"""`muc keys`, `muc audit --evidence` and `muc verify`, as people call them."""

import json
import stat
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from muc_core.cli import app
from muc_core.cli.keys import PASSPHRASE, signing_key
from muc_core.data.demo import demo_split, load_demo
from muc_core.evidence.keys import fingerprint
from tests.unit.evidence.pack import OWNER, pack, pictures, retitled


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    return tmp_path


def call(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return " ".join((result.stdout if code != 2 else result.stderr).split())


def test_a_key_is_readable_by_its_owner_alone_and_never_overwritten(home: Path) -> None:
    told = json.loads(call("keys", "new", "--json"))
    private, public = Path(told["private"]), Path(told["public"])
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in private.read_bytes()
    assert told == json.loads(call("keys", "show", "--json"))
    before = private.read_bytes(), public.read_bytes()
    assert "is there already and stays as it is" in call("keys", "new", code=2)
    private.rename(home / "elsewhere.pem")
    assert "signing-key.pub.pem is there already" in call("keys", "new", code=2)
    assert ((home / "elsewhere.pem").read_bytes(), public.read_bytes()) == before
    assert told["fingerprint"] in call("keys", "show")
    assert told["fingerprint"] in call("keys")
    other = json.loads(call("keys", "new", "--out", home / "ci.pem", "--json"))
    assert other["fingerprint"] != told["fingerprint"]
    assert "there is no folder" in call("keys", "new", "--out", home / "nowhere" / "key.pem", code=2)


def test_a_key_without_a_passphrase_is_refused_and_nobody_is_asked_in_a_pipe(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE, "")
    assert "the passphrase is empty" in call("keys", "new", "--out", home / "a.pem", code=2)
    monkeypatch.delenv(PASSPHRASE)
    assert f"set the environment variable {PASSPHRASE}" in call("keys", "new", "--out", home / "a.pem", code=2)
    assert not (home / "a.pem").exists()


def test_a_key_stays_unlocked_only_when_that_was_asked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSPHRASE)
    told = json.loads(call("keys", "new", "--no-passphrase", "--json"))
    private = Path(told["private"])
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"ENCRYPTED" not in private.read_bytes()
    assert fingerprint(signing_key(None).public_key()) == told["fingerprint"]


def test_evidence_is_refused_before_the_audit_when_it_cannot_be_signed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = ("audit", "--after", "demo-clip", "--forget", "owner:artist")
    evidence = ("--evidence", home / "e.muc.zip")
    assert "make a key with `muc keys new`" in call(*audit, *evidence, code=2)
    assert "--key signs evidence" in call(*audit, "--key", home / "k.pem", code=2)
    call("keys", "new", "--out", home / "k.pem")
    monkeypatch.setenv(PASSPHRASE, "wrong")
    assert "the passphrase is wrong" in call(*audit, *evidence, "--key", home / "k.pem", code=2)
    assert "holds no private key" in call(*audit, *evidence, "--key", home / "k.pub.pem", code=2)
    assert not (home / "e.muc.zip").exists()


def test_verify_names_what_was_changed_and_ends_in_its_exit_code(home: Path) -> None:
    file = home / "e.muc.zip"
    file.write_bytes(pack())
    told = call("verify", file)
    assert told.startswith("Verified:")
    assert "compare its fingerprint" in told
    call("keys", "new", "--out", home / "other.pem")
    refused = call("verify", file, "--public-key", home / "other.pub.pem", code=20)
    assert refused.startswith("Not verified.")
    assert "not that of the given public key" in refused
    file.write_bytes(pack().replace(b"never-seen", b"ever--seen"))
    assert "result.json was changed" in call("verify", file, code=20)
    assert json.loads(call("verify", file, "--json", code=20))["verified"] is False
    assert "cannot be read" in call("verify", home / "nothing.zip", code=2)
    assert "cannot be read" in call("verify", home, code=2)
    assert "holds no public key" in call("verify", file, "--public-key", file, code=2)


def test_a_stranger_s_title_cannot_write_over_the_terminal(home: Path) -> None:
    title = "[bold]Did it?[/bold]\x1b[2JVerified"
    (home / "e.muc.zip").write_bytes(retitled(title))
    told = call("verify", home / "e.muc.zip")
    assert "\x1b" not in told
    assert "[bold]Did it?[/bold]\N{REPLACEMENT CHARACTER}[2JVerified" in told


def test_verify_says_which_pictures_were_meant(home: Path) -> None:
    file, folder = home / "e.muc.zip", home / "[mine]"
    file.write_bytes(pack())
    folder.mkdir()
    for place, pixels in enumerate([*pictures(OWNER, 1).images(32), *pictures(1, 9).images(32)]):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"[b]{place}.png")
    told = call("verify", file, "--with-pictures", folder)
    assert f"{OWNER} are the owner's pictures that were meant, 0 are controls, 1 are neither" in told
    assert "[b]8.png" in told
    (folder / "[b]0.png").unlink()
    assert "missing: meant, but not in the folder: mine/0.png" in call(
        "verify", file, "--with-pictures", folder, code=20
    )
    assert "there is no folder" in call("verify", file, "--with-pictures", home / "nothing", code=2)


@pytest.mark.slow
def test_evidence_of_an_audit_of_the_demo_holds(home: Path) -> None:
    ids = home / "ids.txt"
    chosen = demo_split().forget[:12]
    ids.write_text("\n".join(chosen))
    file, folder = home / "e.muc.zip", home / "mine"
    call("keys", "new")
    result = CliRunner().invoke(
        app,
        f"audit --before demo-clip --after demo-clip-gradient-ascent --forget ids:{ids} --match 20 --quick --json "
        f"--evidence {file}",
    )
    assert result.exit_code in (0, 10, 11, 12), result.output
    folder.mkdir()
    for place, pixels in enumerate(load_demo().subset(chosen).images(256)):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{place}.png")
    public = home / "home" / "signing-key.pub.pem"
    told = json.loads(call("verify", file, "--public-key", public, "--with-pictures", folder, "--json"))
    assert told["verified"] is True
    assert told["verdict"] == json.loads(result.stdout)["verdict"]
    assert {found["id"] for found in told["pictures"]["found"]} == set(chosen)
