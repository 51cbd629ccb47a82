"""Config schema of this stage: one dataclass per kind of experiment, chosen by the experiment's `kind:` (no torch here)."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Literal, get_args

from ra import paths
from ra.config import Named, UserError, experiments


@dataclass(frozen=True)
class Augment:
    """Random changes of a training picture (albumentations); 0 switches a change off."""

    rotate_deg: float = 8.0  # +- degrees; crops are already turned along the finger
    shift_frac: float = 0.05  # +- share of the side: the error of a detector's box centre
    scale_frac: float = 0.10  # +- share
    stretch_frac: float = 0.0  # +- share, drawn for width and height separately
    shear_deg: float = 0.0  # +- degrees
    brightness: float = 0.12  # +- share of the full range
    contrast: float = 0.20  # +- share
    gamma: float = 0.20  # +- share
    noise: float = 0.03  # standard deviation up to this share of the full range
    blur_px: int = 3  # largest kernel, odd
    cutout_frac: float = 0.15  # side of a blanked square; 0 for no square
    photo_p: float = 0.5  # probability of each photometric change
    flip_p: float = 0.0  # left to right; canonical pictures are never mirror images, so leave it 0 unless a paper flips
    flip_vertical_p: float = 0.0
    quarter_turns: bool = False  # one of 0, 90, 180, 270 degrees
    border: Literal["replicate", "black"] = "replicate"  # what fills a turned picture beyond its edge


@dataclass(frozen=True)
class Sampler:
    """Which pictures an epoch draws: all (each once), balanced (damaged joints more often), or weighted (each once; rare grades
    have a larger weight in the loss)."""

    name: Literal["all", "balanced", "weighted"] = "balanced"
    strength: float = 0.5  # 0: natural frequencies, 1: every worst grade of a joint equally often
    correct: float = 0.7  # 0..1: how far loss weights compensate for the changed frequencies
    epoch_size: int | None = None  # pictures per epoch; null: as many as the training set has


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs of a training under one schedule. Frozen modules keep their weights and batch statistics."""

    epochs: int
    lr: float
    freeze: tuple[str, ...] = ()  # modules of the network, such as backbone or backbone.layer1


@dataclass(frozen=True)
class Optim:
    """One optimizer under one schedule, or under several phases in turn."""

    epochs: int = 10
    batch: int = 64
    lr: float = 2e-3  # the schedule's peak
    freeze: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()  # replaces epochs, lr and freeze
    name: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: float = 0.9  # sgd only
    weight_decay: float = 0.02
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    warmup_frac: float = 0.2  # share of the steps until the peak
    ema: float = 0.98  # decay per step of the averaged weights that are validated and saved; 0: no averaging
    clip: float = 5.0  # largest gradient norm; 0: no limit
    patience: int = 6  # epochs without a better validation before the phase ends
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: a few timed steps decide

    @property
    def schedule_phases(self) -> tuple[Phase, ...]:
        """The phases, or epochs, lr and freeze as the only phase."""
        return self.phases or (Phase(self.epochs, self.lr, self.freeze),)


@dataclass(frozen=True)
class Crops:
    """How joints are cut. Sizes are in units of the film's scale, the RMS distance of its joints from their centroid."""

    kind: Literal["crops"] = "crops"
    boxes: str = "yolo"  # the stage-1 run whose boxes are cut; truth: the boxes that came with the set
    out_px: int = 80
    finger: float = 0.55  # side of a finger joint's crop / scale
    wrist: float = 0.62
    toe: float = 1.10
    canvas_px: int = 160  # whole part: side of the square
    canvas_margin: float = 0.22  # added on every side of the joints' extent, as a share of it
    low_percentile: float = 2.0  # grey that becomes black, within the region of interest
    high_percentile: float = 99.7  # grey that becomes white
    # canonical: scaled by the film and turned along the finger. box: the joint's box, upright, black beyond it, unchanged greys;
    # the whole wrist is cut as one more joint
    cut: Literal["canonical", "box"] = "canonical"


@dataclass(frozen=True)
class WholeFilms:
    """How whole films are cut."""

    kind: Literal["whole_films"] = "whole_films"
    roi_width_px: int = 864  # one limb's picture; a multiple of 32, as U-Nets need
    roi_height_px: int = 928
    hands_px: int = 1024  # side of the square that shows both hands
    low_percentile: float = 1.0  # grey that becomes black
    high_percentile: float = 99.7  # grey that becomes white

    def __post_init__(self) -> None:
        sides = {name: getattr(self, name) for name in ("roi_width_px", "roi_height_px", "hands_px")}
        wrong = [f"{name} is {px}" for name, px in sides.items() if px <= 0 or px % 32]
        if wrong:
            raise UserError(f"{wrong[0]}; give a multiple of 32 px above 0")


Weights = Literal["scratch", "bone_age", "hub"]


