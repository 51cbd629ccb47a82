"""Random change of training pictures (albumentations), seeded per batch, and the fixed views of test-time augmentation."""

from __future__ import annotations

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # without it, importing albumentations looks for a newer version online

import albumentations as A
import cv2
import numpy as np

from stage2_score.config import Augment

cv2.setNumThreads(0)  # pictures are small; the network needs the threads


def compose(augment: Augment, side_px: int, points: bool = False) -> A.Compose:
    """The transform of uint8 (H, W, 1) pictures that an Augment config describes; changes of size 0 are left out.

    points: the transform also moves points in the pictures (apply_with_points).
    """
    rows: list[A.BasicTransform] = _geometric(augment) + _photometric(augment)
    if augment.cutout_frac:
        largest_px = max(1, round(augment.cutout_frac * side_px))
        side = (largest_px // 2 + 1, largest_px)
        rows.append(A.CoarseDropout((1, 1), side, side, fill="random_uniform", p=0.2))
    keypoints = A.KeypointParams(format="xy", remove_invisible=False) if points else None
    return A.Compose(rows, keypoint_params=keypoints)


def _geometric(a: Augment) -> list[A.BasicTransform]:
    border = {"border_mode": cv2.BORDER_REPLICATE if a.border == "replicate" else cv2.BORDER_CONSTANT}
    rows: list[A.BasicTransform] = []
    if a.rotate_deg or a.shift_frac or a.scale_frac or a.shear_deg:
        rows.append(
            A.Affine(
                rotate=(-a.rotate_deg, a.rotate_deg),
                translate_percent=(-a.shift_frac, a.shift_frac),
                scale=(1 - a.scale_frac, 1 + a.scale_frac),
                shear=(-a.shear_deg, a.shear_deg),
                **border,
                p=0.9,
            )
        )
    if a.stretch_frac:
        stretch = (1 - a.stretch_frac, 1 + a.stretch_frac)
        rows.append(A.Affine(scale={"x": stretch, "y": stretch}, keep_ratio=False, **border, p=0.9))
    if a.quarter_turns:
        rows.append(A.RandomRotate90(p=1.0))
    if a.flip_p:
        rows.append(A.HorizontalFlip(p=a.flip_p))
    if a.flip_vertical_p:
        rows.append(A.VerticalFlip(p=a.flip_vertical_p))
    return rows


def _photometric(a: Augment) -> list[A.BasicTransform]:
    rows: list[A.BasicTransform] = []
    if a.brightness or a.contrast:
        rows.append(A.RandomBrightnessContrast(a.brightness, a.contrast, p=a.photo_p))
    if a.gamma:
        rows.append(A.RandomGamma((100 * (1 - a.gamma), 100 * (1 + a.gamma)), p=a.photo_p))
    if a.noise:
        rows.append(A.GaussNoise(std_range=(0.0, a.noise), p=a.photo_p / 2))
    if a.blur_px:
        rows.append(A.GaussianBlur((3, a.blur_px), p=a.photo_p / 4))
    return rows


def apply(transform: A.Compose, pictures: np.ndarray, seed: int) -> np.ndarray:
    """Change a batch of uint8 pictures (N, H, W); equal seeds give equal pictures."""
    transform.set_random_seed(seed)
    out = np.empty_like(pictures)
    for i, picture in enumerate(pictures):
        out[i] = transform(image=picture[..., None])["image"][..., 0]
    return out


def apply_with_points(transform: A.Compose, pictures: np.ndarray, points: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Change a batch of uint8 pictures (N, H, W) and move points (N, K, 2) px with them; NaN stays NaN."""
    transform.set_random_seed(seed)
    out, moved = np.empty_like(pictures), np.full(points.shape, np.nan)
    for i, (picture, picture_points) in enumerate(zip(pictures, points, strict=True)):
        is_known = ~np.isnan(picture_points).any(1)
        changed = transform(image=picture[..., None], keypoints=picture_points[is_known])
        out[i], moved[i, is_known] = changed["image"][..., 0], changed["keypoints"]
    return out, moved


def views(pictures: np.ndarray, n: int) -> list[np.ndarray]:
    """The plain pictures (N, H, W) and n - 1 fixed views of them: small rotations and zooms, evenly spaced on a circle."""
    out, side = [pictures], pictures.shape[-1]
    for k in range(n - 1):
        angle = 2 * np.pi * k / max(1, n - 1)
        turn = cv2.getRotationMatrix2D((side / 2 - 0.5, side / 2 - 0.5), 5 * np.cos(angle), 1 + 0.06 * np.sin(angle))
        out.append(np.stack([cv2.warpAffine(p, turn, (side, side), borderMode=cv2.BORDER_REPLICATE) for p in pictures]))
    return out
