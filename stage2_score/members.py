"""What an experiment of this stage may say: the frozen dataclasses behind configs/<profile>/<run>.yaml (no torch here)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ra import config as config_module
from ra.config import Named, UserError

CONFIGS = Path(__file__).parent / "configs"


def cores() -> int:
    """Cores that this process may use: those of its affinity, fewer when OMP_NUM_THREADS says so."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(found, int(limit))) if limit.isdigit() else found


@dataclass(frozen=True)
class Augment:
    """Random change of a training picture (albumentations); 0 switches a row off."""

    rotate_deg: float = 8.0  # +- degrees; crops are already turned along the finger
    shift_frac: float = 0.05  # +- share of the side: what a detector misses the centre by
    scale_frac: float = 0.10  # +- share
    brightness: float = 0.12  # +- share of the full range
    contrast: float = 0.20  # +- share
    gamma: float = 0.20  # +- share
    noise: float = 0.03  # standard deviation up to this share of the full range
    blur_px: int = 3  # largest kernel, odd
    cutout_frac: float = 0.15  # side of a blanked square; 0 for none
    photo_p: float = 0.5  # probability of each photometric row
    flip_p: float = 0.0  # canonical pictures have no mirror twin; leave 0 unless a paper flips


@dataclass(frozen=True)
class Sampler:
    """Which pictures an epoch draws: all (each once) or balanced (damaged joints more often)."""

    name: Literal["all", "balanced"] = "balanced"
    strength: float = 0.5  # 0 as they come, 1 every worst grade of a joint equally often
    correct: float = 0.7  # 0..1: weigh the loss back towards the natural frequencies
    epoch_size: int | None = None  # pictures per epoch; null: as many as there are


@dataclass(frozen=True)
class Optim:
    """AdamW under one schedule."""

    epochs: int = 10
    batch: int = 64
    lr: float = 2e-3  # the schedule's peak
    weight_decay: float = 0.02
    schedule: Literal["onecycle", "cosine"] = "onecycle"
    warmup_frac: float = 0.2  # share of the steps until the peak
    ema: float = 0.98  # decay per step of the averaged weights that are validated and kept; 0 for none
    clip: float = 5.0  # largest gradient norm
    patience: int = 6  # epochs without a better validation before stopping
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: a few timed steps decide


@dataclass(frozen=True)
class Crops:
    """How joints are cut. Sizes are in units of the film's own scale, the RMS distance of its joints from their centroid."""

    out_px: int = 80
    finger: float = 0.55  # side of a finger joint's crop / scale
    wrist: float = 0.62
    toe: float = 1.10
    canvas_px: int = 160  # whole part: side of the square
    canvas_margin: float = 0.22  # added around the joints' extent, share of it
    low_percentile: float = 2.0  # grey that becomes black, within the region of interest
    high_percentile: float = 99.7  # grey that becomes white


Weights = Literal["scratch", "bone_age", "hub"]


@dataclass(frozen=True)
class Pretrain:
    """A backbone's bone-age regression, from which members start."""

    backbone: Named = field(default_factory=lambda: Named("resnet18"))
    pictures: Literal["crops", "canvases"] = "crops"
    crops: str = "crops"  # the run of stage2_score.crops that cut the pictures
    weights: tuple[Weights, ...] = ("scratch",)  # where the backbone itself starts: the first that can be had
    embedding: int = 16
    dropout: float = 0.1
    augment: Augment = field(default_factory=Augment)
    sampler: Sampler = field(default_factory=lambda: Sampler(name="all"))
    optim: Optim = field(default_factory=Optim)
    held_back_frac: float = 0.15  # share of the persons that validate
    seed: int = 0


@dataclass(frozen=True)
class Member:
    """One scorer: joints (a distribution per site), whole (a part's totals) or sitemean (the null model)."""

    kind: Literal["joints", "whole", "sitemean"] = "joints"
    backbone: Named = field(default_factory=lambda: Named("resnet18"))
    head: Named = field(default_factory=lambda: Named("grades"))
    loss: Named = field(default_factory=lambda: Named("grades_log"))
    crops: str = "crops"
    weights: tuple[Weights, ...] = ("bone_age",)  # the first that can be had
    pretrained: str | None = None  # the run of stage2_score.pretrain to start from (weights bone_age)
    embedding: int = 16
    dropout: float = 0.2
    augment: Augment = field(default_factory=Augment)
    sampler: Sampler = field(default_factory=Sampler)
    optim: Optim = field(default_factory=Optim)
    held_back_frac: float = 0.12  # share of the training folds' persons that choose the epoch
    tta: int = 1  # views averaged at prediction; 1: the plain picture alone
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind != "sitemean" and "bone_age" in self.weights and not self.pretrained:
            raise UserError("weights: bone_age needs pretrained: the name of a run of stage2_score.pretrain")
        if not self.weights:
            raise UserError("weights is empty; name at least one of scratch, bone_age, hub")


@dataclass(frozen=True)
class Place:
    """Where a training reads and runs: prepared set, the bone-age set it starts from, device, loader processes."""

    data: str
    bone_age: str
    device: str = "cpu"
    workers: int = 0


def load(cls: type, args: Any) -> list[tuple[str, Any]]:
    """(run name, config) of each YAML that the command line names; a run is called like its file unless --run says."""
    files = [*([args.config] if args.config else []), *args.configs]
    if not files:
        raise UserError(f"no config given; for example {CONFIGS.name}/demo holds one YAML per experiment")
    if args.run and len(files) > 1:
        raise UserError("--run names one run, but several configs were given; give one config with --run")
    pairs = [(args.run or Path(f).stem, config_module.load(cls, f, args.sets)) for f in files]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise UserError(f"two configs share the run name {max(names, key=names.count)}; rename one file")
    return pairs


def parser(doc: str) -> Any:
    """The shared flags, and those of this stage's verbs."""
    p = config_module.parser(doc)
    p.add_argument("configs", nargs="*", metavar="YAML", help="experiments, one run each (more than one: they share the cores)")
    p.add_argument("--run", metavar="NAME", help="name of the run (default: the config's file name)")
    p.add_argument("--jobs", type=int, default=0, metavar="N", help="processes at a time; 0: one per core, one on a GPU")
    p.add_argument("--workers", type=int, default=0, metavar="N", help="loader processes per training (for GPUs; default 0)")
    return p
