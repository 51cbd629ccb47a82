"""JPG, PNG, BMP and TIFF files as uint8 grey, EXIF orientation applied.

Pillow and OpenCV decode what they can of a damaged file, and the result may differ from the picture that was stored. This module
refuses a file whose declared sizes do not fit its bytes. PNG has checksums, which Pillow verifies.
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
SWAPPED = (5, 6, 7, 8)  # EXIF orientations by a quarter turn: width and height are exchanged
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
TRUNCATED = "the file is truncated; export or download it again"
DAMAGED = "the file is damaged; export or download it again"
# TIFF tags, and the value of COMPRESSION for none
COMPRESSION, BITS_PER_SAMPLE, SAMPLES_PER_PIXEL, STRIP_BYTES, UNCOMPRESSED = 259, 258, 277, 279, 1

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # intensity.check_size refuses such files, with a cure


def decode(data: bytes) -> np.ndarray:
    """Decode to uint8 (H, W), upright, deeper greys scaled by their bit depth. Raises FilmError, or whatever a decoder raises."""
    return _jpeg(data) if data.startswith(JPEG_START) else _pillow(_opened(data))


def size(data: bytes) -> tuple[int, int]:
    """(width_px, height_px) of the upright picture, from the header alone."""
    picture = _opened(data)
    return picture.size[::-1] if picture.getexif().get(0x0112) in SWAPPED else picture.size


def _opened(data: bytes) -> Image.Image:
    """Open a picture without reading its pixels; FilmError when no film has such a format or size, or the size is damaged."""
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
    """Decode a JPEG with OpenCV, or with Pillow where OpenCV might hide a fault.

    OpenCV is faster, but some versions fill the missing rest of a truncated file with grey. So the end marker is checked, and a
    file that has trailing bytes goes to Pillow, which is strict.
    """
    picture = _opened(data)
    if not data.rstrip(b"\0\r\n").endswith(JPEG_END):
        if JPEG_END not in data or data.endswith(bytes(64)):  # an unfinished download may be padded with zeros
            raise FilmError(TRUNCATED)
        return _pillow(picture)
    grey = None if picture.mode == "CMYK" else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return _pillow(picture) if grey is None else grey


def _pillow(picture: Image.Image) -> np.ndarray:
    """Decode with Pillow: uint8 (H, W), upright."""
    ImageOps.exif_transpose(picture, in_place=True)
    return _deep(picture) if picture.mode.startswith(("I", "F")) else np.asarray(picture.convert("L"))


def _deep(picture: Image.Image) -> np.ndarray:
    """Greys of more than 8 bits as uint8, scaled by the smallest usual bit depth that holds them, else by their own range.

    Converted in bands: a copy of the whole film in a wider type might take a gigabyte.
    """
    low, high = (float(end) for end in picture.getextrema())
    if not np.isfinite([low, high]).all():
        raise FilmError("the picture holds values that are not numbers; export it again")
    if picture.mode.startswith("I") and low >= 0 and high < 1 << intensity.DEPTHS[-1]:
        low, high = 0.0, float((1 << intensity.depth(0, int(high))) - 1)
    width, height = picture.size
    out, step = np.empty((height, width), np.uint8), max(1, intensity.BLOCK // width)
    for top in range(0, height, step):
        band = np.asarray(picture.crop((0, top, width, min(top + step, height))), np.float64)
        out[top : top + step] = intensity.to_uint8((band - low) / max(high - low, 1e-9))
    return out


def _check_bmp(data: bytes, picture: Image.Image) -> None:
    """Refuse a BMP whose rows of pixels do not end with the file: a damaged width would shear the picture."""
    pixels_at, header_size = (int.from_bytes(data[at : at + 4], "little") for at in (10, 14))
    bits, compression = int.from_bytes(data[28:30], "little"), int.from_bytes(data[30:34], "little")
    if header_size < 40 or compression not in (0, 3):  # an OS/2 header, or run lengths, which mark the end of each row
        return
    row_bytes = (picture.width * bits + 31) // 32 * 4
    left_over = len(data) - pixels_at - row_bytes * picture.height
    if left_over < 0 or (left_over >= row_bytes and header_size < 124):  # a version 5 file may end with a colour profile
        raise FilmError(DAMAGED)


def _check_tiff(data: bytes, picture: Image.Image) -> None:
    """Refuse a TIFF that holds several pictures, or whose number of bytes does not fit its size."""
    if getattr(picture, "n_frames", 1) > 1:
        raise FilmError("the TIFF file holds several pictures; export one film per file")
    tags = picture.tag_v2
    if tags.get(COMPRESSION, UNCOMPRESSED) != UNCOMPRESSED or STRIP_BYTES not in tags:
        return
    bits, samples = tags.get(BITS_PER_SAMPLE, (1,))[0], tags.get(SAMPLES_PER_PIXEL, 1)
    row_bytes, stored_bytes = (picture.width * samples * bits + 7) // 8, sum(tags[STRIP_BYTES])
    if stored_bytes != row_bytes * picture.height or stored_bytes > len(data):
        raise FilmError(DAMAGED)
