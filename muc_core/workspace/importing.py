"""Adding encoders from elsewhere to the workspace: recognised, completed, tried once, and only then kept."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from muc_core.data.files import read_file
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.backbones import build_backbone
from muc_core.encoders.base import Encoder
from muc_core.encoders.checkpoint import file_digest, kind_of
from muc_core.encoders.families.onnx import TEXT
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.load import load_encoder
from muc_core.encoders.manifest import EncoderManifest, Output, check_name, explain, installed_versions
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.recognition.recognise import recognise
from muc_core.encoders.recognition.recognition import Recognition
from muc_core.encoders.recognition.sources import Source, locate
from muc_core.errors import MucError
from muc_core.progress import SILENT, Progress
from muc_core.workspace.index import MANIFEST
from muc_core.workspace.trial import PROGRAMS, try_program
from muc_core.workspace.workspace import EncoderRecord, Workspace

_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".onnx", ".safetensors", ".tar", ".torchscript")

_MOST_BYTES_OF_A_MANIFEST = 16 * 2**20

TRIED = 2
"""Pictures that an encoder must embed before it is kept."""


class RecognitionReport(BaseModel):
    """What a file was recognised as, without its weights; the fields as in `Recognition`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    format: str
    family: str
    architecture: str
    output: Output | None
    preprocessing: Preprocessing
    preprocessing_source: str
    confidence: str
    share: float
    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    others: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ImportReport:
    """An encoder that was added.

    Attributes:
        recognition: what it was recognised as; None for an encoder of another workspace, whose manifest says it.
        record: where it is now.
    """

    recognition: RecognitionReport | None
    record: EncoderRecord


@dataclass(frozen=True)
class Examined:
    """A file that was recognised, with all that the user said about it."""

    recognition: Recognition
    report: RecognitionReport


def examine(
    source: str | Path,
    *,
    arch: str | None = None,
    size: int | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    interpolation: Interpolation | None = None,
    output: Output | None = None,
    text_onnx: Path | None = None,
    file_name: str | None = None,
) -> Examined:
    """Recognise a weight file; nothing is added. Arguments and errors as in `import_encoder`."""
    found = locate(source)
    if kind_of(found.path) in PROGRAMS:
        try_program(
            {
                "path": str(found.path.absolute()),
                "arch": arch,
                "size": size,
                "mean": mean,
                "std": std,
                "interpolation": interpolation,
                "text_onnx": None if text_onnx is None else str(text_onnx.absolute()),
            },
            [found.path] if text_onnx is None else [found.path, text_onnx],
        )
    return _recognised(
        found,
        arch=arch,
        size=size,
        mean=mean,
        std=std,
        interpolation=interpolation,
        output=output,
        text_onnx=text_onnx,
        file_name=file_name,
    )


def try_out(
    path: str,
    *,
    arch: str | None,
    size: int | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    interpolation: Interpolation | None,
    text_onnx: str | None,
) -> None:
    """What is done with a program before it is used, in a process of its own: it is recognised, loaded and tried.

    Raises:
        MucError: as `import_encoder` does.
    """
    examined = _recognised(
        Source(Path(path), Path(path).name),
        arch=arch,
        size=size,
        mean=mean,
        std=std,
        interpolation=interpolation,
        text_onnx=None if text_onnx is None else Path(text_onnx),
    )
    files = examined.recognition.files
    if files is None:  # its weights alone are taken, as from OpenAI's archives of CLIP; the program in it never runs
        return
    manifest = _manifest_of(examined, name_for(path), None)
    with tempfile.TemporaryDirectory(prefix="muc-trial-") as folder:
        for name, file in files.items():
            Path(folder, name).symlink_to(file)
        manifest = manifest.model_copy(update={"files": dict.fromkeys(files, "")})
        _try(load_encoder(manifest, Path(folder)))


def _recognised(
    found: Source,
    *,
    arch: str | None,
    size: int | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    interpolation: Interpolation | None,
    output: Output | None = None,
    text_onnx: Path | None = None,
    file_name: str | None = None,
) -> Examined:
    recognition = recognise(found.path, arch=arch or found.architecture)
    if found.preprocessing is not None:
        recognition = replace(
            recognition, preprocessing=found.preprocessing, preprocessing_source=found.preprocessing_source
        )
    recognition = _prepared(recognition, size=size, mean=mean, std=std, interpolation=interpolation)
    recognition = _with_output(recognition, output)
    if text_onnx is not None:
        if recognition.family != "onnx" or recognition.files is None:
            raise MucError(f"a text tower in ONNX belongs to an image tower in ONNX, not to {recognition.format}")
        recognition = replace(recognition, files={**recognition.files, TEXT: text_onnx})
    report = RecognitionReport(
        source=file_name or found.title,
        format=recognition.format,
        family=recognition.family,
        architecture=recognition.architecture,
        output=recognition.output,
        preprocessing=recognition.preprocessing,
        preprocessing_source=recognition.preprocessing_source,
        confidence=recognition.confidence,
        share=recognition.share,
        matched=len(recognition.matched),
        missing=recognition.missing,
        unexpected=recognition.unexpected,
        others=recognition.others,
        notes=recognition.notes,
    )
    return Examined(recognition, report)


