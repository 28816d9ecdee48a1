"""Adding encoders from elsewhere to a workspace, from Python and by `muc encoders add`."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from muc_core.cli import app
from muc_core.encoders.backbones import build_backbone
from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.two_view import TwoViewModel
from muc_core.errors import Cancelled, MucError, UnknownName
from muc_core.workspace import Workspace
from muc_core.workspace.importing import examine, import_encoder, name_for


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "none"))
    monkeypatch.setenv("COLUMNS", "200")
    return Workspace()


@pytest.fixture(scope="module")
def model() -> TwoViewModel:
    built = FAMILIES.get("simclr").build("demo-resnet:32-16", seed=3)
    assert isinstance(built, TwoViewModel)
    return built.eval()


@pytest.fixture
def checkpoint(model: TwoViewModel, tmp_path: Path) -> Path:
    """A SimCLR checkpoint in somebody else's naming."""
    state = {f"net.encoder.{name}": tensor for name, tensor in model.backbone.state_dict().items()}
    state |= {
        f"net.projector.{name.removeprefix('layers.')}": tensor
        for name, tensor in model.projection_head.state_dict().items()
    }
    path = tmp_path / "Epoch 10 (best).ckpt"
    torch.save({"state_dict": state, "epoch": 10}, path)
    return path


def pictures() -> Tensor:
    return torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def muc(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["encoders", *arguments])


def refused(*arguments: str) -> str:
    result = muc(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


# from Python


@torch.inference_mode()
def test_projections_or_features_can_be_chosen(workspace: Workspace, model: TwoViewModel, checkpoint: Path) -> None:
    report = import_encoder(workspace, checkpoint)
    import_encoder(workspace, checkpoint, name="h", output="features")
    assert report.record.manifest.name == "epoch-10-best"
    features = model.backbone(model.preprocessing.apply(pictures()))
    torch.testing.assert_close(workspace.load("h").encode_images(pictures()), features)
    found = workspace.load("epoch-10-best").encode_images(pictures())
    torch.testing.assert_close(found, model.projection_head(features))


def test_what_does_not_decide_the_vectors_is_filled_in(workspace: Workspace, checkpoint: Path) -> None:
    record = import_encoder(workspace, checkpoint, name="a").record
    weights = load_weights(record.weights)
    assert weights.keys() == FAMILIES.get("simclr").build("demo-resnet:32-16", seed=0).state_dict().keys()
    assert float(weights["temperature"]) == 0.5


def test_preprocessing_is_replaced_where_it_is_given(workspace: Workspace, checkpoint: Path) -> None:
    report = import_encoder(workspace, checkpoint, name="a", size=48, mean=(0.5, 0.4, 0.3), interpolation="bilinear")
    prepared = report.record.manifest.preprocessing
    assert prepared is not None
    assert (prepared.size, prepared.mean, prepared.interpolation) == (48, (0.5, 0.4, 0.3), "bilinear")
    assert report.recognition is not None
    assert report.recognition.preprocessing_source.startswith("size and mean and interpolation as you say; otherwise")
    assert workspace.load("a").image_size == 48
    with pytest.raises(MucError, match="std"):
        import_encoder(workspace, checkpoint, name="b", std=(0, 1, 1))


def test_examining_adds_nothing(workspace: Workspace, checkpoint: Path) -> None:
    report = examine(checkpoint, file_name="hers.ckpt").report
    assert (report.source, report.architecture, report.share) == ("hers.ckpt", "demo-resnet:32-16", 1)
    assert workspace.encoders() == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_precision_are_used(
    dtype: torch.dtype, workspace: Workspace, model: TwoViewModel, tmp_path: Path
) -> None:
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in model.backbone.state_dict().items()}
    save_file(state, tmp_path / "a.safetensors")
    import_encoder(workspace, tmp_path / "a.safetensors")
    found = workspace.load("a").encode_images(pictures())
    with torch.inference_mode():
        expected = model.backbone(model.preprocessing.apply(pictures()))
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


