"""Greys of films: limits of size, stored values -> uint8, stretching between two greys, and the exposed field."""

from __future__ import annotations

import cv2
import numpy as np

from ra.config import UserError

MIN_SIDE_PX, MAX_PIXELS = 16, 60_000_000  # limits of a film; the largest real ones have 6000 x 8000 pixels
DEPTHS = (8, 10, 12, 14, 16)  # usual bit depths of X-ray detectors; a 16-bit file may hold any of them
MAX_BYTES = 300_000_000  # limit of a film's file
BLOCK = 1 << 22  # pixels converted at a time, to avoid a copy of the whole film in a wider type
MIN_FIELD_FRAC = 0.15  # of the picture: a smaller exposed field is not credible


class FilmError(UserError):
    """A file cannot be read as a film; the message names the fault and the cure."""


def check_size(width: int, height: int) -> None:
    """FilmError unless this is a plausible size of a film."""
    if min(width, height) < MIN_SIDE_PX:
        raise FilmError(f"{width} x {height} px is too small for a film; export it at full size")
    if width * height > MAX_PIXELS:
        raise FilmError(f"{width} x {height} px is more than any film has; export it again")


def depth(low: int, high: int, max_bits: int = 16) -> int:
    """The smallest usual bit depth, at most `max_bits`, that holds stored values low..high.

    A range with negative values is signed: it begins at -2^(bits - 1).
    """
    for bits in DEPTHS:
        if floor(low, bits) <= low and high < floor(low, bits) + (1 << bits):
            return min(max_bits, bits)
    return max_bits


def floor(low: int, bits: int) -> int:
    """The smallest value that `bits` bits can hold: 0, or -2^(bits - 1) if `low`, the smallest value in use, is negative."""
    return -(1 << (bits - 1)) if low < 0 else 0


def share(values: np.ndarray, low: int, high: int, max_bits: int = 16) -> np.ndarray:
    """Stored values as fractions 0..1 (float64) of the range of their bit depth; low, high: the extreme values in use."""
    bits = depth(low, high, max_bits)
    return (values - floor(low, bits)) / float((1 << bits) - 1)


def to_uint8(shares: np.ndarray) -> np.ndarray:
    """Shares 0..1 as uint8 0..255, rounded and clipped."""
    return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)


def look_up(table: np.ndarray, words: np.ndarray) -> np.ndarray:
    """table[words], block by block: numpy would widen all indices to 64 bits at once."""
    out = np.empty(words.shape, table.dtype)
    flat, into = words.reshape(-1), out.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        np.take(table, flat[start : start + BLOCK], out=into[start : start + BLOCK])
    return out


def counts(words: np.ndarray, n: int) -> np.ndarray:
    """How often each of the words 0..n-1 occurs: int64 (n,)."""
    flat, total = words.reshape(-1), np.zeros(n, np.int64)
    for start in range(0, flat.size, BLOCK):
        total += np.bincount(flat[start : start + BLOCK], minlength=n)
    return total


def stretch_table(low: float, high: float) -> np.ndarray:
    """uint8 (256,) table that maps grey `low` to 0, `high` to 255, linearly between and clipped beyond: table[pixels]."""
    return np.clip((np.arange(256) - low) * 255 / max(high - low, 1.0), 0, 255).astype(np.uint8)


def exposed_field(is_flat: np.ndarray, *, min_area_frac: float = 0.0, margin_px: int = 0) -> np.ndarray:
    """bool (H, W): the picture without its border: the flat areas (connected pixels of `is_flat`) that touch its edge.

    min_area_frac: an area that covers at most this share of the picture is no border. margin_px: the border is widened by so many
    pixels. All True when at most MIN_FIELD_FRAC would be left.
    """
    _, areas, stats, _ = cv2.connectedComponentsWithStats(is_flat.astype(np.uint8), connectivity=4)
    at_edge = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
    border = [k for k in at_edge if k and stats[k, cv2.CC_STAT_AREA] > min_area_frac * is_flat.size]
    outside = cv2.dilate(np.isin(areas, border).astype(np.uint8), np.ones((2 * margin_px + 1,) * 2, np.uint8))
    field = outside == 0
    return field if field.mean() > MIN_FIELD_FRAC else np.ones_like(field)