@dataclass(frozen=True)
class Pretrain:
    """Bone-age regression of a backbone, whose weights members start from."""

    kind: Literal["bone_age"] = "bone_age"
    backbone: Named = field(default_factory=lambda: Named("resnet18"))
    pictures: str = "crops"  # the run of stage2_score.pictures that cut the films
    input: Literal["crops", "canvases", "hands"] = "crops"  # which pictures of that run the network sees
    loss: Named = field(default_factory=lambda: Named("age_l1"))
    sex: bool = True  # the child's sex is an input of the head
    weights: tuple[Weights, ...] = ("scratch",)  # starting weights of the backbone: the first that are available
    embedding: int = 16  # length of the vector that identifies the joint; 0: no such vector
    dropout: float = 0.1
    augment: Augment = field(default_factory=Augment)
    sampler: Sampler = field(default_factory=lambda: Sampler(name="all"))
    optim: Optim = field(default_factory=Optim)
    held_back_frac: float = 0.15  # share of the persons who are used for validation only
    seed: int = 0


MemberKind = Literal["joints", "ratingen", "whole", "hands", "severity", "film", "sitemean"]


@dataclass(frozen=True)
class Member:
    """One model of the ensemble. The kind decides its input and what it predicts (stage2_score/tasks/):

    joints    a joint's crop      grades of its erosion and narrowing
    ratingen  a joint's crop      the eroded percentage of its surface, or its Ratingen grade
    whole     a hand or a foot    its totals of erosion and narrowing
    hands     both hands at once  their total
    severity  both hands at once  an ordered class of their total
    film      a film              every joint's position and grades
    sitemean  no picture          the null model: grade frequencies of each site
    """

    kind: MemberKind
    backbone: Named = field(default_factory=lambda: Named("resnet18"))
    head: Named = field(default_factory=lambda: Named("grades"))
    loss: Named = field(default_factory=lambda: Named("grades_log"))
    pictures: str = "crops"  # the run of stage2_score.pictures that cut the films
    weights: tuple[Weights, ...] = ("bone_age",)  # starting weights: the first that are available
    pretrained: str | None = None  # the run of stage2_score.pretrain to start from (weights bone_age)
    embedding: int = 16
    dropout: float = 0.2
    augment: Augment = field(default_factory=Augment)
    sampler: Sampler = field(default_factory=Sampler)
    optim: Optim = field(default_factory=Optim)
    held_back_frac: float = 0.12  # share of the training folds' persons who are used only for choosing the epoch
    holdout: tuple[float, ...] = ()  # shares trained on, held back and predicted, replacing the folds: [0.7, 0.2, 0.1]
    tta: int = 1  # test-time views averaged at prediction; 1: only the plain picture
    trim: float = 0.0  # share of the views that is left out at either end before averaging
    trained: str | None = None  # a run with the same network: its folds' weights are used unchanged, without training
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.trim < 0.5:
            raise UserError(f"trim is {self.trim}; give the share of views to leave out at either end, 0 to below 0.5")
        if self.sees_pictures and "bone_age" in self.weights and not (self.pretrained or self.trained):
            raise UserError("weights: bone_age needs pretrained: the name of a run of stage2_score.pretrain")
        if not self.weights:
            raise UserError("weights is empty; name at least one of scratch, bone_age, hub")
        if self.holdout and (len(self.holdout) != 3 or abs(sum(self.holdout) - 1) > 1e-6 or min(self.holdout) <= 0):
            raise UserError(f"holdout is {list(self.holdout)}; give three shares that sum to 1, for example [0.7, 0.2, 0.1]")

    @property
    def sees_pictures(self) -> bool:
        """False for the null model, which needs neither pictures nor weights."""
        return self.kind != "sitemean"


@dataclass(frozen=True)
class TrainingContext:
    """The prepared set that a training reads, the bone-age set it starts from, its device and its loader processes."""

    data: str
    bone_age: str
    device: str = "cpu"
    workers: int = 0
    wandb: bool = False


PICTURES: dict[str, type] = {"crops": Crops, "whole_films": WholeFilms}  # dataclass of each kind of experiment
PRETRAINING = {"bone_age": Pretrain}
MEMBERS: dict[str, type] = dict.fromkeys(get_args(MemberKind), Member)


def add_configs(p: argparse.ArgumentParser, kinds: dict[str, type]) -> None:
    """Add the positional argument `configs` of a verb that takes experiments of some kinds."""
    kind = "kind " + ", ".join(kinds) if len(kinds) < len(MEMBERS) else "members"
    p.add_argument("configs", nargs="+", metavar="CONFIG", help=f"experiment file ({kind}), or a folder of them")


def load_members(args: argparse.Namespace) -> list[tuple[str, Member]]:
    """(run, member) of a verb's experiments, without those of kind ratingen if the set has no Ratingen scores.

    If all are of that kind they are kept, so that the verb reports the missing scores as an error.
    """
    members = experiments(MEMBERS, args.configs, args.profile, args.sets, args.run)
    others = [(name, member) for name, member in members if member.kind != "ratingen"]
    if not others or len(others) == len(members) or paths.ratingen(args.data).is_file():
        return members
    left_out = ", ".join(name for name, member in members if member.kind == "ratingen")
    print(f"{args.data} has no Ratingen scores; left out: {left_out}", flush=True)
    return others
