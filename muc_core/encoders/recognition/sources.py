"""Where weights come from when they are not one file: open_clip's names, a Hugging Face repository, a folder of either.

Downloads are open_clip's; what they bring is opened like any other file.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import open_clip
from open_clip.pretrained import (
    download_pretrained,
    download_pretrained_from_hf,
    get_pretrained_cfg,
    list_pretrained_tags_by_model,
)
from pydantic import ValidationError

from muc_core.encoders.families.clip import preprocessing_of
from muc_core.encoders.manifest import explain
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.recognition.catalogue import CLIP, skeleton
from muc_core.encoders.recognition.formats.open_clip import QUICK, is_clip_architecture, with_config
from muc_core.encoders.recognition.recognition import shortened
from muc_core.errors import MucError, UnknownName

HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A weight file and what is known of it from beside it.

    Attributes:
        path: the file.
        title: what the user knows it by.
        architecture: of the model in it, None when nothing says.
        preprocessing: what its owner says of it, None when nothing does.
        preprocessing_source: where that is said.
    """

    path: Path
    title: str
    architecture: str | None = None
    preprocessing: Preprocessing | None = None
    preprocessing_source: str = ""


def locate(given: str | Path) -> Source:
    """The weight file behind a path, a name of open_clip such as `ViT-B-32:laion2b_s34b_b79k`, or `hf-hub:OWNER/NAME`.

    Raises:
        UnknownName: there is nothing of that name.
        MucError: it cannot be downloaded, or is a folder without one model.
    """
    text = str(given)
    if isinstance(given, str) and text.startswith(HUB):
        return _from_hub(text.removeprefix(HUB))
    path = Path(given).expanduser()
    if path.is_dir():
        return _from_folder(path)
    if isinstance(given, Path) or path.exists():
        return Source(path, path.name)
    architecture, colon, tag = text.partition(":")
    if is_clip_architecture(architecture):
        return _from_tag(architecture, tag if colon else None)
    raise UnknownName(
        f"there is no file {text[:300]!r} and open_clip has no model of that name; give a path, a name with its "
        f"weights such as ViT-B-32:laion2b_s34b_b79k, or {HUB}OWNER/NAME"
    )


def _from_tag(architecture: str, tag: str | None) -> Source:
    tags = list_pretrained_tags_by_model(architecture)
    config = get_pretrained_cfg(architecture, tag) if tag else {}
    if not config:
        known = ", ".join(f"{architecture}:{each}" for each in tags) or "none"
        trouble = "without its weights is a name for random numbers" if tag is None else "has no such weights"
        raise UnknownName(f"{architecture}{'' if tag is None else ':' + tag} {trouble}; known: {known}")
    title = f"{architecture}:{tag}"
    path = Path(_fetched(title, lambda: download_pretrained(config)))
    quick = f"{architecture}{QUICK}"
    if config.get("quick_gelu") and not architecture.endswith(QUICK) and is_clip_architecture(quick):
        architecture = quick
    return Source(
        path, title, architecture, _preprocessing(architecture, config), "that of open_clip for these weights"
    )


def _from_hub(repository: str) -> Source:
    title = f"{HUB}{repository}"
    settings = Path(_fetched(title, lambda: download_pretrained_from_hf(repository, filename=CONFIG)))
    weights = Path(_fetched(title, lambda: download_pretrained_from_hf(repository)))
    return _described(weights, settings, title)


def _from_folder(folder: Path) -> Source:
    weights = [folder / name for name in WEIGHT_FILES if (folder / name).is_file()]
    if not (folder / CONFIG).is_file() or not weights:
        raise MucError(
            f"{folder} is a folder without an open_clip model in it ({CONFIG} and {WEIGHT_FILES[0]}); give the "
            "weight file"
        )
    return _described(weights[0], folder / CONFIG, folder.name)


def _described(weights: Path, settings: Path, title: str) -> Source:
    """A weight file with open_clip's description of it. Raises `MucError` when that is no architecture of open_clip."""
    try:
        content = json.loads(settings.read_text(encoding="utf-8"))
        model = content.get("model_cfg", content)
        prepare = content.get("preprocess_cfg", {})
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise MucError(f"{settings.name} of {title} is damaged ({error}); fetch it again") from error
    same = [name for name in open_clip.list_models() if _config(name) == _plain(model)]
    if not same:
        raise MucError(
            f"{title} has an architecture that open_clip {open_clip.__version__} does not have by name; take the "
            f"weight file alone and name the nearest one with --arch, such as {shortened(open_clip.list_models()[:3])}"
        )
    name = min(same, key=len)
    return Source(weights, title, name, _preprocessing(name, prepare), f"that of {settings.name}")


def _config(name: str) -> dict[str, Any]:
    return _plain(open_clip.get_model_config(name))


def _plain(config: Any) -> dict[str, Any]:
    """A model's settings without what does not change its vectors."""
    if not isinstance(config, dict):
        return {}
    left_out = ("hf_tokenizer_name", "hf_model_pretrained", "timm_model_pretrained", "tokenizer_kwargs")
    return {
        key: _plain(value) if isinstance(value, dict) else value for key, value in config.items() if key not in left_out
    }


def _preprocessing(architecture: str, config: Any) -> Preprocessing:
    own = preprocessing_of(skeleton(f"{CLIP}{architecture}"))
    try:
        return with_config(own, config if isinstance(config, dict) else {})
    except ValidationError as error:
        raise MucError(
            f"the preprocessing that is said for {architecture} cannot be used ({explain(error)})"
        ) from error


def _fetched(title: str, fetch: Callable[[], T]) -> T:
    try:
        found = fetch()
    except Exception as error:  # whatever the network, the hub or the disk brings up
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise MucError(
            f"{title} could not be fetched ({reason}); it takes a network, or give the path of a file fetched before"
        ) from error
    if not found:
        raise MucError(f"open_clip does not say where the weights of {title} are; give the path of a file")
    return found
