"""DICOM files: what the header declares about a film, without the patient's identity, and the picture as uint8 grey.

Only `Tags` carries texts of a header out of this module; an error names the kind of fault, never a value.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import logging
import math
import os
import re
import secrets
import tempfile
import unicodedata
import warnings
import zlib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ra import paths
from ra.imaging import dicom_pixels as pixels
from ra.imaging.intensity import MAX_BYTES, FilmError

if TYPE_CHECKING:
    from pydicom import Dataset

DEFLATED = "1.2.840.10008.1.2.1.99"
WITHOUT_PREAMBLE = (b"\x02\0", b"\x08\0")  # first bytes of a file without preamble: the number of its first group
SPACING_MM = (0.03, 0.6)  # plausible range of detectors and plates, with room for magnification
FIRST_YEAR = 1950  # earlier dates are placeholders
PLACEHOLDERS = {"", "0", "NA", "NONE", "UNKNOWN", "ANONYMOUS", "ANONYMIZED", "ANONYMISED", "ANON", "NONAME", "PATIENT", "TEST"}

LIMBS = {
    "hand": {"HAND", "HANDS", "LHAND", "RHAND", "FINGER", "FINGERS", "THUMB", "WRIST", "WRISTS", "MAIN", "MANO", "HAENDE"},
    "foot": {"FOOT", "FEET", "LFOOT", "RFOOT", "FOREFOOT", "TOE", "TOES", "PIED", "PIE", "FUSS", "VORFUSS", "FUESSE"},
}
VIEWS = {
    "lateral": {"LL", "RL", "LAT", "LATERAL", "ML", "LM"},
    "oblique": {"LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "OBL", "OBLIQUE"},
    "PA": {"PA", "DV"},
    "AP": {"AP"},
}
VIEW_WORDS = {  # patterns in the meaning of a coded view; the first that matches counts
    "oblique": r"obliq",
    "lateral": r"later",
    "PA": r"postero-?\s?anterior|dorso-?\s?(palmar|volar)",
    "AP": r"antero-?\s?posterior|dorso-?\s?plantar",
}


@dataclass(frozen=True)
class Tags:
    """What a header declares about its film; None or NaN where it has no plausible value.

    laterality: L, R or B (both). limb: hand or foot. view: PA, AP, lateral or oblique. date: ISO date of the exposure, to order
    visits. person: 12 hexadecimal digits, the same for the same person within this data folder only. identity: the header's
    texts that identify the person, kept only for `redacted`; never print them.
    """

    laterality: str | None = None
    limb: str | None = None
    view: str | None = None
    spacing_mm: float = math.nan
    date: str | None = None
    person: str | None = None
    identity: tuple[str, ...] = field(default=(), repr=False)


def is_dicom(data: bytes) -> bool:
    """Whether the first bytes of a file (132 are enough) are those of a DICOM file, with or without preamble."""
    return data[128:132] == b"DICM" or (data[:2] in WITHOUT_PREAMBLE and len(data) > 8 and data[3] == 0 and data[2] < 0x20)


def tags(path: str | Path) -> Tags | None:
    """What the header of a file declares; None when it is not a readable DICOM file. A damaged tag counts as absent."""
    try:
        with Path(path).open("rb") as file:
            if not is_dicom(file.read(132)) or os.fstat(file.fileno()).st_size > MAX_BYTES:
                return None
            file.seek(0)
            header = _dataset(file, pixels=False)
    except Exception:  # a parser may raise anything on a damaged file
        return None
    return Tags(_laterality(header), _limb(header), _view(header), _spacing_mm(header), _date(header), *_person(header))


def redacted(text: str, patient: Tags | None) -> str:
    """The text with the patient's name, id and birth date replaced by <patient>, in any case."""
    for word in sorted(patient.identity if patient else (), key=len, reverse=True):
        text = re.sub(re.escape(word), "<patient>", text, flags=re.IGNORECASE)
    return text


def size(data: bytes) -> tuple[int, int]:
    """(width_px, height_px) from the header alone."""
    header = _dataset(io.BytesIO(data), pixels=False)
    return int(header.Columns), int(header.Rows)


def decode(data: bytes) -> np.ndarray:
    """Decode to uint8 (H, W), with greys as the standard displays them. On failure a FilmError without any text of the header."""
    return pixels.grey(_dataset(io.BytesIO(data), pixels=True))


def _dataset(file: BinaryIO, pixels: bool) -> Dataset:
    """Read the file's elements, keeping their values out of warnings and logs."""
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module="pydicom")  # catch_warnings would not hold in threads
    return pydicom.dcmread(_inflated(file), stop_before_pixels=not pixels, force=True)


def _inflated(file: BinaryIO) -> BinaryIO:
    """The file, decompressed if it is deflated, because pydicom would decompress it without a size limit."""
    from pydicom.filereader import read_dataset

    start = file.tell()
    if file.read(132)[128:] != b"DICM":
        file.seek(start)
        return file
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    meta_end = file.tell()
    file.seek(start)
    if str(meta.get("TransferSyntaxUID", "")) != DEFLATED:
        return file
    head, packed = file.read(meta_end - start), file.read()
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    content = decompressor.decompress(packed, MAX_BYTES)
    if not decompressor.eof:
        raise FilmError("the deflated DICOM file is truncated or holds more than any film; export it again")
    explicit = DEFLATED.removesuffix(".99").encode().ljust(len(DEFLATED), b"\0")
    return io.BytesIO(head.replace(DEFLATED.encode(), explicit) + content)


