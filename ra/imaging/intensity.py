"""Greys of films: limits of size, stored values -> uint8, stretching between two greys, and the exposed field."""

from __future__ import annotations

import cv2
import numpy as np

from ra.config import UserError

MIN_SIDE_PX, MAX_PIXELS = 16, 60_000_000  # the largest real films have 6000 x 8000 pixels
DEPTHS = (8, 10, 12, 14, 16)  # bits that detectors use; a 16-bit file holds any of them
MAX_BYTES = 300_000_000  # of a film's file
BLOCK = 1 << 22  # pixels converted at a time: no copy of a whole film in a wider type
MIN_FIELD_FRAC = 0.15  # of the picture: a smaller exposed field is not credible


class FilmError(UserError):
    """A file that is no readable film: names the file and the cure."""


def check_size(width: int, height: int) -> None:
    """FilmError unless a film may have this many pixels."""
    if min(width, height) < MIN_SIDE_PX:
        raise FilmError(f"{width} x {height} px is too small for a film; export it at full size")
    if width * height > MAX_PIXELS:
        raise FilmError(f"{width} x {height} px is more than any film has; export it again")


def depth(low: int, high: int, most: int = 16) -> int:
    """The least usual bit depth, at most `most`, that holds stored values low..high; negative ones take half its range."""
    return min(most, next((bits for bits in DEPTHS if floor(low, bits) <= low and high < floor(low, bits) + (1 << bits)), most))


def floor(low: int, bits: int) -> int:
    """The least value that `bits` hold when the least one used is low: 0, or below it when there are negative ones."""
    return -(1 << (bits - 1)) if low < 0 else 0


def share(values: np.ndarray, low: int, high: int, most: int = 16) -> np.ndarray:
    """float64 0..1 of stored values whose used ones are low..high: their place in the range of the depth that holds them."""
    bits = depth(low, high, most)
    return (values - floor(low, bits)) / float((1 << bits) - 1)


def to_uint8(shares: np.ndarray) -> np.ndarray:
    """uint8 of 0..1, clipped."""
    return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)


def look_up(table: np.ndarray, words: np.ndarray) -> np.ndarray:
    """table[words], block by block: numpy would widen all the indices to 64 bits at once."""
    out = np.empty(words.shape, table.dtype)
    flat, into = words.reshape(-1), out.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        np.take(table, flat[start : start + BLOCK], out=into[start : start + BLOCK])
    return out


def counts(words: np.ndarray, n: int) -> np.ndarray:
    """int64 (n,): how often each stored word occurs."""
    flat, total = words.reshape(-1), np.zeros(n, np.int64)
    for start in range(0, flat.size, BLOCK):
        total += np.bincount(flat[start : start + BLOCK], minlength=n)
    return total


def stretch_table(low: float, high: float) -> np.ndarray:
    """uint8 (256,) table that maps grey `low` to 0, `high` to 255, linearly between and clipped beyond: table[pixels]."""
    return np.clip((np.arange(256) - low) * 255 / max(high - low, 1.0), 0, 255).astype(np.uint8)


def exposed_field(is_flat: np.ndarray, *, min_area_frac: float = 0.0, margin_px: int = 0) -> np.ndarray:
    """bool (H, W): the picture without its border, which are the flat areas (connected pixels of `is_flat`) that touch its edge.

    min_area_frac: a border area covers more than this share of the picture. margin_px: the border is widened by so many
    pixels. All True when less than MIN_FIELD_FRAC would be left.
    """
    _, areas, stats, _ = cv2.connectedComponentsWithStats(is_flat.astype(np.uint8), connectivity=4)
    at_edge = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
    border = [k for k in at_edge if k and stats[k, cv2.CC_STAT_AREA] > min_area_frac * is_flat.size]
    outside = cv2.dilate(np.isin(areas, border).astype(np.uint8), np.ones((2 * margin_px + 1,) * 2, np.uint8))
    field = outside == 0
    return field if field.mean() > MIN_FIELD_FRAC else np.ones_like(field)