def test_tensors_that_share_memory_are_stored_apart(workspace: Workspace, tmp_path: Path) -> None:
    state = dict(build_backbone("demo-resnet").module.state_dict())
    names = [name for name in state if name.endswith("running_mean")]
    buffer, place = torch.zeros(sum(len(state[name]) for name in names)), 0
    for name in names:
        state[name] = buffer[place : place + len(state[name])]
        place += len(state[name])
    torch.save(state, tmp_path / "a.pt")
    import_encoder(workspace, tmp_path / "a.pt")
    assert workspace.load("a").encode_images(pictures()).isfinite().all()


def test_numbers_that_are_not_finite_are_refused(workspace: Workspace, checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"]["net.encoder.layer1.0.conv1.weight"][0] = float("nan")
    torch.save(content, checkpoint)
    with pytest.raises(MucError, match=r"conv1\.weight.*not finite"):
        import_encoder(workspace, checkpoint)
    assert workspace.encoders() == []


class OneSize(nn.Module):
    """Fits pictures of 16 x 16 pixels only."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x.flatten(1))
        return found


def test_nothing_stays_of_an_encoder_that_does_not_run(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with pytest.warns(FutureWarning, match=r"torch\.export"):
        torch.jit.script(OneSize()).save(str(path))  # type: ignore[no-untyped-call]
    with pytest.raises(MucError, match="224 x 224"):
        import_encoder(workspace, path)
    assert workspace.encoders() == []
    import_encoder(workspace, path, size=16)
    assert workspace.load("a").dimension == 5


class Stopping:
    """Cancels at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def report(self, step: int, total: int, message: str, values: object = None) -> None:
        if step == self.step:
            raise Cancelled


@pytest.mark.parametrize("step", [0, 1, 2])
def test_nothing_stays_when_it_is_cancelled(step: int, workspace: Workspace, checkpoint: Path) -> None:
    with pytest.raises(Cancelled):
        import_encoder(workspace, checkpoint, progress=Stopping(step))
    assert workspace.encoders() == []


def test_choices_that_do_not_apply_are_refused(workspace: Workspace, model: TwoViewModel, tmp_path: Path) -> None:
    save_file(dict(model.backbone.state_dict()), tmp_path / "a.safetensors")
    with pytest.raises(MucError, match="no projection head"):
        import_encoder(workspace, tmp_path / "a.safetensors", output="projections")
    with pytest.raises(MucError, match="text tower in ONNX"):
        import_encoder(workspace, tmp_path / "a.safetensors", text_onnx=tmp_path / "text.onnx")
    with pytest.raises(MucError, match="no file"):
        import_encoder(workspace, tmp_path / "b.safetensors")
    with pytest.raises(UnknownName, match="no file"):
        import_encoder(workspace, str(tmp_path / "b.safetensors"))


def test_an_encoder_of_another_workspace_is_copied_with_all_that_is_known(
    workspace: Workspace, checkpoint: Path, tmp_path: Path
) -> None:
    record = import_encoder(workspace, checkpoint, name="a").record
    other = Workspace(tmp_path / "other", assets=tmp_path / "none")
    report = import_encoder(other, record.folder)
    assert report.recognition is None
    assert report.record.manifest == record.manifest
    assert import_encoder(other, record.folder, name="b").record.manifest.name == "b"
    with pytest.raises(MucError, match="give no settings"):
        import_encoder(other, record.folder, name="c", size=64)
    record.weights.write_bytes(b"broken")
    with pytest.raises(MucError, match="describes"):
        import_encoder(other, record.folder, name="c")
    assert [each.manifest.name for each in other.encoders()] == ["a", "b"]


def test_a_taken_name_is_refused_before_any_work(workspace: Workspace, checkpoint: Path) -> None:
    import_encoder(workspace, checkpoint, name="a")
    with pytest.raises(MucError, match="already"):
        import_encoder(workspace, checkpoint.with_name("missing"), name="a")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("ViT-B-32:laion2b_s34b_b79k", "vit-b-32-laion2b_s34b_b79k"),
        ("hf-hub:laion/CLIP-ViT-B-32", "laion-clip-vit-b-32"),
        ("folder/moco_v2_800ep_pretrain.pth.tar", "moco_v2_800ep_pretrain"),
        ("Ünïcode.PT", "n-code"),
        ("....", "encoder"),
        ("x" * 200 + ".onnx", "x" * 64),
    ],
)
def test_names_come_from_sources(source: str, name: str) -> None:
    assert name_for(source) == name


