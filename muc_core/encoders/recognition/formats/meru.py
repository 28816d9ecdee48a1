"""MERU, and the CLIP that its authors compare it with: state dicts of this program, and in the authors' naming.

The authors' checkpoints (arXiv 2304.09172) hold a vision transformer of timm, a text tower in names of their own, and
what goes before the exponential map: `curv`, `visual_alpha` and `textual_alpha`, logarithms as here.
"""

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from muc_core.encoders.checkpoint import Checkpoint
from muc_core.encoders.families.clip import preprocessing_of
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.recognition.catalogue import CLIP, skeleton
from muc_core.encoders.recognition.fitting import Fit, Place, best_fits, fit, places
from muc_core.encoders.recognition.formats.open_clip import is_clip_architecture
from muc_core.encoders.recognition.recognition import FORMATS, Format, Recognition, shortened
from muc_core.errors import MucError

LIFT = {"log_curvature": "curv", "log_image_scale": "visual_alpha", "log_text_scale": "textual_alpha"}
"""The numbers that lift features into hyperbolic space: our names and the authors'."""

TOWERS = "towers."
BY_WIDTH = {384: "meru-vit-s", 768: "meru-vit-b", 1024: "meru-vit-l"}

_THEIRS = (
    (r"visual_proj\.", "visual.head.proj."),
    (r"textual_proj\.weight", "text_projection"),
    (r"textual\.token_embed\.", "token_embedding."),
    (r"textual\.posit_embed", "positional_embedding"),
    (r"textual\.resblocks\.", "transformer.resblocks."),
    (r"textual\.(?=ln_final\.)", ""),
    (r"visual\.", "visual.trunk."),
)
"""Beginnings of the authors' names for the towers and what open_clip calls them, the first that fits."""

_ASIDE = {"textual.attn_mask", "pixel_mean", "pixel_std"}


def _recognise(checkpoint: Checkpoint, arch: str | None) -> Iterator[Recognition]:
    if checkpoint.kind not in ("safetensors", "torch") or (arch and not is_clip_architecture(arch)):
        return
    for place in places(checkpoint.tensors):
        if "textual.token_embed.weight" in place.tensors and "visual.patch_embed.proj.weight" in place.tensors:
            found = _of_authors(place, arch)
            if found.missing:  # its image tower alone would pass for another model
                raise MucError(
                    f"{checkpoint.name} is a {found.format}, but not a whole one of {found.architecture}; missing: "
                    f"{shortened(found.missing)}. Name a whole one, or another architecture with --arch"
                )
            yield found
        elif LIFT.keys() <= place.tensors.keys():
            yield from _ours(place, arch)


def _of_authors(place: Place, arch: str | None) -> Recognition:
    width = place.tensors["visual.patch_embed.proj.weight"].shape[0]
    architecture = arch or BY_WIDTH.get(width, BY_WIDTH[384])
    named = {_usual(name): name for name in place.tensors if name not in _ASIDE and name not in LIFT.values()}
    tensors = {name: place.tensors[theirs] for name, theirs in named.items()}
    if (projection := tensors.get("text_projection")) is not None:
        tensors["text_projection"] = projection.T.contiguous()  # of a linear layer there, a matrix here
    towers = Place(place.prefix, tensors, {name: place.names[theirs] for name, theirs in named.items()})
    lift = LIFT if LIFT.values() & place.tensors.keys() else {}
    return _recognition(
        "checkpoint in its authors' naming" if lift else "checkpoint in the naming of MERU's authors",
        place,
        fit(f"{CLIP}{architecture}", towers),
        lift,
        _preprocessing(place.tensors, preprocessing_of(skeleton(f"{CLIP}{architecture}"))),
        "the checkpoint's own mean and deviation, and the authors' size and bicubic interpolation",
        notes=("Texts are split into tokens by open_clip's tokenizer of CLIP, whose vocabulary the authors use.",),
    )


def _ours(place: Place, arch: str | None) -> Iterator[Recognition]:
    inner = {name.removeprefix(TOWERS): name for name in place.tensors if name.startswith(TOWERS)}
    towers = Place(
        place.prefix + TOWERS,
        {short: place.tensors[name] for short, name in inner.items()},
        {short: place.names[name] for short, name in inner.items()},
    )
    fits = best_fits(towers, f"{CLIP}{arch}" if arch else None, clip_models=True, most=1)
    for best in fits:
        architecture = best.model.removeprefix(CLIP)
        yield _recognition(
            "weights of this program",
            place,
            best,
            {name: name for name in LIFT},
            preprocessing_of(skeleton(best.model)),
            f"that of {architecture}",
        )


def _recognition(
    kind: str,
    place: Place,
    towers: Fit,
    lift: Mapping[str, str],
    preprocessing: Preprocessing,
    source: str,
    notes: tuple[str, ...] = (),
) -> Recognition:
    """
    Args:
        towers: CLIP's towers.
        lift: our names of the numbers that lift, and the file's; of none: a CLIP.
    """
    weights = dict(towers.weights)
    scale, wanted = towers.place.tensors.get("logit_scale"), skeleton(towers.model).state_dict()["logit_scale"]
    if scale is not None and scale.numel() == wanted.numel():
        weights["logit_scale"] = scale.reshape(wanted.shape)
    numbers = {ours: place.tensors[theirs] for ours, theirs in lift.items() if theirs in place.tensors}
    fitting = {ours: held.reshape(()).float() for ours, held in numbers.items() if held.numel() == 1}
    matched = (*towers.matched, *(place.names[lift[ours]] for ours in fitting))
    missing = (*towers.missing, *(f"{place.prefix}{lift[ours]} []" for ours in lift.keys() - fitting.keys()))
    where = f", at {place.prefix.rstrip('.')}" if place.prefix else ""
    return Recognition(
        format=f"{'MERU' if lift else 'CLIP'} {kind}{where}",
        family="meru" if lift else "clip",
        architecture=towers.model.removeprefix(CLIP),
        preprocessing=preprocessing,
        preprocessing_source=source,
        matched=matched,
        missing=missing,
        unexpected=towers.unexpected,
        share=len(matched) / max(1, len(matched) + len(missing) + len(towers.unexpected)),
        weights={f"{TOWERS}{name}": held for name, held in weights.items()} | fitting if lift else weights,
        notes=notes,
    )


def _usual(name: str) -> str:
    for theirs, ours in _THEIRS:
        if re.match(theirs, name):
            return re.sub(f"^{theirs}", ours, name)
    return name


def _preprocessing(tensors: Mapping[str, Tensor], own: Preprocessing) -> Preprocessing:
    """With the mean and deviation that a checkpoint holds beside the weights."""
    held = {"mean": tensors.get("pixel_mean"), "std": tensors.get("pixel_std")}
    known = {
        name: tuple(some.flatten().tolist()) for name, some in held.items() if some is not None and some.numel() == 3
    }
    return Preprocessing.model_validate({**own.model_dump(), **known})


FORMATS.register("meru", Format("meru", _recognise))
