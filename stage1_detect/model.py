"""The network: an ultralytics architecture with our 28 joints as classes, kept as safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import SETTINGS

from ra.anatomy import ALL_JOINTS
from ra.config import UserError
from stage1_detect import shape_model
from stage1_detect.config import SHIPPED

TRACKERS = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "wandb", "tensorboard")
SETTINGS.update({key: False for key in TRACKERS if key in SETTINGS})


class Unmarked:
    """The classification loss without what the boxes' file does not tell: a joint without a box is no background there.

    known: (B, 28) float, 0 for the classes of joints that may lie on a film unmarked.
    """

    def __init__(self) -> None:
        self.known: torch.Tensor | None = None

    def __call__(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return loss if self.known is None else loss * self.known[:, None].to(loss)


class JointModel(DetectionModel):
    """ultralytics' network whose passes run in bfloat16 on processors that multiply it natively; losses stay in float32."""

    half_on_cpu = False
    marked: dict[str, list[float]] | None = None  # picture -> 1 per class, 0 where the class may be there unmarked

    def loss(self, batch, preds=None):
        """As DetectionModel.loss, without the classes that are not `marked`."""
        if not self.marked:
            return super().loss(batch, preds)
        if getattr(self, "criterion", None) is None:
            self.criterion = self.init_criterion()
        bce = Unmarked()
        bce.known = torch.tensor([self.marked[Path(name).name] for name in batch["im_file"]], device=batch["img"].device)
        for head in ("one2many", "one2one"):  # networks with two heads have a loss for each
            getattr(self.criterion, head, self.criterion).bce = bce
        return super().loss(batch, preds)

    def predict(self, x, *args, **kwargs):
        """As DetectionModel.predict, with float32 results."""
        if not (self.half_on_cpu and x.device.type == "cpu"):
            return super().predict(x, *args, **kwargs)
        with torch.autocast("cpu", torch.bfloat16):
            out = super().predict(x.contiguous(memory_format=torch.channels_last), *args, **kwargs)
        return _to_float(out)


def _to_float(value):
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {k: _to_float(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_float(v) for v in value)
    return value


def build(architecture: str) -> JointModel:
    """An untrained network with one class per joint; UserError for an architecture that ultralytics does not know."""
    try:
        model = JointModel(architecture, ch=3, nc=len(ALL_JOINTS), verbose=False)
    except (FileNotFoundError, KeyError) as error:
        raise UserError(f"model {architecture!r} is not an ultralytics detection architecture, such as yolo11n.yaml") from error
    model.names = dict(enumerate(ALL_JOINTS))
    return model


def save(
    model: torch.nn.Module, path: Path, architecture: str, imgsz: int, shapes: dict[str, shape_model.Shape] | None = None
) -> None:
    """Weights as half-precision safetensors, with what is needed to build the network again and the shapes that go with it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        k: v.detach().cpu().half().contiguous() if v.is_floating_point() else v.cpu() for k, v in model.state_dict().items()
    }
    temporary = path.with_suffix(".tmp")
    metadata = {"architecture": architecture, "imgsz": str(imgsz), "joints": " ".join(ALL_JOINTS)}
    save_file(tensors, temporary, metadata=metadata | ({"shapes": shape_model.dumps(shapes)} if shapes else {}))
    temporary.replace(path)


def load(path: Path, device: str = "cpu") -> tuple[JointModel, int]:
    """The network of a safetensors file, ready to predict, and the input size it was trained at."""
    return detector(path, device)[:2]


def detector(path: Path, device: str = "cpu") -> tuple[JointModel, int, dict[str, shape_model.Shape]]:
    """Network, input size and shapes of a safetensors file; the shapes that ship where it has none of a limb."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"detector weights {path} cannot be read ({error}); give a .safetensors file that stage 1 wrote"
        ) from error
    if metadata.get("joints", "").split() != list(ALL_JOINTS):
        raise UserError(f"detector weights {path} are for other joints; give a .safetensors file that stage 1 wrote")
    model = build(metadata["architecture"])
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    shapes = shape_model.load() | shape_model.loads(metadata.get("shapes", "{}"))
    return model.eval().to(device), int(metadata["imgsz"]), shapes


def shipped(device: str = "cpu") -> tuple[JointModel, int, dict[str, shape_model.Shape]]:
    """The detector that comes with the project: network, input size, shapes."""
    return detector(SHIPPED, device)


def device_of(flag: str) -> str:
    """torch's device for the --device flag."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if flag == "auto" else flag


@torch.inference_mode()
def predict(model: JointModel, images: np.ndarray) -> np.ndarray:
    """Raw predictions of grey images (B, H, W) uint8, sides multiples of 32: (B, N, 4 + 28), xywh in px and scores 0..1."""
    device = next(model.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(images)).to(device).float().div_(255)[:, None].expand(-1, 3, -1, -1)
    out = model(x)
    return (out[0] if isinstance(out, (tuple, list)) else out).transpose(1, 2).float().cpu().numpy()
