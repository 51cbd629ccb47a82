"""One picture written as a film in every supported format, for the tests of reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

Writer = Callable[[Path, np.ndarray], Path]  # a picture (H, W) of 0..255 in uint8 -> its file
ENCODE = {
    JPEGBaseline8Bit: lambda words, _: imagecodecs.jpeg8_encode(words, level=98),
    JPEGExtended12Bit: lambda words, bits: imagecodecs.jpeg8_encode(words, level=98, bitspersample=bits),
    JPEGLossless: lambda words, bits: imagecodecs.jpeg8_encode(words, lossless=True, bitspersample=bits, predictor=4),
    JPEGLosslessSV1: lambda words, bits: imagecodecs.jpeg8_encode(words, lossless=True, bitspersample=bits, predictor=1),
    JPEGLSLossless: lambda words, _: imagecodecs.jpegls_encode(words),
    JPEG2000Lossless: lambda words, bits: imagecodecs.jpeg2k_encode(
        words, codecformat="J2K", reversible=True, bitspersample=bits
    ),
}
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit)


def limb_picture(height: int = 300, width: int = 210) -> np.ndarray:
    """A hand-like picture, float 0..1: five rough bright rays from a palm, soft tissue around them, dark air."""
    rng = np.random.default_rng(5)
    bone, flesh = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    root = (width // 2, round(0.85 * height))
    for tip in ((30, 110), (70, 50), (105, 35), (140, 50), (175, 100)):
        for canvas, thick in ((flesh, 34), (bone, 14)):
            cv2.line(canvas, root, tip, 1.0, thick)
    picture = 0.12 + 0.3 * cv2.GaussianBlur(flesh, (0, 0), 4) + 0.45 * bone * rng.uniform(0.6, 1, bone.shape)
    return np.clip(picture + rng.normal(0, 0.01, bone.shape), 0, 1).astype(np.float32)


def dicom(path: Path, stored: np.ndarray, bits: int = 12, syntax: UID = ExplicitVRLittleEndian, **tags) -> Path:
    """Write stored words (H, W) or (H, W, 3), uint8, uint16 or int16. tags: override elements; None removes one."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID = syntax, generate_uid()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    coding = {"is_implicit_VR": syntax.is_implicit_VR, "is_little_endian": syntax.is_little_endian}
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, **coding)
    file.Rows, file.Columns, file.SamplesPerPixel = *stored.shape[:2], stored.size // (stored.shape[0] * stored.shape[1])
    file.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
    file.PixelRepresentation = int(stored.dtype.kind == "i")
    file.BitsAllocated = 8 * stored.dtype.itemsize
    file.BitsStored = min(bits, file.BitsAllocated)
    file.HighBit = file.BitsStored - 1
    if stored.ndim == 3:
        file.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(file, name, value)
    if syntax == RLELossless:
        file.compress(RLELossless, stored, encoding_plugin="pydicom")
    elif syntax in ENCODE:
        file.PixelData = encapsulate([ENCODE[syntax](stored, file.BitsStored)])
        file["PixelData"].VR = "OB"
    else:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        file.PixelData = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
        file["PixelData"].VR = "OB" if stored.itemsize == 1 else "OW"
    for name in [name for name, value in tags.items() if value is None]:
        delattr(file, name)
    file.save_as(path, enforce_file_format=True)
    return path


def saved(path: Path, picture: np.ndarray, **options) -> Path:
    """Write a picture with Pillow, in the format of the path's suffix."""
    Image.fromarray(picture).save(path, **options)
    return path


def deep(picture: np.ndarray, bits: int) -> np.ndarray:
    """A picture of 0..255 as stored words of more bits."""
    return np.rint(picture / 255 * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def _pillow(suffix: str, bits: int = 8, **options) -> Writer:
    return lambda path, picture: saved(path.with_suffix(suffix), deep(picture, bits), **options)


def _dicom(syntax: UID, bits: int) -> Writer:
    return lambda path, picture: dicom(path.with_suffix(".dcm"), deep(picture, bits), bits, syntax)


FORMATS: dict[str, Writer] = {
    "png": _pillow(".png"),
    "png16": _pillow(".png", 16),
    "bmp": _pillow(".bmp"),
    "tiff": _pillow(".tif"),
    "tiff16": _pillow(".tif", 16),
    "tiff_lzw": _pillow(".tif", compression="tiff_lzw"),
    "tiff_deflate": _pillow(".tif", compression="tiff_adobe_deflate"),
    "dicom8": _dicom(ExplicitVRLittleEndian, 8),
    "dicom12": _dicom(ExplicitVRLittleEndian, 12),
    "dicom16": _dicom(ExplicitVRLittleEndian, 16),
    "implicit": _dicom(ImplicitVRLittleEndian, 12),
    "big_endian": _dicom(ExplicitVRBigEndian, 12),
    "deflated": _dicom(DeflatedExplicitVRLittleEndian, 12),
    "rle": _dicom(RLELossless, 12),
    "rle8": _dicom(RLELossless, 8),
    "jpeg_lossless": _dicom(JPEGLossless, 12),
    "jpeg_lossless_sv1": _dicom(JPEGLosslessSV1, 16),
    "jpeg_ls": _dicom(JPEGLSLossless, 12),
    "jpeg_2000": _dicom(JPEG2000Lossless, 12),
}
LOSSY_FORMATS: dict[str, Writer] = {
    "jpg": _pillow(".jpg", quality=98),
    "jpeg_baseline": _dicom(JPEGBaseline8Bit, 8),
    "jpeg_extended": _dicom(JPEGExtended12Bit, 12),
}
