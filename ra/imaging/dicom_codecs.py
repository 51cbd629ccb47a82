"""Transfer syntaxes of DICOM: from Pixel Data to the stored words of a film.

imagecodecs decodes the JPEG family (libjpeg-turbo, CharLS, OpenJPEG). Before decoding, the size that a stream declares is
compared with that of the dataset, so that no stream can claim more memory than a film needs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ra.imaging.intensity import FilmError, check_size

if TYPE_CHECKING:
    from pydicom import Dataset

EXPLICIT_BIG = "1.2.840.10008.1.2.2"
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", EXPLICIT_BIG)  # a deflated file was inflated when it was opened
RLE = "1.2.840.10008.1.2.5"
JPEG = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70)}  # baseline, 12 bits, lossless
JPEG_LS = {f"1.2.840.10008.1.2.4.{n}" for n in (80, 81)}
JPEG_2000 = {f"1.2.840.10008.1.2.4.{n}" for n in (90, 91)}

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
NOT_FRAMES = {0xC4, 0xC8, 0xCC}  # tables (Huffman, arithmetic), whose markers lie among those that start a frame
DAMAGED = "the DICOM file's picture is damaged; export it again"
CONTRADICTS = "the DICOM file contradicts itself about how its picture is stored; export it again"


@dataclass(frozen=True)
class Layout:
    """Layout of Pixel Data: a word has `allocated` bits, of which `bits` are used, the highest of them bit number `high`."""

    rows: int
    columns: int
    samples: int
    allocated: int
    bits: int
    high: int
    signed: bool
    photometric: str
    planar: bool

    @classmethod
    def of(cls, film: Dataset) -> Layout:
        """The layout that a dataset declares; FilmError when it is incomplete, contradictory or not that of a film."""
        if "PixelData" not in film:
            raise FilmError("the DICOM file holds no picture; export the image, not a report or a directory")
        try:
            if int(film.get("NumberOfFrames") or 1) != 1:
                raise FilmError("the DICOM file holds several frames; export one film per file")
            bits = int(film.get("BitsStored") or film.BitsAllocated)
            layout = cls(
                int(film.Rows), int(film.Columns), int(film.get("SamplesPerPixel") or 1), int(film.BitsAllocated), bits,
                int(film.get("HighBit", bits - 1)), _flag(film.get("PixelRepresentation")),
                str(film.PhotometricInterpretation), _flag(film.get("PlanarConfiguration")),
            )  # fmt: skip
        except FilmError:
            raise
        except Exception:  # an element is absent or cannot be read; the message may quote the patient's data
            raise FilmError("the DICOM file does not declare how its picture is stored; export it again") from None
        return layout._checked()

    def _checked(self) -> Layout:
        """The layout itself; FilmError when no film has such a layout."""
        check_size(self.columns, self.rows)
        colour = self.photometric in COLOUR
        is_supported = colour or self.photometric in (*MONOCHROME, "PALETTE COLOR")
        if not is_supported or self.samples != (3 if colour else 1) or self.allocated not in ((8,) if colour else (8, 16)):
            raise FilmError("the DICOM file's picture is of a kind that no film has; export it as grey of 8 or 16 bits")
        if not 0 < self.bits <= self.high + 1 <= self.allocated:
            raise FilmError(CONTRADICTS)
        return self


def _flag(value: Any) -> bool:
    """The value of an element that may be 0 or 1; an absent one means 0. FilmError for another value."""
    if value not in (None, "", 0, 1):
        raise FilmError(CONTRADICTS)
    return bool(value)


def stored_words(film: Dataset, layout: Layout) -> tuple[np.ndarray, Layout]:
    """Decode the stored words, uint8 or uint16 (H, W), colour as its luma; and their layout after decoding."""
    syntax = str(film.file_meta.TransferSyntaxUID) if "TransferSyntaxUID" in getattr(film, "file_meta", {}) else NATIVE[0]
    if syntax in NATIVE:
        return _native(film, layout, big=syntax == EXPLICIT_BIG), layout
    decode = _rle if syntax == RLE else next((f for syntaxes, f in DECODERS if syntax in syntaxes), None)
    if decode is None:
        raise FilmError("the DICOM file's transfer syntax is not used for films; export it uncompressed")
    from pydicom.encaps import generate_frames

    frame = next(generate_frames(film.PixelData, number_of_frames=1))
    return decode(bytes(frame), layout)


def _native(film: Dataset, layout: Layout, big: bool) -> np.ndarray:
    """Words (H, W) of uncompressed Pixel Data; big: their bytes are in big-endian order."""
    data, n_pixels = film.PixelData, layout.rows * layout.columns
    subsampled = layout.photometric == "YBR_FULL_422"
    expected = n_pixels * (2 if subsampled else layout.samples) * layout.allocated // 8
    if len(data) != expected + expected % 2 and len(data) != expected:
        raise FilmError(f"the DICOM file's picture has {len(data)} bytes where its header asks for {expected}; export it again")
    if big and layout.allocated == 8 and film["PixelData"].VR == "OW":
        data = np.frombuffer(data, "<u2").byteswap().tobytes()
    words = np.frombuffer(data, ("u1" if layout.allocated == 8 else ">u2" if big else "<u2"))[: expected * 8 // layout.allocated]
    if subsampled:
        return words.reshape(layout.rows, -1, 4)[..., :2].reshape(layout.rows, layout.columns)
    return _luma(_pixels(words, layout), layout)


def _pixels(words: np.ndarray, layout: Layout) -> np.ndarray:
    """(H, W) or (H, W, 3) of words in their stored order."""
    if layout.samples == 1:
        return words.reshape(layout.rows, layout.columns)
    if layout.planar:
        return words.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return words.reshape(layout.rows, layout.columns, layout.samples)


def _luma(pixels: np.ndarray, layout: Layout) -> np.ndarray:
    """(H, W) luma of pixels (H, W, 3); grey pixels (H, W) as they are."""
    if pixels.ndim == 2:
        return pixels
    if layout.photometric.startswith("YBR_FULL"):
        return np.ascontiguousarray(pixels[..., 0])
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)


def _rle(frame: bytes, layout: Layout) -> tuple[np.ndarray, Layout]:
    """Decode RLE (PS3.5 annex G): one segment of PackBits for each byte of a pixel, the highest byte first."""
    sample_bytes, n_pixels = layout.allocated // 8, layout.rows * layout.columns
    count, *starts = struct.unpack("<16L", frame[:64])
    if count != layout.samples * sample_bytes:
        raise FilmError(CONTRADICTS)
    ends = [*starts[1:count], len(frame)]
    planes = [np.frombuffer(_unpacked(frame[a:b], n_pixels), np.uint8) for a, b in zip(starts[:count], ends, strict=True)]
    if sample_bytes == 2:
        planes = [high.astype(np.uint16) << 8 | low for high, low in zip(planes[::2], planes[1::2], strict=True)]
    pixels = np.stack([plane.reshape(layout.rows, layout.columns) for plane in planes], -1)
    return _luma(pixels[..., 0] if layout.samples == 1 else pixels, layout), layout


def _unpacked(packed: bytes, n: int) -> bytes:
    """Decode PackBits to n bytes; FilmError when it holds fewer or more."""
    out, at = bytearray(), 0
    while len(out) < n and at + 1 < len(packed):
        run = packed[at]
        if run < 128:
            out += packed[at + 1 : at + 2 + run]
            at += 2 + run
        else:
            out += packed[at + 1 : at + 2] * (257 - run if run > 128 else 0)
            at += 2 if run > 128 else 1
    if len(out) != n or packed[at:].strip(b"\0"):  # segments may be padded
        raise FilmError(DAMAGED)
    return bytes(out)


def _jpeg(frame: bytes, layout: Layout) -> tuple[np.ndarray, Layout]:
    from imagecodecs import jpeg8_decode

    bits = _frame_bits(frame, layout)
    # a stream that declares its colour space is trusted, else the dataset
    declares_colours = layout.samples == 1 or b"JFIF" in frame[:32] or b"Adobe" in frame[:1024]
    colorspace = None if declares_colours or layout.photometric != "RGB" else "RGB"
    return _decoded(jpeg8_decode(frame, colorspace=colorspace), bits, layout)


def _jpeg_ls(frame: bytes, layout: Layout) -> tuple[np.ndarray, Layout]:
    from imagecodecs import jpegls_decode

    bits = _frame_bits(frame, layout)
    return _decoded(jpegls_decode(frame), bits, layout)


def _jpeg_2000(frame: bytes, layout: Layout) -> tuple[np.ndarray, Layout]:
    from imagecodecs import jpeg2k_decode

    at = frame.find(b"\xff\x4f\xff\x51") + 8  # start of the codestream's size header; the stream may lie within a JP2 file
    if at < 8 or len(frame) < at + 34:
        raise FilmError(DAMAGED)
    right, bottom, left, top = struct.unpack(">4L", frame[at : at + 16])
    samples, depth = struct.unpack(">HB", frame[at + 32 : at + 35])
    _check_agreement(right - left, bottom - top, samples, layout)
    return _decoded(jpeg2k_decode(frame), (depth & 127) + 1, layout)


def _frame_bits(frame: bytes, layout: Layout) -> int:
    """Bits per sample in a JPEG stream's frame header; FilmError when its size is not that of the dataset."""
    if not frame.rstrip(b"\0").endswith(b"\xff\xd9"):  # decoders would fill the missing rest with grey
        raise FilmError(DAMAGED)
    at = 2
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in NOT_FRAMES):
            bits, height, width, samples = struct.unpack(">BHHB", frame[at + 4 : at + 10])
            _check_agreement(width, height, samples, layout)
            return bits
        at += 1 if marker == 0xFF else 2 + length
    raise FilmError(DAMAGED)


def _check_agreement(width: int, height: int, samples: int, layout: Layout) -> None:
    """FilmError unless a stream has the size that the dataset declares."""
    if (width, height, samples) != (layout.columns, layout.rows, layout.samples):
        raise FilmError(CONTRADICTS)


def _decoded(pixels: np.ndarray, bits: int, layout: Layout) -> tuple[np.ndarray, Layout]:
    """A decoder's picture as words, and their layout.

    The stream's bit depth is trusted; for signed words the smaller depth of stream and dataset is used.
    """
    if pixels.shape[:2] != (layout.rows, layout.columns) or pixels.dtype.itemsize > 2 or not 2 <= bits <= 16:
        raise FilmError(CONTRADICTS)
    words = _luma(pixels, replace(layout, photometric="RGB"))
    signed = layout.signed or words.dtype.kind == "i"
    bits = min(bits, layout.bits) if signed else bits  # a sign may have been spread over more bits than are stored
    return words.view(f"u{words.itemsize}"), replace(
        layout, allocated=8 * words.itemsize, bits=bits, high=bits - 1, signed=signed
    )


DECODERS = ((JPEG, _jpeg), (JPEG_LS, _jpeg_ls), (JPEG_2000, _jpeg_2000))
