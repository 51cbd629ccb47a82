"""The training loop of the shipped weights and of every fold: ultralytics', started from given weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from ultralytics.models.yolo.detect import DetectionTrainer

from ra import training_log
from ra.anatomy import ALL_JOINTS, JOINTS
from stage1_detect import model as model_module
from stage1_detect.config import DetectorConfig
from stage1_detect.shape_model import Shape


def _trainer(start: torch.nn.Module | None, half: bool, masks: dict[str, list[float]]) -> type[DetectionTrainer]:
    """A trainer class whose network starts from given weights. It never validates: the epochs are few and their number fixed."""

    class Trainer(DetectionTrainer):
        def get_model(self, cfg=None, weights=None, verbose=True):  # noqa: ARG002 - ultralytics' signature
            model = model_module.build(cfg)
            model.half_on_cpu, model.label_masks = half, masks
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
    config: DetectorConfig,
    data_yaml: Path,
    start: torch.nn.Module | None,
    target: Path,
    device: str,
    log: Callable[..., None] | None = None,
    *,
    epochs: int = 0,
    shapes: dict[str, Shape] | None = None,
) -> float:
    """Train on the pictures of data_yaml and write `target` (safetensors, with the shapes); returns the last epoch's loss.

    log: receives epoch and loss of every epoch. epochs: replaces config.epochs. A joint that has no box on a film of its limb
    adds nothing to that film's loss, whether it is detected or not.
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
    trainer = _trainer(start, _bf16_pays(device), label_masks(data_yaml))(overrides=overrides)
    losses: list[float] = []
    bar = iter(training_log.progress(range(epochs * -(-n_pictures(data_yaml) // config.batch)), f"training {target.parent.name}"))

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


def label_masks(data_yaml: Path) -> dict[str, list[float]]:
    """Picture's name -> mask over classes (see MaskedLoss); empty if every film has a box on every joint of its limb."""
    limbs = [{ALL_JOINTS.index(joint) for joint in joints} for joints in JOINTS.values()]
    out = {}
    for picture in {Path(line) for line in (data_yaml.parent / "train.txt").read_text().splitlines()}:
        labels = (picture.parent.parent / "labels" / f"{picture.stem}.txt").read_text().splitlines()
        boxed = {int(line.split()[0]) for line in labels if line}
        unlabelled = {joint for limb in limbs if limb & boxed for joint in limb - boxed}
        out[picture.name] = [float(joint not in unlabelled) for joint in range(len(ALL_JOINTS))]
    return out if any(0 in mask for mask in out.values()) else {}


def _bf16_pays(device: str) -> bool:
    """Whether the processor multiplies bfloat16 natively: there it doubles the speed, elsewhere it is very slow."""
    if device != "cpu":
        return False
    return torch.backends.mkldnn.is_available() and bool(getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)())