def import_encoder(
    workspace: Workspace,
    source: str | Path,
    *,
    name: str | None = None,
    title: str | None = None,
    arch: str | None = None,
    size: int | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    interpolation: Interpolation | None = None,
    output: Output | None = None,
    text_onnx: Path | None = None,
    file_name: str | None = None,
    progress: Progress = SILENT,
) -> ImportReport:
    """Add an encoder from elsewhere.

    Args:
        source: path of a weight file, of a folder of open_clip's or of another workspace's encoder, or, as text, a name
            of open_clip with its weights (`ViT-B-32:laion2b_s34b_b79k`) or `hf-hub:OWNER/NAME`.
        name: what it is called here; None: made from the source's name.
        title: the same for people.
        arch: its architecture where it is known; checked.
        size, mean, std, interpolation: replace the source's own preprocessing, each where given; see `Preprocessing`.
        output: projections z or features h of an encoder that has both.
        text_onnx: the text tower that belongs to an image tower in ONNX.
        file_name: what the user calls the file, where `source` is a temporary copy.
        progress: told what is going on.

    Raises:
        UnknownName: there is no such source or architecture.
        MucError: the name is taken; the file cannot be opened, recognised or used. Nothing of it stays.
        Cancelled: from `progress`.
    """
    name = workspace.check_new_name(name) if name else None
    given = (arch, size, mean, std, interpolation, output, text_onnx)
    folder = Path(source).expanduser()
    if (folder / MANIFEST).is_file():
        if any(value is not None for value in given):
            raise MucError(f"{folder} has a {MANIFEST} that says all of this encoder; give no settings beside it")
        return ImportReport(None, _copy(workspace, folder, name))
    named = workspace.check_new_name(name or name_for(file_name or str(source)))
    progress.report(0, 3, "recognise the file")
    examined = examine(
        source,
        arch=arch,
        size=size,
        mean=mean,
        std=std,
        interpolation=interpolation,
        output=output,
        text_onnx=text_onnx,
        file_name=file_name,
    )
    progress.report(1, 3, f"store {examined.report.architecture}")
    record = add_examined(workspace, examined, name=named, title=title, progress=progress)
    progress.report(3, 3, "done")
    return ImportReport(examined.report, record)


def add_examined(
    workspace: Workspace, examined: Examined, *, name: str, title: str | None = None, progress: Progress = SILENT
) -> EncoderRecord:
    """Add what `examine` found. Raises `MucError` as `import_encoder` does."""
    recognition = examined.recognition
    manifest = _manifest_of(examined, workspace.check_new_name(name), title)
    if recognition.files is not None:
        record = workspace.add_encoder(manifest, recognition.files)
    else:
        record = workspace.save_encoder(manifest, _complete(recognition), float16=False)
    try:
        progress.report(2, 3, "try it")
        _try(workspace.load(name))
    except BaseException:
        workspace.delete_encoder(name)
        raise
    return record


def _manifest_of(examined: Examined, name: str, title: str | None) -> EncoderManifest:
    recognition, report = examined.recognition, examined.report
    return EncoderManifest(
        name=name,
        title=title or f"{recognition.architecture} from {report.source}"[:200],
        family=recognition.family,
        architecture=recognition.architecture,
        source=f"{report.source}, recognised as {recognition.format} ({recognition.confidence}).",
        preprocessing=recognition.preprocessing,
        output=recognition.output,
        versions=installed_versions(),
    )


def name_for(source: str) -> str:
    """A name for an encoder from what its file is called. Raises `MucError` when nothing of it can be used."""
    text = (source if ":" in source and not Path(source).suffix else Path(source).name).lower()
    while (suffix := next((each for each in _SUFFIXES if text.endswith(each)), None)) is not None:
        text = text.removesuffix(suffix)
    plain = re.sub(r"[^a-z0-9._-]+", "-", text.removeprefix("hf-hub:")).strip("-._")[:64]
    return check_name(plain or "encoder")


