"""JPG, PNG, BMP and TIFF files as uint8 grey, EXIF turn applied.

Pillow and OpenCV show what they can of a damaged file; here one whose sizes do not fit its bytes is refused, so that no
picture is read that nobody stored. PNG has checksums, which Pillow heeds.
"""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from PIL import Image, ImageOps

from ra.imaging import intensity
from ra.imaging.intensity import FilmError

FORMATS = ("JPEG", "MPO", "PNG", "BMP", "TIFF")
SWAPPED = (5, 6, 7, 8)  # EXIF orientations whose width is the upright picture's height
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
TRUNCATED = "the file is truncated; export or download it again"
DAMAGED = "the file is damaged; export or download it again"
COMPRESSION, STRIP_BYTES, UNCOMPRESSED = 259, 279, 1  # of TIFF

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # greys.check_size refuses them in our words


def decode(data: bytes) -> np.ndarray:
    """uint8 (H, W): upright; greys of more than 8 bits by their depth. FilmError, or whatever a decoder raises."""
    return _jpeg(data) if data.startswith(JPEG_START) else _pillow(_opened(data))


def size(data: bytes) -> tuple[int, int]:
    """(width_px, height_px) of the upright picture, from the header alone."""
    picture = _opened(data)
    return picture.size[::-1] if picture.getexif().get(0x0112) in SWAPPED else picture.size


def _opened(data: bytes) -> Image.Image:
    """The picture, its pixels not yet read; FilmError when it is none of a film, or its sizes contradict each other."""
    try:
        picture = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        raise FilmError("the file claims more pixels than any film has; export it again") from None
    if picture.format not in FORMATS:
        raise FilmError(f"{picture.format} is not a format of films; export it as JPG, PNG, BMP, TIFF or DICOM")
    intensity.check_size(*picture.size)
    if picture.format == "BMP":
        _check_bmp(data, picture)
    if picture.format == "TIFF":
        _check_tiff(data, picture)
    return picture


def _jpeg(data: bytes) -> np.ndarray:
    """OpenCV is fast, but some versions fill with grey what a file lacks: the end marker tells, or Pillow, which is strict."""
    picture = _opened(data)
    if not data.rstrip(b"\0\r\n").endswith(JPEG_END):
        if JPEG_END not in data or data.endswith(bytes(64)):  # an unfinished download may be padded with zeros
            raise FilmError(TRUNCATED)
        return _pillow(picture)
    grey = None if picture.mode == "CMYK" else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return _pillow(picture) if grey is None else grey


def _pillow(picture: Image.Image) -> np.ndarray:
    ImageOps.exif_transpose(picture, in_place=True)
    return _deep(picture) if picture.mode.startswith(("I", "F")) else np.asarray(picture.convert("L"))


def _deep(picture: Image.Image) -> np.ndarray:
    """uint8 of greys of more than 8 bits, by the least usual depth that holds them, or by range when none does.

    In bands: one copy of the whole in a wider type would be a gigabyte.
    """
    low, high = (float(end) for end in picture.getextrema())
    if not np.isfinite([low, high]).all():
        raise FilmError("the picture holds values that are no numbers; export it again")
    if picture.mode.startswith("I") and low >= 0 and high < 1 << intensity.DEPTHS[-1]:
        low, high = 0.0, float((1 << intensity.depth(0, int(high))) - 1)
    width, height = picture.size
    out, step = np.empty((height, width), np.uint8), max(1, intensity.BLOCK // width)
    for top in range(0, height, step):
        band = np.asarray(picture.crop((0, top, width, min(top + step, height))), np.float64)
        out[top : top + step] = intensity.to_uint8((band - low) / max(high - low, 1e-9))
    return out


def _check_bmp(data: bytes, picture: Image.Image) -> None:
    """Rows of pixels to the file's end: a damaged width would shear the picture."""
    begins, head = (int.from_bytes(data[at : at + 4], "little") for at in (10, 14))
    bits, packed = int.from_bytes(data[28:30], "little"), int.from_bytes(data[30:34], "little")
    if head < 40 or packed not in (0, 3):  # OS/2's header, or run lengths that tell themselves where a row ends
        return
    row = (picture.width * bits + 31) // 32 * 4
    left_over = len(data) - begins - row * picture.height
    if left_over < 0 or (left_over >= row and head < 124):  # a version 5 header may point to a colour profile behind
        raise FilmError(DAMAGED)


def _check_tiff(data: bytes, picture: Image.Image) -> None:
    """One picture, and as many bytes as it needs."""
    if getattr(picture, "n_frames", 1) > 1:
        raise FilmError("the TIFF file holds several pictures; export one film per file")
    tags = picture.tag_v2
    if tags.get(COMPRESSION, UNCOMPRESSED) != UNCOMPRESSED or STRIP_BYTES not in tags:
        return
    bits = tags.get(258, (1,))
    samples = tags.get(277, 1)
    row = (picture.width * samples * bits[0] + 7) // 8
    if sum(tags[STRIP_BYTES]) != row * picture.height or sum(tags[STRIP_BYTES]) > len(data):
        raise FilmError(DAMAGED)
