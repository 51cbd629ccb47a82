"""What an experiment of stage 1 may say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Detector:
    """One YAML in configs/<profile>/. The null model `template` puts every joint at its usual place on the film."""

    kind: Literal["yolo", "template"] = "yolo"
    model: str = "yolo11n.yaml"  # any ultralytics detection architecture; n, s, m ... in its name scale it
    imgsz: int = 320  # long side of the network's input, px
    start: Literal["shipped", "scratch"] = "shipped"  # starting weights
    epochs: int = 2  # of finetuning per fold where the shipped weights already read the set's films; 0: no finetuning at all
    epochs_foreign: int = 10  # where they do not: films of another kind
    familiar: float = 0.97  # share of joints within 2 % of the long side from which a set is not foreign
    max_films: int = 0  # films per epoch at most, 0 all: finetuning saturates early
    batch: int = 16
    lr: float = 5e-4  # peak learning rate of AdamW
    workers: int = 2  # loader processes
    seed: int = 0
