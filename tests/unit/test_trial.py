"""Models that are programs are tried elsewhere first: what may come of it, and that nothing of a bad one stays."""

import signal
import subprocess
from pathlib import Path

import pytest

from muc_core.errors import MucError
from muc_core.workspace import Workspace, trial
from muc_core.workspace.importing import import_encoder
from tests.hostile.weights import _allocates, _endless, _mean


def tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: tuple[int, bytes] | Exception) -> None:
    def start(told: bytes) -> tuple[int, bytes]:
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setattr(trial, "start", start)
    (tmp_path / "tower.onnx").write_bytes(b"x")
    trial.try_program({}, [tmp_path / "tower.onnx"])


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ((-signal.SIGXCPU, b""), "tower.onnx did not come to an end within 20 s of computing"),
        ((-signal.SIGKILL, b""), "did not come to an end"),
        ((-signal.SIGSEGV, b""), r"tower.onnx ended the process in which it was tried \(code -11\)"),
        ((1, b""), "ended the process"),
        ((0, b'{"refused": "tower.onnx is nothing"}'), "tower.onnx is nothing"),
        (subprocess.TimeoutExpired("muc", 900), "within 900 s"),
        (OSError(12, "Cannot allocate memory"), "no process could be started to try tower.onnx"),
    ],
)
def test_whatever_ends_badly_is_a_sentence(
    end: tuple[int, bytes] | Exception, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(MucError, match=said):
        tried(monkeypatch, tmp_path, end)


def test_what_runs_is_let_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried(monkeypatch, tmp_path, (0, b'{"refused": null}'))


@pytest.mark.slow
def test_a_model_runs_here_only_after_it_ran_elsewhere(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home", assets=tmp_path / "none")
    for name, content in (("sound", _mean()), ("endless", _endless()), ("hungry", _allocates(3, 2**28))):
        (tmp_path / f"{name}.onnx").write_bytes(content)
    import_encoder(workspace, tmp_path / "sound.onnx", name="sound")
    with pytest.raises(MucError, match="did not come to an end"):
        import_encoder(workspace, tmp_path / "endless.onnx", name="endless")
    with pytest.raises(MucError, match=r"not a complete ONNX model|failed"):
        import_encoder(workspace, tmp_path / "hungry.onnx", name="hungry")
    assert [record.manifest.name for record in workspace.encoders()] == ["sound"]
    # an encoder of another workspace is tried, too
    other = Workspace(tmp_path / "other", assets=tmp_path / "none")
    import_encoder(other, workspace.encoder("sound").folder, name="copied")
    (workspace.encoder("sound").folder / "image.onnx").write_bytes(_endless())
    with pytest.raises(MucError, match="is not the file"):
        import_encoder(other, workspace.encoder("sound").folder, name="again")
