"""CLIP models: open_clip's state dicts in any wrapping, and the TorchScript archives that OpenAI published."""

from collections.abc import Iterator

from open_clip.model import convert_to_custom_text_state_dict
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

from muc_core.encoders.checkpoint import Checkpoint
from muc_core.encoders.families.clip import ClipFamily, preprocessing_of
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.recognition.catalogue import CLIP, skeleton, twins
from muc_core.encoders.recognition.fitting import Fit, Place, best_fits, places
from muc_core.encoders.recognition.recognition import FORMATS, Format, Recognition

OPENAI_MARKS = {"input_resolution", "context_length", "vocab_size"}
QUICK = "-quickgelu"
_PROMISING = 0.5


def is_clip_architecture(name: str) -> bool:
    """Whether open_clip has an architecture of that name."""
    return name in ClipFamily().architectures()


def _recognise(checkpoint: Checkpoint, arch: str | None) -> Iterator[Recognition]:
    if checkpoint.kind == "onnx" or (arch and not is_clip_architecture(arch)):
        return
    openai = any(name.rpartition(".")[2] in OPENAI_MARKS for name in checkpoint.tensors)
    if checkpoint.kind == "torchscript" and not openai:
        return  # a program may do more than its weights say
    best = _best(checkpoint, f"{CLIP}{arch}" if arch else None)
    if best is None:
        return
    model = best.model
    others, notes = () if arch else twins(model), []
    if not arch:
        quick = f"{model}{QUICK}"
        if quick in others and (openai or "quickgelu" in checkpoint.name.lower()):
            model, others = quick, ()
            notes.append(
                "The activation is taken to be QuickGELU, OpenAI's: "
                + ("the file has the marks of OpenAI's archives." if openai else "the file's name says so.")
            )
        elif quick in others:
            notes.append(
                "The activation is taken to be GELU; the tensors do not say. OpenAI's, DFN's and MetaCLIP's weights "
                f"need QuickGELU: --arch {quick.removeprefix(CLIP)}."
            )
    name = model.removeprefix(CLIP)
    weights = dict(best.weights)
    for scale in ("logit_scale", "logit_bias"):  # either a number or a list of one, by version
        held, wanted = best.place.tensors.get(scale), skeleton(model).state_dict().get(scale)
        if held is not None and wanted is not None and held.numel() == wanted.numel():
            weights[scale] = held.reshape(wanted.shape)
    preprocessing, source = published_preprocessing(name)
    yield Recognition(
        format=_named(checkpoint, best.place, openai=openai),
        family="clip",
        architecture=name,
        preprocessing=preprocessing,
        preprocessing_source=source,
        matched=best.matched,
        missing=best.missing,
        unexpected=best.unexpected,
        share=best.share,
        weights=weights,
        others=tuple(other.removeprefix(CLIP) for other in others),
        notes=tuple(notes),
    )


def published_preprocessing(architecture: str) -> tuple[Preprocessing, str]:
    """What the published weights of an architecture want, where they agree; otherwise what the image tower names."""
    own = preprocessing_of(skeleton(f"{CLIP}{architecture}"))
    tags = list_pretrained_tags_by_model(architecture)
    found = {_of_weights(own, architecture, tag) for tag in tags}
    if len(found) == 1:
        return found.pop(), f"that of open_clip's published weights of {architecture}"
    return own, f"open_clip's for {architecture}"


def _of_weights(own: Preprocessing, architecture: str, tag: str) -> Preprocessing:
    return with_config(own, get_pretrained_cfg(architecture, tag))


def with_config(own: Preprocessing, config: dict[str, object]) -> Preprocessing:
    """Mean, deviation and interpolation of open_clip's preprocessing settings where they name them."""
    known = {key: config[key] for key in ("mean", "std", "interpolation") if config.get(key) is not None}
    if known.get("interpolation") not in ("bicubic", "bilinear", "nearest"):
        known.pop("interpolation", None)
    return Preprocessing.model_validate({**own.model_dump(), **known})


def _best(checkpoint: Checkpoint, model: str | None) -> Fit | None:
    found = []
    for place in places(checkpoint.tensors):
        for view in (place, _custom_text(place)):
            if view is not None:
                found += best_fits(view, model, clip_models=True)
    promising = [each for each in found if each.share >= _PROMISING or (model and each.weights)]
    return max(promising, key=lambda each: each.share, default=None)


def _custom_text(place: Place) -> Place | None:
    """The place with its text tower below `text.`, as newer models of open_clip have it."""
    if "positional_embedding" not in place.tensors or "text_projection" not in place.tensors:
        return None
    renamed = convert_to_custom_text_state_dict({name: name for name in place.tensors})
    return Place(
        place.prefix,
        {name: place.tensors[old] for name, old in renamed.items()},
        {name: place.names[old] for name, old in renamed.items()},
    )


def _named(checkpoint: Checkpoint, place: Place, *, openai: bool) -> str:
    if checkpoint.kind == "torchscript":
        return "TorchScript archive of OpenAI's CLIP, of which the weights are taken"
    kind = "CLIP weights of OpenAI" if openai else "CLIP weights in open_clip's naming"
    return f"{kind}, at {place.prefix.rstrip('.')}" if place.prefix else kind


FORMATS.register("open-clip", Format("open-clip", _recognise))
