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
from stage1_detect import template

TRACKERS = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "wandb", "tensorboard")
SETTINGS.update({key: False for key in TRACKERS if key in SETTINGS})

SHIPPED = Path(__file__).parent / "weights" / "joints.safetensors"


class JointModel(DetectionModel):
    """ultralytics' network whose passes run in bfloat16 on processors that multiply it natively; losses stay in float32."""

    half_on_cpu = False

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


def save(model: torch.nn.Module, path: Path, architecture: str, imgsz: int) -> None:
    """Weights as half-precision safetensors, with what is needed to build the network again."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        k: v.detach().cpu().half().contiguous() if v.is_floating_point() else v.cpu() for k, v in model.state_dict().items()
    }
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={"architecture": architecture, "imgsz": str(imgsz), "joints": " ".join(ALL_JOINTS)})
    temporary.replace(path)


def load(path: Path, device: str = "cpu") -> tuple[JointModel, int]:
    """The network of a safetensors file, ready to predict, and the input size it was trained at."""
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
    return model.eval().to(device), int(metadata["imgsz"])


def shipped(device: str = "cpu") -> tuple[JointModel, int, dict[str, template.Shape]]:
    """The detector that comes with the project: network, input size, shapes."""
    return *load(SHIPPED, device), template.load()


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
