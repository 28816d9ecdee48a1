"""A small audit with its evidence, for the tests."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from muc_core.audit.audit import AuditSettings
from muc_core.audit.honesty import singled_out
from muc_core.audit.inputs import AuditInputs
from muc_core.audit.result import Check, Mode
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.evidence.container import write_container
from muc_core.evidence.keys import Ed25519PrivateKey
from muc_core.evidence.manifest import EncoderIdentity
from muc_core.evidence.pack import Draft, sign, take_down
from muc_core.reports.evidence import write_reports
from muc_core.similarity import COSINE, Similarity

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TITLE = "Did <it> forget?"
OWNER, CONTROLS = 8, 24


def inputs(mode: Mode = "image-text", similarity: Similarity = COSINE) -> AuditInputs:
    rng = np.random.default_rng(0)

    def vectors(memory: float) -> Vectors:
        centres = rng.normal(size=(OWNER + CONTROLS, 6)) * (1 + memory * (np.arange(OWNER + CONTROLS) < OWNER))[:, None]
        views = (centres + rng.normal(size=(2, *centres.shape))).astype(np.float32)
        texts = (centres + rng.normal(size=centres.shape)).astype(np.float32)
        return ImageTextVectors(views, texts, similarity) if mode == "image-text" else ViewVectors(views, similarity)

    before, after = vectors(2.0), vectors(0.0)
    owner, controls = tuple(f"mine/{i}.png" for i in range(OWNER)), tuple(f"c{i}" for i in range(CONTROLS))
    return AuditInputs(
        {"before": before, "after": after},
        owner,
        controls,
        AuditSettings(permutations=99, seed=3),
        checks=(
            Check(name="Canary", passed=None, value="not asked", meaning="It was asked once only."),
            singled_out(after, before, owner + controls, OWNER, seed=3),
        ),
        warnings=("Something is known of the pictures.",),
    )


def pictures(n: int, seed: int) -> ImageTextDataset:
    pixels = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return ImageTextDataset("tiny", [Item(f"{seed}-{i}") for i in range(n)], TensorImages(pixels))


@cache
def draft(mode: Mode = "image-text", similarity: Similarity = COSINE) -> Draft:
    made_from = inputs(mode, similarity)
    return take_down(
        made_from,
        made_from.result(),
        title=TITLE,
        owner=pictures(OWNER, 1),
        controls=pictures(CONTROLS, 2),
        encoders={role: EncoderIdentity(name=f"demo-{role}", digest="0" * 64) for role in ("before", "after")},
        salt=b"s" * 32,
    )


@cache
def pack(mode: Mode = "image-text", similarity: Similarity = COSINE) -> bytes:
    return sign(draft(mode, similarity), KEY, write_reports)


def retitled(title: str) -> bytes:
    """A pack whose signer gave it this title."""
    statement = draft().statement.model_copy(update={"title": title})
    return sign(replace(draft(), statement=statement), KEY, write_reports)


def signed_anew(files: Mapping[str, bytes], manifest: Mapping[str, object] | None = None) -> bytes:
    """A consistent pack of changed files, as the signer could make it: digests and signature fit."""

    told = json.loads(files["manifest.json"]) | dict(manifest or {})
    told["files"] = {name: hashlib.sha256(files[name]).hexdigest() for name in told["files"]}
    content = json.dumps(told).encode()
    return write_container({**files, "manifest.json": content, "manifest.sig": KEY.sign(content)})
