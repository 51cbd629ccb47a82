"""Polarity of a radiograph: whether its bones are bright, as they should be, or dark, judged from the picture alone.

A limb lies in the middle of the exposed field, with air around it, and bone has more texture than air. So on a film with bright
bones the middle of the field is brighter than its rim, and rough places are brighter than smooth ones.
"""

from __future__ import annotations

import cv2
import numpy as np

from ra.imaging import intensity

LONG_SIDE_PX = 128  # of the reduced picture on which polarity is judged
TEXTURE_WEIGHT = 0.2  # weight of the contrast rough - smooth; the contrast middle - rim has weight 1
MIN_CONTRAST = 0.03  # below it polarity is in doubt
FLAT_RANGE = 2  # greys: a pixel whose neighbours differ by no more is flat
MIN_BORDER_FRAC = 0.003  # of the picture: a smaller flat area at its edge belongs to the exposed field


def looks_inverted(grey: np.ndarray) -> bool:
    """True when the bones are dark on a uint8 film (H, W) with any collimation border. In doubt False: few films are inverted."""
    return bone_brightness(grey) < -MIN_CONTRAST


def bone_brightness(grey: np.ndarray) -> float:
    """About -1..1, above 0 when bones are bright; the inverted picture gives about the opposite number."""
    small = _reduced(grey)
    field = _exposed_field(small)
    low, high = _quantiles(small[field], 0.01, 0.99)
    small = np.clip((small - low) / max(high - low, 1.0), 0, 1)
    padded = cv2.copyMakeBorder(field.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    mean = cv2.blur(small, (5, 5))
    roughness = cv2.blur(small * small, (5, 5)) - mean * mean
    return _contrast(small, depth, field, 0.25, 0.65) + TEXTURE_WEIGHT * _contrast(mean, roughness, field, 0.3, 0.7)


def _reduced(grey: np.ndarray) -> np.ndarray:
    """float32 copy of about LONG_SIDE_PX: every few pixels, then averaged in whole blocks."""
    stride = max(1, max(grey.shape) // (4 * LONG_SIDE_PX))
    small = grey[::stride, ::stride]  # averaging all pixels would cost as much as decoding them
    block = max(1, min(round(max(small.shape) / LONG_SIDE_PX), *small.shape))  # whole blocks are averaged ten times as fast
    height, width = (n // block for n in small.shape)
    small = cv2.resize(small[: height * block, : width * block], (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def _exposed_field(small: np.ndarray) -> np.ndarray:
    """Mask of the reduced picture without its border (collimation, padding): flat areas that touch its edge."""
    window = np.ones((3, 3), np.uint8)
    is_flat = cv2.dilate(small, window) - cv2.erode(small, window) <= FLAT_RANGE
    return intensity.exposed_field(is_flat, min_area_frac=MIN_BORDER_FRAC, margin_px=2)


def _contrast(grey: np.ndarray, by: np.ndarray, field: np.ndarray, low: float, high: float) -> float:
    """Mean grey where `by` is above its quantile `high` minus the mean where it is below its quantile `low`, in the field."""
    grey, by = grey[field], by[field]
    bottom, top = _quantiles(by, low, high)
    return float(grey[by >= top].mean() - grey[by <= bottom].mean())


def _quantiles(values: np.ndarray, *shares: float) -> np.ndarray:
    """Order statistics at these shares: as good as numpy's interpolated quantiles here, in half the time."""
    ranks = [round(share * (len(values) - 1)) for share in shares]
    return np.partition(values, ranks)[ranks]
