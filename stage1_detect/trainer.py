"""One training loop for the shipped weights and for every fold: ultralytics' own, started from our weights."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from ultralytics.models.yolo.detect import DetectionTrainer

from ra import track
from ra.anatomy import ALL_JOINTS, JOINTS
from stage1_detect import model as model_module
from stage1_detect.config import Detector
from stage1_detect.shape_model import Shape


def _trainer(start: torch.nn.Module | None, half: bool, marked: dict[str, list[float]]) -> type[DetectionTrainer]:
    """A trainer whose network starts from given weights and that validates nothing: the epochs are few and fixed."""

    class Trainer(DetectionTrainer):
        def get_model(self, cfg=None, weights=None, verbose=True):  # noqa: ARG002 - ultralytics' signature
            model = model_module.build(cfg)
            model.half_on_cpu, model.marked = half, marked
            if start is not None:
                model.load_state_dict(start.state_dict())
            return model

        def validate(self):
            return {}, 0.0

        def final_eval(self):
            pass

        def save_model(self):
            pass  # the network is saved as safetensors when the last epoch is done

    return Trainer


def train(
    config: Detector,
    data_yaml: Path,
    start: torch.nn.Module | None,
    target: Path,
    device: str,
    log=None,
    *,
    epochs: int = 0,
    shapes: dict[str, Shape] | None = None,
) -> float:
    """Train on the pictures of data_yaml and write `target` (safetensors, with its shapes); returns the last epoch's loss.

    epochs: instead of config.epochs. A joint of a film's limb that has no box on it costs nothing there, found or not.
    """
    epochs = epochs or config.epochs
    scratch = target.parent / "ultralytics"
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    overrides = {
        "model": config.model, "data": str(data_yaml), "epochs": epochs, "imgsz": config.imgsz, "batch": config.batch,
        "nbs": config.batch,
        "optimizer": "AdamW", "lr0": config.lr, "lrf": 0.03, "cos_lr": True, "warmup_epochs": min(0.5, epochs / 6),
        "warmup_bias_lr": 0.0, "weight_decay": 5e-4,
        "amp": device != "cpu", "device": device, "workers": config.workers, "seed": config.seed,
        "mosaic": 0.0, "fliplr": 0.0, "degrees": 0.0, "translate": 0.08, "scale": 0.25, "hsv_h": 0.0, "hsv_s": 0.0,
        "hsv_v": 0.35, "erasing": 0.0, "auto_augment": None,
        "val": False, "plots": False, "save": False, "verbose": False,
        "project": str(scratch), "name": "run", "exist_ok": True, "patience": 0,
    }  # fmt: skip
    trainer = _trainer(start, _bf16_pays(device), marked(data_yaml))(overrides=overrides)
    losses: list[float] = []
    bar = iter(track.progress(range(epochs * -(-n_pictures(data_yaml) // config.batch)), f"training {target.parent.name}"))

    def on_epoch(t: DetectionTrainer) -> None:
        losses.append(float(sum(t.tloss.values()) if isinstance(t.tloss, dict) else t.tloss.sum()))
        if log:
            log(epoch=t.epoch + 1, loss=losses[-1])

    trainer.add_callback("on_train_epoch_end", on_epoch)
    trainer.add_callback("on_train_start", lambda _: torch.set_num_threads(threads))  # ultralytics leaves one core idle
    trainer.add_callback("on_train_batch_end", lambda _: next(bar, None))
    trainer.train()
    model_module.save(trainer.ema.ema, target, config.model, config.imgsz, shapes)
    shutil.rmtree(scratch, ignore_errors=True)
    return losses[-1]


def n_pictures(data_yaml: Path) -> int:
    """Pictures in the training list of a data file."""
    return len((data_yaml.parent / "train.txt").read_text().splitlines())


def marked(data_yaml: Path) -> dict[str, list[float]]:
    """Picture's name -> 1 per class, 0 for the joints of the film's limb that have no box; empty when all films are complete."""
    limbs = [{ALL_JOINTS.index(joint) for joint in joints} for joints in JOINTS.values()]
    out = {}
    for picture in {Path(line) for line in (data_yaml.parent / "train.txt").read_text().splitlines()}:
        labels = (picture.parent.parent / "labels" / f"{picture.stem}.txt").read_text().splitlines()
        boxed = {int(line.split()[0]) for line in labels if line}
        unmarked = {joint for limb in limbs if limb & boxed for joint in limb - boxed}
        out[picture.name] = [float(joint not in unmarked) for joint in range(len(ALL_JOINTS))]
    return out if any(0 in known for known in out.values()) else {}


def _bf16_pays(device: str) -> bool:
    """bfloat16 doubles the speed where the processor multiplies it natively, and crawls where it does not."""
    if device != "cpu":
        return False
    return torch.backends.mkldnn.is_available() and bool(getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)())