def _value(header: Dataset, keyword: str) -> Any:
    """An element's value; None when it is absent, empty or cannot be read."""
    try:
        value = header.get(keyword)
    except Exception:
        return None
    return None if value in ("", None) else value


def _text(header: Dataset, keyword: str) -> str:
    """An element's value as text; empty when it is absent or cannot be read."""
    value = _value(header, keyword)
    return "" if value is None else str(value).strip()


def _codes(header: Dataset, *keywords: str) -> list[Dataset]:
    """The items of nested sequences, the outermost keyword first; an empty list where a sequence is absent."""
    items = [header]
    for keyword in keywords:
        items = [inner for item in items for inner in (_value(item, keyword) or ())]
    return items


def _laterality(header: Dataset) -> str | None:
    """L, R or B (both): the first valid value among the elements that may declare it."""
    frames = _codes(header, "SharedFunctionalGroupsSequence", "FrameAnatomySequence")
    modifiers = _codes(header, "AnatomicRegionSequence", "AnatomicRegionModifierSequence")
    values = [_text(header, "ImageLaterality"), _text(header, "Laterality")]
    values += [_text(item, "FrameLaterality") for item in frames]
    values += [{"left": "L", "right": "R"}.get(_text(item, "CodeMeaning").lower(), "") for item in modifiers]
    return next((value for value in map(str.upper, values) if value in ("L", "R", "B")), None)


def _limb(header: Dataset) -> str | None:
    """hand or foot: from the first element that names one limb and not the other."""
    region = " ".join(_text(item, "CodeMeaning") for item in _codes(header, "AnatomicRegionSequence"))
    descriptions = [_text(header, keyword) for keyword in ("ProtocolName", "SeriesDescription", "StudyDescription")]
    for text in (_text(header, "BodyPartExamined"), region, *descriptions):
        words = set(re.findall(r"[A-Z]+", _without_accents(text).upper()))
        named = [limb for limb, names in LIMBS.items() if words & names]
        if len(named) == 1:
            return named[0]
    return None


def _view(header: Dataset) -> str | None:
    """PA, AP, lateral or oblique: from the view position, else from the meaning of the coded view."""
    words = set(re.findall(r"[A-Z]+", _text(header, "ViewPosition").upper()))
    meaning = " ".join(_text(item, "CodeMeaning") for item in _codes(header, "ViewCodeSequence")).lower()
    views = [view for view, names in VIEWS.items() if words & names]
    views += [view for view, pattern in VIEW_WORDS.items() if re.search(pattern, meaning)]
    return views[0] if views else None


def _spacing_mm(header: Dataset) -> float:
    """Millimetres per pixel, if both directions agree and the value is plausible for a detector; else NaN."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing"):
        try:
            down, right = (float(value) for value in _value(header, keyword))
        except (TypeError, ValueError, OverflowError):
            continue
        if min(down, right) >= SPACING_MM[0] and max(down, right) <= min(SPACING_MM[1], 1.02 * min(down, right)):
            return math.sqrt(down * right)
    return math.nan


def _date(header: Dataset) -> str | None:
    """ISO date of the exposure: the first plausible one among the elements that may declare it."""
    for keyword in ("AcquisitionDate", "AcquisitionDateTime", "ContentDate", "SeriesDate", "StudyDate"):
        try:
            day = date.fromisoformat(_text(header, keyword).replace(".", "")[:8])
        except ValueError:
            continue
        if FIRST_YEAR <= day.year <= date.today().year + 1:
            return day.isoformat()
    return None


def _without_accents(text: str) -> str:
    """The text in ASCII letters, accents removed."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _person(header: Dataset) -> tuple[str | None, tuple[str, ...]]:
    """(salted hash of the person or None, the texts that identify the person)."""
    key, name, born = (_text(header, k) for k in ("PatientID", "PatientName", "PatientBirthDate"))
    names = [name, _text(header, "OtherPatientNames"), _text(header, "PatientBirthName")]
    spellings = [*names, *map(_without_accents, names)]
    words = {word for spelling in spellings for word in re.findall(r"[^\W\d_]{3,}", spelling)}
    digits = re.sub(r"\D", "", born)
    texts = {key, name, _text(header, "OtherPatientIDs"), born, digits}
    if len(digits) == 8:
        year, month, day = digits[:4], digits[4:6], digits[6:]
        texts |= {f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{day}{month}{year}"}
    identity = tuple(sorted(text for text in words | texts if len(text) >= 3))
    if key.upper() not in PLACEHOLDERS:
        return _hash("id", key, _text(header, "IssuerOfPatientID")), identity
    if born and name.replace("^", "").strip().upper() not in PLACEHOLDERS:
        return _hash("name", name.rstrip("^").upper(), born), identity
    return None, identity


def _hash(*texts: str) -> str:
    """12 hexadecimal digits of the texts, keyed with the data folder's secret."""
    return hmac.new(_salt(), "\0".join(texts).encode(), hashlib.sha256).hexdigest()[:12]


def _salt() -> bytes:
    """The data folder's secret, created once: without it, hashes cannot be reversed by trying all ids."""
    path = paths.data_root() / ".salt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)  # mode 600
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(name, path)  # atomic, and never replaces a secret that another process has just written
        except FileExistsError:
            pass
        finally:
            Path(name).unlink()
    return path.read_bytes()
