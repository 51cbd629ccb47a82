"""What an experiment of stage 1 may say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ra import paths
from ra.config import UserError

SHIPPED = Path(__file__).parent / "weights" / "joints.safetensors"


@dataclass(frozen=True)
class Detector:
    """One YAML in configs/<profile>/. The null model `template` puts every joint at its usual place on the film."""

    kind: Literal["yolo", "template"]
    model: str = "yolo11n.yaml"  # any ultralytics detection architecture; n, s, m ... in its name scale it
    imgsz: int = 320  # long side of the network's input, px
    start: str = "shipped"  # starting weights: shipped, scratch, or a .safetensors of another set (relative to the checkout)
    epochs: int = 2  # of finetuning per fold where the starting weights already read the set's films; 0: no finetuning at all
    epochs_foreign: int = 10  # where they do not: films of another kind
    steps_foreign: int = 120  # and at least so many steps of the optimizer, however few the films
    familiar: float = 0.97  # share of joints within 2 % of the long side from which a set is not foreign
    max_films: int = 0  # films per epoch at most, 0 all: finetuning saturates early
    batch: int = 16
    lr: float = 5e-4  # peak learning rate of AdamW
    workers: int = 2  # loader processes
    seed: int = 0

    def weights(self) -> Path:
        """The file that reads films before anything is trained; from scratch, that is the one that ships."""
        if self.start in {"shipped", "scratch"}:
            return SHIPPED
        path = paths.ROOT / self.start  # an absolute path stays itself
        if not path.is_file():
            raise UserError(f"start: {self.start} is no file; write shipped, scratch or the path of a .safetensors of stage 1")
        return path
