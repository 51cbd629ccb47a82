"""The pixels of a DICOM dataset as uint8 grey.

Greys go in the standard's order (PS3.3 C.11.1, C.11.2, C.7.6.3.1.2): Modality LUT, VOI LUT (a LUT sequence before a window),
then MONOCHROME1; and the range of *that*, not the picture's own, is 0..255. All of it is one function of a stored word: it
is worked out once for every possible word, and the picture is looked up in the table.
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
# A window with fewer pixels inside, or fewer greys to show, was left over from the picture that this one was captured from.
MIN_WITHIN, MIN_SPREAD = 0.01, 16  # share of the pixels; greys of 255


def grey(film: Dataset) -> np.ndarray:
    """uint8 (H, W); FilmError, without a word of the header, when the dataset has no such picture."""
    try:
        words, layout = dicom_codecs.stored_words(film, Layout.of(film))
        if layout.samples == 3:
            return words
        n = 1 << max(8, int(words.max()).bit_length())  # words that occur, and no table of 65536 for 12 bits
        if layout.photometric == "PALETTE COLOR":
            return intensity.look_up(_palette(film, n), words)
        return intensity.look_up(_curve(film, layout, intensity.counts(words, n)), words)
    except (FilmError, MemoryError):
        raise
    except Exception:  # decoders raise anything at all on a damaged file, and may quote it
        raise FilmError(dicom_codecs.DAMAGED) from None


def _palette(film: Dataset, n: int) -> np.ndarray:
    from pydicom.pixels import apply_color_lut

    colours = apply_color_lut(np.arange(n, dtype=np.uint8 if n == 256 else np.uint16), film)[:, :3]
    return intensity.to_uint8(colours @ LUMA / np.iinfo(colours.dtype).max)


def _curve(film: Dataset, layout: Layout, seen: np.ndarray) -> np.ndarray:
    """uint8 (n,): the grey of each of the n words of a layout, of which `seen` counts the pixels."""
    n = len(seen)
    stored = _values(n, layout.high + 1 - layout.bits, layout.bits, layout.signed)
    padding = _padding(film, layout, stored)
    if not seen[~padding].any():
        padding[:] = False
    used = np.where(padding, 0, seen)
    turned = layout.photometric == "MONOCHROME1"
    modality, steps, bits = _modality(film, stored, layout)
    shown = _voi(film, modality)
    if shown is None or not _fits(shown, used):
        shown = _plain(steps, used, bits, turned)
    table = intensity.to_uint8(1 - shown if turned else shown)
    table[padding] = 0
    return table


def _values(n: int, shift: int, bits: int, signed: bool) -> np.ndarray:
    """int64 (n,): the value of every word below n, from its `bits` bits above the lowest `shift`; the rest is no pixel."""
    values = (np.arange(n) >> shift) & ((1 << bits) - 1)
    return np.where(values >> (bits - 1), values - (1 << bits), values) if signed else values


def _padding(film: Dataset, layout: Layout, stored: np.ndarray) -> np.ndarray:
    """bool (n,): the words that fill the film's rim. Some writers put padding outside the bits that they declare."""
    first = _number(film, "PixelPaddingValue")
    if first is None:
        return np.zeros(len(stored), bool)
    last = _number(film, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    whole = _values(len(stored), 0, layout.allocated, layout.signed)
    return ((low <= stored) & (stored <= high)) | ((low <= whole) & (whole <= high))


def _modality(film: Dataset, stored: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray, int]:
    """(values after the Modality LUT, the same in stored steps, bits that these may have)."""
    if sequence := film.get("ModalityLUTSequence"):
        entries, bits = _entries(sequence[0], stored, film)
        return entries, entries, bits
    slope, intercept = _number(film, "RescaleSlope") or 1.0, _number(film, "RescaleIntercept") or 0.0
    values = slope * stored + intercept
    if layout.signed:
        return values, values / abs(slope), layout.bits
    return values, stored if slope > 0 else (1 << layout.bits) - 1 - stored, layout.bits


def _voi(film: Dataset, values: np.ndarray) -> np.ndarray | None:
    """0..1 (n,) after the first VOI LUT or window; None when there is none."""
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
    """(a LUT's entry for each value, the bits of its output). Bits above what the entries use are taken for a wrong word."""
    n, first, bits = (int(value) for value in item.LUTDescriptor)
    n = n or 1 << 16
    data = item.LUTData
    if isinstance(data, bytes):
        little = film.original_encoding[1] is not False
        wide = len(data) >= 2 * n
        data = np.frombuffer(data[: 2 * n if wide else n], ("<u2" if little else ">u2") if wide else "u1")
    entries = np.atleast_1d(np.asarray(data, np.int64))
    if len(entries) < n or entries.min() < 0:
        raise FilmError("the DICOM file's table of greys is damaged; export it again")
    first -= 1 << 16 if first >= 1 << 15 and values.min() < 0 else 0
    chosen = entries[np.clip(np.rint(values) - first, 0, n - 1).astype(np.int64)]
    top = int(entries[:n].max())
    return chosen, intensity.depth(0, top, bits if 8 <= bits <= 16 and top < 1 << bits else 16)


def _fits(shown: np.ndarray, used: np.ndarray) -> bool:
    """Whether enough pixels lie within a window, and differ; else it belongs to the picture that this one was captured from."""
    within = used[(shown > 0) & (shown < 1)].sum() / used.sum()
    share = np.cumsum(np.bincount(intensity.to_uint8(shown), used, minlength=256)) / used.sum()
    low, high = np.searchsorted(share, (0.01, 0.99))
    return within >= MIN_WITHIN and high - low >= MIN_SPREAD


def _plain(values: np.ndarray, used: np.ndarray, bits: int, turned: bool) -> np.ndarray:
    """0..1 (n,) without a window: the place in the range of the least usual depth that holds the values in use.

    Of a picture that is turned afterwards, the depth of the turned one where that is less.
    """
    low, high = (float(end) for end in (values[used > 0].min(), values[used > 0].max()))
    top = (1 << bits) - 1
    if turned and low >= 0 and intensity.depth(0, top - low, bits) < intensity.depth(0, high, bits):
        return 1 - intensity.share(top - values, top - high, top - low, bits)
    return intensity.share(values, low, high, bits)


def _number(film: Dataset, keyword: str) -> float | None:
    """A number, the first of several; None when it is absent or none."""
    value: Any = film.get(keyword)
    if hasattr(value, "__len__") and not isinstance(value, str | bytes):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
