"""A picture next to copies of itself under heat maps, as one small PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ra import atomic

SIDE_PX, GAP_PX = 168, 4
OPACITY = 0.65  # at the largest value
RAISED, MOST, LOWERED = (225, 40, 30), (255, 215, 0), (30, 110, 230)  # RGB: red above 0, yellow at 1, blue below 0


def beside(picture: np.ndarray, *maps: np.ndarray) -> np.ndarray:
    """uint8 RGB (SIDE_PX, (1 + n) SIDE_PX + n GAP_PX, 3): the picture (H, W) uint8, then the picture under each map (H, W).

    Maps are within -1..1: red to yellow above 0, blue below 0, transparent at 0. White gaps separate the pictures.
    """
    method = cv2.INTER_AREA if picture.shape[0] > SIDE_PX else cv2.INTER_CUBIC
    grey = cv2.cvtColor(cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=method), cv2.COLOR_GRAY2RGB)
    gap = np.full((SIDE_PX, GAP_PX, 3), 255, np.uint8)
    columns = [grey]
    for heat in maps:
        columns += [gap, under(grey, heat)]
    return np.concatenate(columns, axis=1)


def under(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) under one map."""
    warmth = cv2.resize(heat.astype(np.float32), grey.shape[1::-1], interpolation=cv2.INTER_LINEAR).clip(-1, 1)[..., None]
    warm = np.array(RAISED) + (np.array(MOST) - RAISED) * warmth
    share = OPACITY * np.abs(warmth)
    return (grey * (1 - share) + np.where(warmth >= 0, warm, LOWERED) * share).round().clip(0, 255).astype(np.uint8)


def save(picture: np.ndarray, path: Path) -> None:
    """Write an RGB picture as PNG."""
    atomic.write_bytes(path, cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())
