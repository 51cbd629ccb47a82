"""Reading a radiograph as uint8 grey (H, W), upright, bones bright; and cutting square windows from it.

Pixel coordinates: x to the right, y down, (0, 0) the centre of the first pixel. Angles in degrees, clockwise.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from ra import paths
from ra.imaging import dicom, raster
from ra.imaging.intensity import MAX_BYTES, FilmError
from ra.imaging.polarity import looks_inverted

T = TypeVar("T")

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".dcm")
JOINT_VIEW = "joint"  # the view of a film that is one joint's crop

# Quarter turns counter-clockwise, as np.rot90 counts them; cv2.rotate is ten times as fast.
ROTATIONS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True)
class Frame:
    """Where a film lies in the picture of its file: a window, and the quarter turns (np.rot90) that set it upright.

    left_px, top_px: the window's corner in the file's picture. width_px, height_px: size of the film, after the turns.
    """

    left_px: int
    top_px: int
    width_px: int
    height_px: int
    turns: int = 0

    @classmethod
    def of(cls, row: Any) -> Frame:
        """The frame of a row of the films or the screening table."""
        return cls(*(int(getattr(row, name)) for name in ("left_px", "top_px", "width_px", "height_px", "turns")))

    @property
    def window_px(self) -> tuple[int, int]:
        """(width, height) of the window in the file's picture."""
        return (self.height_px, self.width_px) if self.turns % 2 else (self.width_px, self.height_px)

    def cut(self, grey: np.ndarray) -> np.ndarray:
        """Cut the film (height_px, width_px) out of its file's picture (H, W); FilmError when the window is not within it."""
        width, height = self.window_px
        if self.top_px + height > grey.shape[0] or self.left_px + width > grey.shape[1]:
            raise FilmError(
                f"the picture is {grey.shape[1]} x {grey.shape[0]} px, smaller than when it was prepared; run data.prepare again"
            )
        window = grey[self.top_px : self.top_px + height, self.left_px : self.left_px + width]
        return cv2.rotate(window, ROTATIONS[self.turns]) if self.turns else np.ascontiguousarray(window)

    def to_file(self, xy: np.ndarray) -> np.ndarray:
        """Points (n, 2) in pixels of the film -> in pixels of the file's picture."""
        width, height = self.window_px
        x, y = np.asarray(xy, float).T
        turned = ((x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x))[self.turns]
        return np.column_stack(turned) + np.array([self.left_px, self.top_px])

    def from_file(self, xy: np.ndarray) -> np.ndarray:
        """Points (n, 2) in pixels of the file's picture -> in pixels of the film."""
        width, height = self.window_px
        x, y = (np.asarray(xy, float) - [self.left_px, self.top_px]).T
        turned = ((x, y), (y, width - 1 - x), (width - 1 - x, height - 1 - y), (height - 1 - y, x))[self.turns]
        return np.column_stack(turned)


def load(row: Any) -> np.ndarray:
    """Read the film of a row of the films table: uint8 (height_px, width_px), upright. FilmError as in `read`."""
    path = paths.ROOT / row.path  # an absolute path stays as it is
    try:
        return Frame.of(row).cut(read(path, whole=row.view != JOINT_VIEW))
    except FilmError as error:
        raise error if str(path) in str(error) else FilmError(f"{path}: {error}") from None


def read(path: str | Path, whole: bool = True) -> np.ndarray:
    """Read a JPG, PNG, BMP, TIFF or DICOM file: uint8 (H, W), grey, EXIF orientation applied, bones bright.

    The content decides the format, not the name. 16-bit greys are scaled by their bit depth, DICOM by its LUTs.
    FilmError when the file is missing, empty, truncated or not such a picture.
    whole: the file shows a whole limb, from which polarity can be judged; a crop of one joint is taken as it is. The polarity
    that a DICOM file declares is trusted.
    """
    data = _bytes(path)
    declared = dicom.is_dicom(data)
    grey = _or_film_error(dicom.decode if declared else raster.decode, data, path)
    inverted = whole and not declared and looks_inverted(grey)
    return np.ascontiguousarray(255 - grey if inverted else grey)


def size(path: str | Path) -> tuple[int, int]:
    """(width_px, height_px) of the upright picture, from the header alone. FilmError as in `read`."""
    data = _bytes(path)
    return _or_film_error(dicom.size if dicom.is_dicom(data) else raster.size, data, path)


def is_named_film(path: Path) -> bool:
    """Whether a file is a film by its suffix; without one, as hospital archives export DICOM, by its first bytes."""
    if path.name.startswith(".") or path.name == "DICOMDIR":
        return False
    if path.suffix or not path.is_file():
        return path.suffix.lower() in SUFFIXES
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def declares_greys(path: str | Path) -> bool:
    """Whether the file declares its polarity, so that `read` does not judge it from the picture: DICOM files do."""
    return dicom.is_dicom(_bytes(path, 132))


