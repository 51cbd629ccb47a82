"""Config schema of stage 1."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ra import paths
from ra.config import UserError

SHIPPED = Path(__file__).parent / "weights" / "joints.safetensors"
CONFIGS = paths.ROOT / "configs" / "joints" / "detect"


@dataclass(frozen=True)
class DetectorConfig:
    """One experiment, such as configs/joints/detect/yolo.yaml.

    The null model `template` puts every joint at its typical position on the film.
    """

    kind: Literal["yolo", "template"]
    model: str = "yolo11n.yaml"  # any ultralytics detection architecture; the letter n, s, m ... in its name is its size
    imgsz: int = 320  # long side of the network's input, px
    start: str = "shipped"  # starting weights: shipped, scratch, or a .safetensors of another set (relative to the checkout)
    epochs: int = 2  # of finetuning per fold if the starting weights already locate the set's joints; 0: no finetuning at all
    epochs_out_of_domain: int = 10  # of finetuning per fold if they do not (films of another kind)
    steps_out_of_domain: int = 120  # least number of optimizer steps in that case, however few the films
    min_fraction_located: float = 0.97  # joints within 2 % of the long side; a set with fewer is out of domain
    max_films: int = 0  # films per epoch at most, 0 all: finetuning saturates early
    batch: int = 16
    lr: float = 5e-4  # peak learning rate of AdamW
    workers: int = 2  # loader processes
    seed: int = 0

    def weights(self) -> Path:
        """File of the starting weights; if training starts from scratch, the shipped ones, for reading before that."""
        if self.start in {"shipped", "scratch"}:
            return SHIPPED
        path = paths.ROOT / self.start  # an absolute path stays as it is
        if not path.is_file():
            raise UserError(f"start: {self.start} is not a file; write shipped, scratch or the path of a .safetensors of stage 1")
        return path


KINDS = {"yolo": DetectorConfig, "template": DetectorConfig}
