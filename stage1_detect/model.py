"""The network: an ultralytics architecture with the 28 joints as classes, stored as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import SETTINGS

from ra import atomic, cli
from ra.anatomy import ALL_JOINTS
from ra.config import UserError
from stage1_detect import shape_model
from stage1_detect.config import SHIPPED

TRACKERS = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "wandb", "tensorboard")
SETTINGS.update({key: False for key in TRACKERS if key in SETTINGS})


class MaskedLoss:
    """Classification loss of the classes in `mask` (B, 28): 0 for a joint that has no box on a film but may lie on it.

    Without the mask an unlabelled joint would be trained as background.
    """

    def __init__(self, mask: torch.Tensor) -> None:
        self.mask = mask

    def __call__(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return loss * self.mask[:, None].to(loss)


class JointModel(DetectionModel):
    """ultralytics' network. half_on_cpu: on a CPU its passes run in bfloat16 (see trainer._bf16_pays), its losses in float32."""

    half_on_cpu = False
    label_masks: dict[str, list[float]] | None = None  # picture's name -> mask over classes, see MaskedLoss

    def loss(self, batch, preds=None):
        """DetectionModel.loss without the classes that are masked on a picture."""
        if not self.label_masks:
            return super().loss(batch, preds)
        if getattr(self, "criterion", None) is None:
            self.criterion = self.init_criterion()
        masks = [self.label_masks[Path(name).name] for name in batch["im_file"]]
        bce = MaskedLoss(torch.tensor(masks, device=batch["img"].device))
        for head in ("one2many", "one2one"):  # networks with two heads have a loss for each
            getattr(self.criterion, head, self.criterion).bce = bce
        return super().loss(batch, preds)

    def predict(self, x, *args, **kwargs):
        """DetectionModel.predict with float32 results."""
        if not (self.half_on_cpu and x.device.type == "cpu"):
            return super().predict(x, *args, **kwargs)
        with torch.autocast("cpu", torch.bfloat16):
            out = super().predict(x.contiguous(memory_format=torch.channels_last), *args, **kwargs)
        return _to_float(out)


def _to_float(value: Any) -> Any:
    """The value with every floating-point tensor in it as float32."""
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


class Detector(NamedTuple):
    """A network ready to predict, the input size it was trained at, and the shapes by limb that name its detections."""

    network: JointModel
    imgsz: int
    shapes: dict[str, shape_model.Shape]


def save(
    model: torch.nn.Module, path: Path, architecture: str, imgsz: int, shapes: dict[str, shape_model.Shape] | None = None
) -> None:
    """Write half-precision weights as safetensors, with what `load` needs: architecture, input size, joints and shapes."""
    tensors = {
        k: v.detach().cpu().half().contiguous() if v.is_floating_point() else v.cpu() for k, v in model.state_dict().items()
    }
    metadata = {"architecture": architecture, "imgsz": str(imgsz), "joints": " ".join(ALL_JOINTS)}
    if shapes:
        metadata["shapes"] = shape_model.dumps(shapes)
    with atomic.replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def load(path: Path, device: str = "cpu") -> Detector:
    """The detector in a safetensors file; a limb for which the file has no shape gets the shipped shape."""
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
    return Detector(model.eval().to(device), int(metadata["imgsz"]), shapes)


def shipped(device: str = "cpu") -> Detector:
    """The detector that ships with the project."""
    return load(SHIPPED, device)


def device_of(flag: str) -> str:
    """torch's name of the device for the --device flag; UserError if this machine does not have it."""
    return cli.device(flag, torch.cuda.is_available())


@torch.inference_mode()
def predict(model: JointModel, images: np.ndarray) -> np.ndarray:
    """Raw predictions (B, N, 4 + 28) for grey images (B, H, W) uint8 whose sides are multiples of 32: xywh in px, scores 0..1."""
    device = next(model.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(images)).to(device).float().div_(255)[:, None].expand(-1, 3, -1, -1)
    out = model(x)
    return (out[0] if isinstance(out, (tuple, list)) else out).transpose(1, 2).float().cpu().numpy()