# by the command line


def test_add_tells_what_it_recognised(workspace: Workspace, checkpoint: Path) -> None:
    result = muc("add", str(checkpoint), "--name", "hers")
    assert result.exit_code == 0, result.output
    for part in ("SimCLR state dict", "demo-resnet:32-16", "certain: ", "projections", "32 x 32 pixels", "Added hers."):
        assert part in result.stdout
    assert workspace.encoder("hers").manifest.family == "simclr"


def test_add_for_programs(workspace: Workspace, checkpoint: Path) -> None:
    options = [
        "--output",
        "features",
        "--size",
        "48",
        "--mean",
        "0.5,0.5,0.5",
        "--std",
        ".2,.2,.2",
        "--arch",
        "demo-resnet",
    ]
    result = muc("add", str(checkpoint), *options, "--interpolation", "nearest", "--json")
    found = json.loads(result.stdout)
    assert found["recognition"]["share"] == 1
    assert found["encoder"]["output"] == "features"
    prepared = {"size": 48, "mean": [0.5] * 3, "std": [0.2] * 3, "interpolation": "nearest"}
    assert found["encoder"]["preprocessing"] == prepared


def test_add_refuses_with_a_sentence(workspace: Workspace, checkpoint: Path, tmp_path: Path) -> None:
    assert "three numbers" in refused("add", str(checkpoint), "--mean", "0.5")
    assert "no architecture" in refused("add", str(checkpoint), "--arch", "resnet")
    assert "name a weight file" in refused("add")
    assert "only with --url" in refused("add", str(checkpoint), "--model", "clip")
    assert "leave out a file, --arch" in refused("add", "a.pt", "--arch", "b", "--url", "https://example.org")
    assert "--dialect" in refused("add", "--url", "https://example.org", "--name", "a")
    assert "--name" in refused("add", "--url", "https://example.org", "--dialect", "openai")
    assert workspace.encoders() == []


class Planted:
    """Creates a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.marker,)


def test_add_runs_no_code_of_a_file(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "callbacks": Planted(tmp_path / "marker")}, path)
    assert "weights_only=False" in refused("add", str(path))
    assert not (tmp_path / "marker").exists()


class Service(BaseHTTPRequestHandler):
    """Answers like an OpenAI-style service whose vectors are all alike, for pictures and texts."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = [{"index": place, "embedding": [0.6, 0.8]} for place in range(len(asked["input"]))]
        content = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_encoder_behind_a_url_is_added(workspace: Workspace, service: str) -> None:
    options = ["add", "--url", service, "--dialect", "openai-image", "--model", "clip", "--name", "far"]
    assert "private" in refused(*options)
    result = muc(*options, "--allow-private", "--size", "64")
    assert result.exit_code == 0, result.output
    assert "2 numbers" in result.stdout
    assert "Added far." in result.stdout
    manifest = workspace.encoder("far").manifest
    assert (manifest.family, manifest.architecture) == ("remote", "clip")
    assert workspace.load("far").encode_images(pictures()).shape == (2, 2)


def test_rename(workspace: Workspace, checkpoint: Path) -> None:
    import_encoder(workspace, checkpoint, name="a")
    assert muc("rename", "a", "b").stdout == "Renamed a to b.\n"
    assert [record.manifest.name for record in workspace.encoders()] == ["b"]
    assert "no encoder 'a'" in refused("rename", "a", "c")


def test_check_prints_every_probe(workspace: Workspace, checkpoint: Path) -> None:
    import_encoder(workspace, checkpoint, name="a")
    result = muc("check", "a", "--json")
    probes = {probe["name"]: probe for probe in json.loads(result.stdout)["probes"]}
    assert {"shapes", "finite", "same-twice", "batch", "norm", "speed"} <= probes.keys()
    failed = [name for name, probe in probes.items() if probe["passed"] is False]
    assert result.exit_code == bool(failed)
    assert not {"shapes", "finite", "same-twice", "batch"} & set(failed)
    people = muc("check", "a").stdout
    assert all(probe["title"] in people for probe in probes.values())