def _or_film_error(decode: Callable[[bytes], T], data: bytes, path: str | Path) -> T:
    """decode(data), any failure turned into a FilmError that names the file and the cure."""
    try:
        return decode(data)
    except FilmError as error:
        raise FilmError(f"{path}: {error}") from None
    except MemoryError:
        raise FilmError(f"{path} needs more memory than there is; export it again, or read fewer films at once") from None
    except Exception as error:  # decoders raise anything at all on a damaged file
        # a message of a DICOM parser may quote the patient's data; that of a missing plugin does not help
        is_quotable = not dicom.is_dicom(data) and not isinstance(error, ImportError)
        why = f" ({_brief(error)})" if is_quotable else ""
        raise FilmError(f"{path} is damaged or not a picture{why}; export or download it again") from None


def crop(
    grey: np.ndarray, x_px: float, y_px: float, size_px: float, out_px: int, angle_deg: float = 0.0, mirror: bool = False
) -> np.ndarray:
    """Cut a square window of side size_px around (x_px, y_px), resampled to uint8 (out_px, out_px).

    angle_deg: the direction, clockwise from up, that points up in the window. mirror: the window is flipped left to right
    after it was turned, so `crop(a, x, y, s, n, t, mirror=True)` is `crop(mirrored a, W - 1 - x, y, s, n, -t)`.
    Outside the film the nearest edge pixel is repeated. Shrinking averages areas.
    """
    if not (np.isfinite([x_px, y_px, size_px, angle_deg]).all() and size_px > 0 and out_px > 0):
        raise ValueError(f"no window at ({x_px}, {y_px}) of side {size_px} px turned {angle_deg} degrees")
    scale = size_px / out_px
    step = max(1, int(scale))  # blocks are averaged first; the remaining factor is below 2
    patch, left, top = _patch(grey, x_px, y_px, size_px / 2 * np.sqrt(2) + 2 * step + 2, step)
    remaining = scale / step
    if remaining > 1.05:
        patch = cv2.GaussianBlur(patch, (0, 0), 0.5 * np.sqrt(remaining * remaining - 1))
    angle = np.deg2rad(angle_deg)
    matrix = remaining * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirror:
        matrix[:, 0] *= -1
    centre = np.array([x_px - left - (step - 1) / 2, y_px - top - (step - 1) / 2]) / step
    offset = centre - matrix @ np.full(2, (out_px - 1) / 2)
    return cv2.warpAffine(
        patch,
        np.column_stack([matrix, offset]),
        (out_px, out_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _patch(grey: np.ndarray, x_px: float, y_px: float, reach_px: float, step: int) -> tuple[np.ndarray, int, int]:
    """The square of +-reach_px around a point, blocks of step x step pixels averaged to one; and its left and top in the film."""
    left, top = int(np.floor(x_px - reach_px)), int(np.floor(y_px - reach_px))
    count = int(np.ceil(2 * reach_px / step)) + 1
    along = np.arange(count * step)
    rows, columns = (np.clip(start + along, 0, n - 1) for start, n in zip((top, left), grey.shape, strict=True))
    patch = grey[rows][:, columns]
    if step > 1:
        patch = cv2.resize(patch, (count, count), interpolation=cv2.INTER_AREA)
    return patch, left, top


def mirror_x(x_px: np.ndarray | float, width_px: int) -> np.ndarray | float:
    """x of a point after the film is mirrored left to right; mirroring twice gives x again."""
    return width_px - 1 - x_px


def _bytes(path: str | Path, count: int = -1) -> bytes:
    """The file's content, or its first `count` bytes; FilmError when it cannot be read or cannot be a film."""
    try:
        status = Path(path).stat()  # before it is opened: a pipe would wait for ever
        if not stat.S_ISREG(status.st_mode):
            raise FilmError(f"{path} cannot be read (it is a folder or a device); give a readable picture file")
        if status.st_size > MAX_BYTES:
            raise FilmError(f"{path} has {status.st_size / 1e6:.0f} MB, more than any film; export it again")
        with Path(path).open("rb") as file:
            data = file.read(count)
    except FileNotFoundError:
        raise FilmError(f"{path} does not exist; check the folder and the name") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        why = getattr(error, "strerror", None) or "not a valid file name"
        raise FilmError(f"{path} cannot be read ({why}); give a readable picture file") from None
    if not data:
        raise FilmError(f"{path} is empty (0 bytes); export or download it again")
    return data


def _brief(error: Exception) -> str:
    """The error's message on one short line."""
    text = re.sub(r"<_io\.BytesIO[^>]*>", "the file", str(error) or type(error).__name__)
    return " ".join(text.split())[:120]
