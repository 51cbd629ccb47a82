"""The pixels of a DICOM dataset as uint8 grey.

Greys are transformed in the standard's order (PS3.3 C.11.1, C.11.2, C.7.6.3.1.2): Modality LUT, VOI LUT (a LUT sequence is
preferred to a window), then MONOCHROME1. The full range of the result's bit depth, not the range that the picture uses, is scaled
to 0..255. All this is a function of a stored word, so it is tabulated once for every possible word, and pixels are looked up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ra.imaging import dicom_codecs, intensity
from ra.imaging.dicom_codecs import Layout
from ra.imaging.intensity import FilmError

if TYPE_CHECKING:
    from pydicom import Dataset

LUMA = np.array([0.299, 0.587, 0.114])
# A window that holds fewer pixels, or shows fewer greys, does not belong to this picture but to the one it was captured from.
MIN_WITHIN, MIN_SPREAD = 0.01, 16  # share of the pixels; greys of 255


def grey(film: Dataset) -> np.ndarray:
    """The picture as uint8 (H, W). If it cannot be decoded, a FilmError without any text of the header."""
    try:
        words, layout = dicom_codecs.stored_words(film, Layout.of(film))
        if layout.samples == 3:
            return words
        n = 1 << max(8, int(words.max()).bit_length())  # table length: 4096 for 12 bits, not 65536
        if layout.photometric == "PALETTE COLOR":
            return intensity.look_up(_palette(film, n), words)
        return intensity.look_up(_curve(film, layout, intensity.counts(words, n)), words)
    except (FilmError, MemoryError):
        raise
    except Exception:  # decoders may raise anything on a damaged file, and quote the patient's data
        raise FilmError(dicom_codecs.DAMAGED) from None


def _palette(film: Dataset, n: int) -> np.ndarray:
    """uint8 (n,): luma of each of the n entries of a colour palette."""
    from pydicom.pixels import apply_color_lut

    colours = apply_color_lut(np.arange(n, dtype=np.uint8 if n == 256 else np.uint16), film)[:, :3]
    return intensity.to_uint8(colours @ LUMA / np.iinfo(colours.dtype).max)


def _curve(film: Dataset, layout: Layout, counts: np.ndarray) -> np.ndarray:
    """uint8 (n,): the grey of each of the n words of a layout; counts (n,): how many pixels have that word."""
    n = len(counts)
    stored = _values(n, layout.high + 1 - layout.bits, layout.bits, layout.signed)
    padding = _padding(film, layout, stored)
    if not counts[~padding].any():
        padding[:] = False
    used = np.where(padding, 0, counts)
    inverted = layout.photometric == "MONOCHROME1"
    modality, steps, bits = _modality(film, stored, layout)
    display = _voi(film, modality)
    if display is None or not _fits(display, used):
        display = _without_window(steps, used, bits, inverted)
    table = intensity.to_uint8(1 - display if inverted else display)
    table[padding] = 0
    return table


def _values(n: int, shift: int, bits: int, signed: bool) -> np.ndarray:
    """int64 (n,): the value of each word 0..n-1, made of its `bits` bits above the lowest `shift` ones."""
    values = (np.arange(n) >> shift) & ((1 << bits) - 1)
    return np.where(values >> (bits - 1), values - (1 << bits), values) if signed else values


def _padding(film: Dataset, layout: Layout, stored: np.ndarray) -> np.ndarray:
    """bool (n,): the words that pad the film's border. Some writers use padding values outside the bits that they declare."""
    first = _number(film, "PixelPaddingValue")
    if first is None:
        return np.zeros(len(stored), bool)
    last = _number(film, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    whole = _values(len(stored), 0, layout.allocated, layout.signed)
    return ((low <= stored) & (stored <= high)) | ((low <= whole) & (whole <= high))


def _modality(film: Dataset, stored: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray, int]:
    """(values after the Modality LUT, the same values in units of stored steps, bit depth of the steps)."""
    if sequence := film.get("ModalityLUTSequence"):
        entries, bits = _entries(sequence[0], stored, film)
        return entries, entries, bits
    slope, intercept = _number(film, "RescaleSlope") or 1.0, _number(film, "RescaleIntercept") or 0.0
    values = slope * stored + intercept
    if layout.signed:
        return values, values / abs(slope), layout.bits
    return values, stored if slope > 0 else (1 << layout.bits) - 1 - stored, layout.bits


def _voi(film: Dataset, values: np.ndarray) -> np.ndarray | None:
    """Display values 0..1 (n,) after the first VOI LUT or window; None if the dataset has neither."""
    if sequence := film.get("VOILUTSequence"):
        entries, depth = _entries(sequence[0], values, film)
        return entries / ((1 << depth) - 1)
    centre, width = _number(film, "WindowCenter"), _number(film, "WindowWidth")
    function = str(film.get("VOILUTFunction") or "LINEAR").upper()
    if centre is None or width is None or width < (1 if function == "LINEAR" else 1e-9):
        return None
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    return np.clip((values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1)


def _entries(item: Dataset, values: np.ndarray, film: Dataset) -> tuple[np.ndarray, int]:
    """(a LUT's entry for each value, the bit depth of its entries).

    A declared depth that the entries exceed is not trusted; the depth then follows from the entries.
    """
    n, first, bits = (int(value) for value in item.LUTDescriptor)
    n = n or 1 << 16
    data = item.LUTData
    if isinstance(data, bytes):
        wide = ">u2" if film.original_encoding[1] is False else "<u2"
        data = np.frombuffer(data[: 2 * n], wide) if len(data) >= 2 * n else np.frombuffer(data[:n], "u1")
    entries = np.atleast_1d(np.asarray(data, np.int64))
    if len(entries) < n or entries.min() < 0:
        raise FilmError("the DICOM file's table of greys is damaged; export it again")
    first -= 1 << 16 if first >= 1 << 15 and values.min() < 0 else 0
    chosen = entries[np.clip(np.rint(values) - first, 0, n - 1).astype(np.int64)]
    top = int(entries[:n].max())
    return chosen, intensity.depth(0, top, bits if 8 <= bits <= 16 and top < 1 << bits else 16)


def _fits(display: np.ndarray, used: np.ndarray) -> bool:
    """Whether a window suits the picture: enough pixels (used: how many have each word) lie within it, and they differ enough."""
    within = used[(display > 0) & (display < 1)].sum() / used.sum()
    share = np.cumsum(np.bincount(intensity.to_uint8(display), used, minlength=256)) / used.sum()
    low, high = np.searchsorted(share, (0.01, 0.99))
    return within >= MIN_WITHIN and high - low >= MIN_SPREAD


def _without_window(values: np.ndarray, used: np.ndarray, bits: int, inverted: bool) -> np.ndarray:
    """Display values 0..1 (n,) without a window: shares of the smallest usual bit depth that holds the values in use.

    inverted: the picture is inverted afterwards; the depth is that of the inverted values if it is smaller.
    """
    low, high = (float(end) for end in (values[used > 0].min(), values[used > 0].max()))
    top = (1 << bits) - 1
    if inverted and low >= 0 and intensity.depth(0, top - low, bits) < intensity.depth(0, high, bits):
        return 1 - intensity.share(top - values, top - high, top - low, bits)
    return intensity.share(values, low, high, bits)


def _number(film: Dataset, keyword: str) -> float | None:
    """The number in an element, the first of several; None when it is absent or not a finite number."""
    value: Any = film.get(keyword)
    if hasattr(value, "__len__") and not isinstance(value, str | bytes):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