def _prepared(
    recognition: Recognition,
    *,
    size: int | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    interpolation: Interpolation | None,
) -> Recognition:
    every = {"size": size, "mean": mean, "std": std, "interpolation": interpolation}
    given = {field: value for field, value in every.items() if value is not None}
    if not given:
        return recognition
    try:
        changed = Preprocessing.model_validate({**recognition.preprocessing.model_dump(), **given})
    except ValidationError as error:
        raise MucError(f"pictures cannot be prepared like this ({explain(error)})") from error
    names = {"size": "size", "mean": "mean", "std": "deviation", "interpolation": "interpolation"}
    said = f"{' and '.join(names[field] for field in given)} as you say"
    source = said if len(given) == len(every) else f"{said}; otherwise {recognition.preprocessing_source}"
    return replace(recognition, preprocessing=changed, preprocessing_source=source)


def _with_output(recognition: Recognition, output: Output | None) -> Recognition:
    if output is None or output == recognition.output:
        return recognition
    if recognition.output == "projections":
        return replace(recognition, output=output)
    if recognition.output == "features":
        raise MucError("the file has no projection head that can be used, so it gives features only")
    raise MucError(f"{recognition.format} gives vectors of one kind; leave the output away")


def _complete(recognition: Recognition) -> dict[str, Tensor]:
    """All tensors of the encoder: those of the file, and what does not decide its vectors as a fresh model has it."""
    weights = _apart(recognition.weights or {})
    for key, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise MucError(
                f"the tensor {key!r} holds numbers that are not finite; the training went wrong before it ended"
            )
    if recognition.family == "backbone":
        with torch.random.fork_rng(devices=[]):
            fresh = build_backbone(recognition.architecture).module
    else:
        fresh = FAMILIES.get(recognition.family).build(recognition.architecture, seed=0)
    own = fresh.state_dict()
    return {key: weights.get(key, own[key]) for key in own}


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor with memory of its own, which safetensors asks for."""
    seen: set[int] = set()
    apart = {}
    for key, tensor in tensors.items():
        storage = tensor.untyped_storage()
        shared = storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes
        seen.add(storage.data_ptr())
        apart[key] = tensor.clone() if shared else tensor
    return apart


def _try(encoder: Encoder) -> None:
    """Embed some noise. Raises `MucError` when the encoder does not give one finite vector a picture."""
    size = encoder.image_size
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (TRIED, 3, size, size), dtype=torch.uint8, generator=generator)
    try:
        vectors = encoder.encode_images(noise)
    except (RuntimeError, AssertionError, IndexError, TypeError) as error:  # what a layer says of a wrong size
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise MucError(
            f"the model does not take pictures of {size} x {size} pixels ({reason}); give the size it wants"
        ) from error
    if vectors.shape != (TRIED, encoder.dimension) or not vectors.isfinite().all():
        raise MucError(
            "the model does not give one finite vector for a picture; its weights or preprocessing are wrong"
        )
    if encoder.has_text and encoder.family == "onnx":
        encoder.encode_texts(["a bird"])


def _copy(workspace: Workspace, folder: Path, name: str | None) -> EncoderRecord:
    """An encoder of another workspace, or a shipped one, with all that is known of it."""
    try:
        manifest = EncoderManifest.model_validate_json(
            read_file(folder / MANIFEST, str(folder / MANIFEST), _MOST_BYTES_OF_A_MANIFEST)
        )
    except ValidationError as error:
        raise MucError(f"{folder / MANIFEST} is not that of an encoder ({explain(error)})") from error
    for file, digest in manifest.files.items():
        if Path(file).name != file or file_digest(folder / file) != digest:
            raise MucError(f"{folder / file} is not the file that its {MANIFEST} describes; copy the folder again")
    named = workspace.check_new_name(name or manifest.name)
    if manifest.family in PROGRAMS:
        _try_elsewhere(manifest, folder)
    record = workspace.add_encoder(
        manifest.model_copy(update={"name": named}), {file: folder / file for file in manifest.files}
    )
    if manifest.family == "remote":
        return record  # trying it would cost its owner's money
    try:
        _try(workspace.load(named))
    except BaseException:
        workspace.delete_encoder(named)
        raise
    return record


def _try_elsewhere(manifest: EncoderManifest, folder: Path) -> None:
    """The program of an encoder of another workspace, in a process of its own. Raises `MucError`."""
    prepared = manifest.preprocessing
    images = [folder / file for file in manifest.files if file != TEXT]
    if prepared is None or len(images) != 1:
        raise MucError(f"{folder / MANIFEST} does not say which model it is and how its pictures are prepared")
    text = folder / TEXT if TEXT in manifest.files else None
    request = {
        "path": str(images[0].absolute()),
        "arch": None,
        **prepared.model_dump(mode="json"),
        "text_onnx": None if text is None else str(text.absolute()),
    }
    try_program(request, images if text is None else [*images, text])
