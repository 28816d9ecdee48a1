"""The forms for an encoder from a file or by open_clip's name: what it is recognised as is shown before it is kept."""

from pathlib import Path

import streamlit as st

from dashboard.components.encoder_name import choose_name, saved
from dashboard.components.encoder_report import Overrides, choose_overrides, show_report
from dashboard.components.job_follow import follow_job, how_it_ended
from dashboard.services import LARGE_BYTES, add_file, keep_upload, open_clip_names, recognised, workspace
from muc_core.errors import MucError
from muc_core.jobs import Job, JobTable, submit
from muc_core.jobs.tasks.import_encoder import KIND, ImportEncoderSettings
from muc_core.workspace.importing import RecognitionReport
from muc_core.workspace.index import MANIFEST

KINDS = ["pt", "pth", "ckpt", "bin", "safetensors", "onnx", "torchscript"]
FORMATS = (
    "Known are CLIP in open_clip's and OpenAI's naming, SimCLR and MoCo checkpoints, models of torchvision and timm, "
    "TorchScript and ONNX. No file runs code: pickles that would are refused, with a way to convert them."
)


def file_form() -> None:
    """From an upload or a path to an encoder."""
    way = st.segmented_control(
        "File",
        ["Upload", "Path"],
        default="Upload",
        required=True,
        key="encoder file way",
        label_visibility="collapsed",
    )
    source = _upload() if way == "Upload" else _path()
    arch = st.text_input(
        "Architecture",
        key="encoder file arch",
        placeholder="recognised from the file; type one where it is known, such as cifar-resnet18 or timm/resnet50",
        persist_state="session",
    ).strip()
    st.caption(FORMATS)
    if source is not None and arch:
        source = source.model_copy(update={"arch": arch})
    _look("file", source, label="Recognise", icon=":material/troubleshoot:")


def open_clip_form() -> None:
    """From a name of open_clip to an encoder."""
    name = st.selectbox(
        "Model and weights",
        open_clip_names(),
        index=None,
        placeholder="ViT-B-32:laion2b_s34b_b79k, or type hf-hub:OWNER/NAME",
        key="encoder open_clip name",
        accept_new_options=True,
        persist_state="session",
    )
    st.caption(
        "The weights are taken from open_clip's store on this machine, or fetched from the network into it: some "
        "hundred megabytes to several gigabytes."
    )
    source = ImportEncoderSettings(source=name) if name else None
    _look("open_clip", source, label="Fetch and recognise", icon=":material/download:")


def _upload() -> ImportEncoderSettings | None:
    limit = int(st.get_option("server.maxUploadSize"))
    files = st.file_uploader(
        f"Weight file, up to {limit} MB", type=KINDS, key="encoder file upload", accept_multiple_files=True
    )
    st.caption(
        f"This server takes uploads of up to {limit} MB; a larger file that lies on its machine is added by its path. "
        "An image tower and a text tower in ONNX are uploaded together."
    )
    if not files:
        return None
    text = next((file for file in files if len(files) == 2 and "text" in file.name.lower()), None)
    weights = [file for file in files if file is not text]
    if len(weights) != 1:
        raise MucError("these are several files; upload one weight file, or image.onnx and text.onnx of one encoder")
    copy = keep_upload(weights[0].name, weights[0].getvalue())
    tower = None if text is None else str(keep_upload(text.name, text.getvalue()))
    return ImportEncoderSettings(source=str(copy), file_name=weights[0].name, text_onnx=tower)


def _path() -> ImportEncoderSettings | None:
    left, right = st.columns([3, 2])
    path = left.text_input(
        "Path on the server", key="encoder file path", placeholder="/data/encoder.ckpt", persist_state="session"
    ).strip()
    text = right.text_input(
        "Text tower", key="encoder file text", placeholder="text.onnx, for ONNX only", persist_state="session"
    ).strip()
    if not path:
        return None
    place = Path(path).expanduser()
    if not place.exists():
        raise MucError(f"there is no file {path}; give the path of a weight file on the machine of this server")
    return ImportEncoderSettings(source=str(place.absolute()), text_onnx=text or None)


def _look(part: str, source: ImportEncoderSettings | None, *, label: str, icon: str) -> None:
    """The button that recognises a source, and all that follows from it."""
    asked, adding = f"encoder {part} asked", f"encoder {part} adding"
    if st.button(label, icon=icon, key=f"encoder {part} look", disabled=source is None):
        st.session_state[asked] = source
        if source is not None and _is_long(source) and not _is_ours(source):
            submit(workspace(), KIND, source, unique=True)
    if source is None or st.session_state.get(asked) != source:
        return
    report = None if _is_ours(source) else _report(source)
    if report is None and not _is_ours(source):
        return
    with st.container(border=True, key=f"encoder-{part}-report"):
        given: Overrides = {}
        if report is None:
            st.markdown(f"This folder is an encoder of another workspace; its {MANIFEST} says what it is.")
        else:
            show_report(report)
            given = choose_overrides(report, key=f"encoder {part} {source.source}")
        name = choose_name(
            Path(source.source if report is None else report.source).stem, key=f"encoder {part} name {source.source}"
        )
        job = _job(st.session_state.get(adding))
        if job is not None and job.active:
            follow_job(job, "Adding it")
            return
        how_it_ended(job, "Adding it", "Nothing was kept of it.")
        if job is not None and job.state == "done":
            del st.session_state[adding]
            _added(str(job.result["encoder"]))
            st.rerun()
        st.button(
            "Add this encoder",
            type="primary",
            icon=":material/add:",
            key=f"encoder {part} add",
            disabled=name is None,
            on_click=_add,
            args=(source, name, given, adding),
        )


def _is_long(source: ImportEncoderSettings) -> bool:
    """Whether reading it takes more than some seconds: large files, folders, and what may have to be fetched."""
    path = Path(source.source)
    if _is_ours(source):
        return sum(file.stat().st_size for file in path.iterdir()) > LARGE_BYTES
    return not path.is_file() or path.stat().st_size > LARGE_BYTES


def _is_ours(source: ImportEncoderSettings) -> bool:
    """Whether it is the folder of an encoder of another workspace, which needs no recognising."""
    return (Path(source.source) / MANIFEST).is_file()


def _report(source: ImportEncoderSettings) -> RecognitionReport | None:
    """What it was recognised as; None, with the state of the job on screen, as long as that is not known."""
    if not _is_long(source):
        return recognised(source)
    job = _job(source)
    if job is None:
        return None
    if job.active:
        follow_job(job, "Looking at it")
        return None
    if job.state != "done":
        raise MucError(job.error or f"looking at it was {job.state}; start it again")
    return RecognitionReport.model_validate(job.result["report"])


def _job(settings: ImportEncoderSettings | None) -> Job | None:
    if settings is None:
        return None
    asked = settings.model_dump(mode="json")
    jobs = JobTable(workspace()).jobs(limit=50)
    return next((job for job in jobs if job.kind == KIND and job.settings == asked), None)


def _add(source: ImportEncoderSettings, name: str, given: Overrides, adding: str) -> None:
    settings = ImportEncoderSettings.model_validate(
        {**source.model_dump(), **{field: value for field, value in given.items() if value is not None}, "name": name}
    )
    try:
        if _is_long(source):
            submit(workspace(), KIND, settings, unique=True)
            st.session_state[adding] = settings
            return
        add_file(settings)
    except MucError as fault:
        saved(None, f"Not added: {fault}")
        return
    _added(name)


def _added(name: str) -> None:
    saved(name, f"{name} was added. Check it before you rely on it.")
