"""Settings that every training and unlearning run has, and the seeds it records."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from muc_core.data.augment import AugmentSettings


class TrainingSettings(BaseModel):
    """How long, how fast and with which optimiser; methods add their own fields and defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(10, ge=1, le=10_000, description="Passes over the data. More epochs change the encoder more.")
    batch_size: int = Field(
        128, ge=2, le=65_536, description="Pictures in one step; each is contrasted with the others."
    )
    learning_rate: float = Field(
        5e-4, gt=0, le=10, description="Size of one step. Higher forgets faster and harms the rest sooner."
    )
    schedule: Literal["cosine", "constant"] = Field(
        "constant", description="Whether the learning rate falls to zero along a cosine or stays as it is."
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Share of the steps over which the learning rate rises to its full size."
    )
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, usual for CLIP, or SGD with momentum.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD; AdamW does not use it.")
    weight_decay: float = Field(0.1, ge=0, le=10, description="Pull of all weights towards zero.")
    gradient_clip: float | None = Field(
        1.0,
        gt=0,
        description="Longest gradient that is followed, so that no single step destroys the encoder; empty: any.",
    )
    salient: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the weights that move: those that matter most for the forget set (SalUn: 0.5); 1: all.",
    )
    contrast: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Classifiers only: lambda, weight of CoUn's contrastive term on retained pictures; 0: without it.",
    )
    contrast_temperature: float = Field(
        0.1, gt=0, le=10, description="tau of that term: lower tells pictures apart more sharply."
    )
    checkpoints: int = Field(
        10, ge=1, le=1000, description="States kept along the way, at even distances; the last is the result."
    )
    temperature: float | None = Field(
        None,
        gt=0,
        le=10,
        description="tau of a two-view loss: lower tells pictures apart more sharply; empty: as it is. CLIP learns it.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Arithmetic of the encoder; auto takes bfloat16 on a GPU or a CPU built for it, otherwise float32. "
        "Losses are always computed in float32.",
    )
    chunk_size: int | None = Field(
        None,
        ge=1,
        description="Most pictures that pass through the encoder at once, for a large batch_size in little memory "
        "(GradCache): same result, a third more computing, no batch norm; empty: all.",
    )
    channels_last: bool = Field(True, description="Memory layout that lets convolutions run faster.")
    augment: AugmentSettings | None = Field(
        None, description="Random views of the pictures; empty: those of the family."
    )


class CalibrationSettings(TrainingSettings):
    """Training settings of the methods that calibrate; their defaults suit the demo's CLIP."""

    epochs: int = Field(8, ge=1, le=10_000, description="Passes over all the data. More of them change more.")
    learning_rate: float = Field(
        1e-3, gt=0, le=10, description="Size of one step. Higher forgets faster and harms the rest sooner."
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Whether the learning rate falls to zero along a cosine or stays as it is."
    )


class Seeds(BaseModel):
    """One seed per concern, so that each can be varied alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: int = Field(ge=0, description="Initial weights.")
    order: int = Field(ge=0, description="Order of the samples.")
    views: int = Field(ge=0, description="Augmentation.")
    partners: int = Field(ge=0, description="What forget samples are set against: each other, or never-seen samples.")

    @classmethod
    def from_one(cls, seed: int) -> "Seeds":
        """Four independent seeds from one (numpy's SeedSequence)."""
        weights, order, views, partners = (int(s) for s in np.random.SeedSequence(seed).generate_state(4))
        return cls(weights=weights, order=order, views=views, partners=partners)
