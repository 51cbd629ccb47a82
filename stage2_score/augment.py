"""Random change of training pictures (albumentations), seeded per batch, and the fixed views of test-time augmentation."""

from __future__ import annotations

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for a newer version otherwise

import albumentations as A
import cv2
import numpy as np

from stage2_score.config import Augment

cv2.setNumThreads(0)  # pictures are small; threads are spent on the network


def compose(augment: Augment, side_px: int, points: bool = False) -> A.Compose:
    """The transform of uint8 (H, W, 1) pictures that an Augment config describes; rows that are off are left out.

    points: it also moves points in the pictures (apply_with_points).
    """
    a = augment
    cut = max(1, round(a.cutout_frac * side_px))
    border = {"border_mode": cv2.BORDER_REPLICATE if a.border == "replicate" else cv2.BORDER_CONSTANT}
    stretch = (1 - a.stretch_frac, 1 + a.stretch_frac)
    rows = [
        (
            a.rotate_deg or a.shift_frac or a.scale_frac or a.shear_deg,
            lambda: A.Affine(
                rotate=(-a.rotate_deg, a.rotate_deg),
                translate_percent=(-a.shift_frac, a.shift_frac),
                scale=(1 - a.scale_frac, 1 + a.scale_frac),
                shear=(-a.shear_deg, a.shear_deg),
                **border,
                p=0.9,
            ),
        ),
        (a.stretch_frac, lambda: A.Affine(scale={"x": stretch, "y": stretch}, keep_ratio=False, **border, p=0.9)),
        (a.quarter_turns, lambda: A.RandomRotate90(p=1.0)),
        (a.flip_p, lambda: A.HorizontalFlip(p=a.flip_p)),
        (a.flip_vertical_p, lambda: A.VerticalFlip(p=a.flip_vertical_p)),
        (a.brightness or a.contrast, lambda: A.RandomBrightnessContrast(a.brightness, a.contrast, p=a.photo_p)),
        (a.gamma, lambda: A.RandomGamma((100 * (1 - a.gamma), 100 * (1 + a.gamma)), p=a.photo_p)),
        (a.noise, lambda: A.GaussNoise(std_range=(0.0, a.noise), p=a.photo_p / 2)),
        (a.blur_px, lambda: A.GaussianBlur((3, a.blur_px), p=a.photo_p / 4)),
        (a.cutout_frac, lambda: A.CoarseDropout((1, 1), (cut // 2 + 1, cut), (cut // 2 + 1, cut), fill="random_uniform", p=0.2)),
    ]
    moved = A.KeypointParams(format="xy", remove_invisible=False) if points else None
    return A.Compose([make() for on, make in rows if on], keypoint_params=moved)


def apply(transform: A.Compose, pictures: np.ndarray, seed: int) -> np.ndarray:
    """Change a batch of uint8 pictures (N, H, W); equal seeds give equal pictures."""
    transform.set_random_seed(seed)
    out = np.empty_like(pictures)
    for i, picture in enumerate(pictures):
        out[i] = transform(image=picture[..., None])["image"][..., 0]
    return out


def apply_with_points(transform: A.Compose, pictures: np.ndarray, points: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `apply`, with points (N, K, 2) px that move with their pictures; NaN stays NaN."""
    transform.set_random_seed(seed)
    out, moved = np.empty_like(pictures), np.full(points.shape, np.nan)
    for i, (picture, of) in enumerate(zip(pictures, points, strict=True)):
        known = ~np.isnan(of).any(1)
        changed = transform(image=picture[..., None], keypoints=of[known])
        out[i], moved[i, known] = changed["image"][..., 0], changed["keypoints"]
    return out, moved


def views(pictures: np.ndarray, n: int) -> list[np.ndarray]:
    """The plain pictures (N, H, W) and n - 1 fixed views of them, on a circle of small turns and zooms."""
    out, side = [pictures], pictures.shape[-1]
    for k in range(n - 1):
        angle = 2 * np.pi * k / max(1, n - 1)
        turn = cv2.getRotationMatrix2D((side / 2 - 0.5, side / 2 - 0.5), 5 * np.cos(angle), 1 + 0.06 * np.sin(angle))
        out.append(np.stack([cv2.warpAffine(p, turn, (side, side), borderMode=cv2.BORDER_REPLICATE) for p in pictures]))
    return out
