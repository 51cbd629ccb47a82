"""DICOM: every way to store and declare greys gives the same picture; tags describe the film, never the patient."""

import logging
import warnings

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from ra import paths
from ra.imaging import dicom as headers
from ra.imaging import film
from tests.worlds.film_formats import FORMATS, deep, dicom, limb_picture, saved

REAL = paths.ROOT.parent / "shared" / "radiographs"


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return np.rint(limb_picture() * 255).astype(np.uint8)


def lut(entries: np.ndarray, first: int, bits: int = 16, packed: bool = False) -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item.LUTData = entries.astype("u1" if bits == 8 else "<u2").tobytes() if packed else [int(entry) for entry in entries]
    item["LUTData"].VR = "OW" if packed else "US"
    return [item]


RAMP = np.arange(4096)
SPANS = {"WindowCenter": 2048, "WindowWidth": 4096}  # LINEAR: 0 is black, 4095 is white
SAME_PICTURE = {
    "nothing declared": {},
    "window of its range": SPANS,
    "several windows, the first counts": {"WindowCenter": [2048, 9], "WindowWidth": [4096, 9]},
    "LINEAR_EXACT": {"WindowCenter": 2047.5, "WindowWidth": 4095, "VOILUTFunction": "LINEAR_EXACT"},
    "rescaled": {"RescaleSlope": "2", "RescaleIntercept": "-100"},
    "rescaled, window": {"RescaleSlope": "2", "RescaleIntercept": "-100", "WindowCenter": 3996, "WindowWidth": 8191},
    "modality LUT": {"ModalityLUTSequence": lut(RAMP * 2, 0, 13)},
    "VOI LUT": {"VOILUTSequence": lut(RAMP * 16, 0)},
    "VOI LUT as bytes": {"VOILUTSequence": lut(RAMP * 16, 0, packed=True)},
    "VOI LUT of 8 bits": {"VOILUTSequence": lut(RAMP // 16, 0, 8, packed=True)},
    "VOI LUT after rescale": {"RescaleIntercept": "-1000", "VOILUTSequence": lut(RAMP * 16, 65536 - 1000)},
    "VOI LUT before a window": {"VOILUTSequence": lut(RAMP * 16, 0), "WindowCenter": 700, "WindowWidth": 900},
    "window of another picture": {"WindowCenter": 40000, "WindowWidth": 3000},
    "window that shows nothing": {"WindowCenter": 2000, "WindowWidth": 60000},
    "16 bits in store": {"BitsStored": 16, "HighBit": 15},
    "window without a width": {"WindowCenter": 2048, "WindowWidth": 0},
    "empty window": {"WindowCenter": "", "WindowWidth": ""},
}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("name", SAME_PICTURE)
def test_equivalent_headers_give_the_same_greys(tmp_path, grey, name, photometric):
    stored, tags = deep(grey, 12), SAME_PICTURE[name]
    stored = stored if photometric == "MONOCHROME2" else (1 << 12) - 1 - stored
    shape = "IDENTITY" if photometric == "MONOCHROME2" else "INVERSE"  # both declare the same inversion
    got = film.read(dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation=photometric, PresentationLUTShape=shape, **tags))
    assert np.abs(got.astype(int) - grey).max() <= 1


STORED = {  # a way to store values 0..4095 -> (words, tags)
    "signed": lambda v: (v.astype(np.int16) - 2048, {"BitsStored": 12, "HighBit": 11}),
    "signed, rescaled to start at 0": lambda v: (v.astype(np.int16) - 2048, {"RescaleIntercept": "2048", "RescaleSlope": "1"}),
    "signed, window": lambda v: (v.astype(np.int16) - 2048, {"WindowCenter": 0, "WindowWidth": 4096}),
    "overlay in the unused bits": lambda v: (v | (np.indices(v.shape).sum(0) % 2 << 13).astype(np.uint16), {}),
    "left in the word": lambda v: (v << 4, {"HighBit": 15}),
    "rescaled downwards": lambda v: (4095 - v, {"RescaleSlope": "-1", "RescaleIntercept": "4095"}),
    "MONOCHROME1 of 16 bits": lambda v: (
        65535 - v,
        {"BitsStored": 16, "HighBit": 15, "PhotometricInterpretation": "MONOCHROME1"},
    ),
    "no HighBit": lambda v: (v, {"HighBit": None}),
    "one frame": lambda v: (v, {"NumberOfFrames": 1}),
}


@pytest.mark.parametrize("syntax", [pydicom.uid.ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("name", STORED)
def test_values_are_read_from_every_way_to_store_them(tmp_path, grey, name, syntax):
    words, tags = STORED[name](deep(grey, 12))
    got = film.read(dicom(tmp_path / "a.dcm", words, syntax=syntax, **tags))
    assert np.abs(got.astype(int) - grey).max() <= 1


def test_signed_words_survive_compression(tmp_path, grey):
    """JPEG-LS and lossless JPEG store unsigned words: the dataset declares the sign and the number of bits."""
    words = deep(grey, 12).astype(np.int16) - 2048
    sign_extended, cut = words.view(np.uint16), words.view(np.uint16) & 4095
    signed, unsigned = {"PixelRepresentation": 1}, {"PixelRepresentation": 0}
    for stored, syntax, tags in (
        (words, JPEG2000Lossless, {}), (words, JPEG2000Lossless, unsigned), (cut, JPEG2000Lossless, signed),
        (sign_extended, JPEGLSLossless, signed), (cut, JPEGLSLossless, signed), (cut, JPEGLosslessSV1, signed),
    ):  # fmt: skip
        got = film.read(dicom(tmp_path / "a.dcm", stored, syntax=syntax, **tags))
        assert np.abs(got.astype(int) - grey).max() <= 1, (syntax.name, tags)


def test_a_window_follows_the_formulas_of_the_standard(tmp_path):
    """PS3.3 C.11.2.1.2 and .3: applied to values after rescaling, not to the range of the picture."""
    stored = np.tile(np.arange(0, 4096, 16, dtype=np.uint16), (40, 1))
    values, centre, width = stored[0] * 0.5 + 100, 1000, 800
    display = {
        "LINEAR": np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1),
        "LINEAR_EXACT": np.clip((values - centre) / width + 0.5, 0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (values - centre) / width)),
    }
    for function, expected in display.items():
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            tags = {"RescaleSlope": "0.5", "RescaleIntercept": "100", "WindowCenter": centre, "WindowWidth": width}
            tags |= {"VOILUTFunction": function, "PhotometricInterpretation": photometric}
            got = film.read(dicom(tmp_path / "a.dcm", stored, **tags))
            assert np.abs(got[0] - 255 * (expected if photometric == "MONOCHROME2" else 1 - expected)).max() <= 0.51


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_lut_sequence_follows_the_standard(tmp_path, photometric):
    """PS3.3 C.11.2.1.1: preferred to a window, applied to values after rescaling, here from -1000 (64536 as unsigned word)."""
    stored = np.tile(np.arange(0, 4096, 16, dtype=np.uint16), (40, 1))
    curve = np.rint(65535 * (RAMP / 4095) ** 2).astype(int)
    tags = {"RescaleIntercept": "-1000", "VOILUTSequence": lut(curve, 65536 - 1000), **SPANS}
    got = film.read(dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation=photometric, **tags))
    expected = 255 * (stored[0] / 4095) ** 2
    assert np.abs(got[0] - (expected if photometric == "MONOCHROME2" else 255 - expected)).max() <= 1


def test_padding_is_black_and_does_not_set_the_range(tmp_path, grey):
    for photometric, padding, limit in (("MONOCHROME2", 63536, None), ("MONOCHROME1", 4095, None), ("MONOCHROME2", 4000, 4095)):
        stored = deep(grey // 2, 10)
        stored = stored if photometric == "MONOCHROME2" else 1023 - stored
        tags = {"PhotometricInterpretation": photometric}
        expected = film.read(dicom(tmp_path / "a.dcm", stored, **tags))
        stored[:40] = padding
        tags |= {"PixelPaddingValue": padding, "PixelPaddingRangeLimit": limit}
        got = film.read(dicom(tmp_path / "b.dcm", stored, **tags))
        assert (got[:40] == 0).all() and np.array_equal(got[40:], expected[40:])


COLOURS = {
    "RGB": lambda g: (np.dstack([g] * 3), {}),
    "RGB by plane": lambda g: (np.dstack([g] * 3), {"PlanarConfiguration": 1}),
    "YBR_FULL": lambda g: (np.dstack([g, np.full_like(g, 128), np.full_like(g, 128)]), {"PhotometricInterpretation": "YBR_FULL"}),
    "RGB with a window": lambda g: (np.dstack([g] * 3), {"WindowCenter": 900, "WindowWidth": 100}),
}


@pytest.mark.parametrize("syntax", [pydicom.uid.ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("name", COLOURS)
def test_colour_captures_become_grey(tmp_path, grey, name, syntax):
    pixels, tags = COLOURS[name](grey)
    path = dicom(tmp_path / "a.dcm", pixels, 8, syntax, **tags)
    if tags.get("PlanarConfiguration") and syntax != RLELossless:
        file = pydicom.dcmread(path)
        file.PixelData = pixels.transpose(2, 0, 1).tobytes()
        file.save_as(path)
    assert np.abs(film.read(path).astype(int) - grey).max() <= 1


@pytest.mark.parametrize("syntax", [pydicom.uid.JPEGBaseline8Bit, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_colour_captures_become_grey(tmp_path, grey, syntax):
    path = dicom(tmp_path / "a.dcm", np.dstack([grey] * 3), 8, syntax)
    assert np.abs(film.read(path).astype(int) - grey).max() <= (8 if syntax == pydicom.uid.JPEGBaseline8Bit else 1)


def test_palette_colour_becomes_grey(tmp_path, grey):
    table = (np.arange(256)[::-1] * 257).astype("<u2").tobytes()
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = table
    assert np.abs(film.read(dicom(tmp_path / "a.dcm", 255 - grey, 8, **tags)).astype(int) - grey).max() <= 1


def test_a_file_without_preamble_is_read(tmp_path, grey):
    path = dicom(tmp_path / "a.dcm", deep(grey, 12))
    (tmp_path / "b.dcm").write_bytes(path.read_bytes()[132:])
    assert np.array_equal(film.read(tmp_path / "b.dcm"), film.read(path))


def test_a_declared_polarity_is_trusted(tmp_path, grey):
    path = dicom(tmp_path / "a.dcm", deep(255 - grey, 12))
    assert film.declares_greys(path) and np.abs(film.read(path).astype(int) - (255 - grey)).max() <= 1
    assert not film.declares_greys(saved(tmp_path / "a.png", grey))


def test_dicom_without_a_picture_or_with_many_is_refused(tmp_path, grey):
    path = dicom(tmp_path / "a.dcm", deep(grey, 12))
    file = pydicom.dcmread(path)
    del file.PixelData
    file.save_as(tmp_path / "b.dcm")
    with pytest.raises(film.FilmError, match="holds no picture"):
        film.read(tmp_path / "b.dcm")
    with pytest.raises(film.FilmError, match="several frames"):
        film.read(dicom(tmp_path / "c.dcm", deep(grey, 12), NumberOfFrames=2))
    with pytest.raises(film.FilmError, match="several pictures"):
        film.read(saved(tmp_path / "a.tif", grey, save_all=True, append_images=[Image.fromarray(grey)]))


CONTRADICTIONS = {
    "Rows": (299, 301, 30, 0, 65535),
    "Columns": (209, 211, 21, 0, 65535),
    "BitsAllocated": (8, 1, 12, 32, 0),
    "SamplesPerPixel": (3, 2, 0),
    "BitsStored": (17, 30),
    "HighBit": (3, 16, 60000),
    "PixelRepresentation": (2, 65535),
    "NumberOfFrames": (2, -1),
    "PhotometricInterpretation": ("RGB", "YBR_FULL_422", "PALETTE COLOR", "MONOCHROME", "", None),
}


@pytest.mark.parametrize("tag", CONTRADICTIONS)
@pytest.mark.parametrize("name", ["dicom12", "big_endian", "deflated", "rle", "jpeg_lossless", "jpeg_ls", "jpeg_2000"])
def test_a_header_that_does_not_fit_the_pixels_is_refused(tmp_path, grey, name, tag):
    path = FORMATS[name](tmp_path / "a", grey[:300])
    whole = film.read(path)
    for value in CONTRADICTIONS[tag]:
        file = pydicom.dcmread(path)
        if value is None:
            delattr(file, tag)
        else:
            setattr(file, tag, value)
        file.save_as(tmp_path / "b.dcm")
        try:
            assert np.array_equal(film.read(tmp_path / "b.dcm"), whole), f"{tag} {value}"
        except film.FilmError as error:
            assert str(error).startswith(str(tmp_path / "b.dcm"))


def code(meaning: str, **more) -> Dataset:
    item = Dataset()
    item.CodeMeaning = meaning
    for name, value in more.items():
        setattr(item, name, value)
    return item


TAGS = {
    "laterality": [
        ({"ImageLaterality": "R", "Laterality": "L"}, "R"),
        ({"ImageLaterality": "", "Laterality": "l"}, "L"),
        ({"ImageLaterality": "B"}, "B"),
        ({"ImageLaterality": "U"}, None),
        ({"AnatomicRegionSequence": [code("Hand", AnatomicRegionModifierSequence=[code("Left")])]}, "L"),
    ],
    "limb": [
        ({"BodyPartExamined": "HAND"}, "hand"),
        ({"BodyPartExamined": "FOOT"}, "foot"),
        ({"BodyPartExamined": "CHEST"}, None),
        ({"BodyPartExamined": "EXTREMITY", "SeriesDescription": "Füße ap"}, None),
        ({"BodyPartExamined": "EXTREMITY", "SeriesDescription": "Hands pa"}, "hand"),
        ({"StudyDescription": "Hands and feet"}, None),
        ({"AnatomicRegionSequence": [code("Toe of foot")], "StudyDescription": "hand"}, "foot"),
    ],
    "view": [
        ({"ViewPosition": "PA"}, "PA"),
        ({"ViewPosition": "ap"}, "AP"),
        ({"ViewPosition": "LL"}, "lateral"),
        ({"ViewPosition": "RLO"}, "oblique"),
        ({"ViewCodeSequence": [code("antero-posterior oblique")]}, "oblique"),
        ({"ViewCodeSequence": [code("Dorsoplantar")]}, "AP"),
        ({"ViewPosition": "???"}, None),
    ],
    "spacing_mm": [
        ({"ImagerPixelSpacing": ["0.1", "0.1"], "PixelSpacing": ["0.2", "0.2"]}, 0.1),
        ({"PixelSpacing": ["0.2", "0.2"]}, 0.2),
        ({"PixelSpacing": ["0.2", "0.3"]}, np.nan),
        ({"PixelSpacing": ["1", "1"], "NominalScannedPixelSpacing": ["0.15", "0.15"]}, 0.15),
        ({"PixelSpacing": "0.2"}, np.nan),
    ],
    "date": [
        ({"StudyDate": "20200203", "AcquisitionDate": "20200202"}, "2020-02-02"),
        ({"StudyDate": "19000101"}, None),
        ({"StudyDate": "20201399"}, None),
    ],
}


@pytest.mark.parametrize("field", TAGS)
def test_tags_hold_what_the_header_declares(tmp_path, grey, field):
    for tags, expected in TAGS[field]:
        got = getattr(headers.tags(dicom(tmp_path / "a.dcm", deep(grey, 12), **tags)), field)
        assert got == expected or (field == "spacing_mm" and np.isnan([got, expected]).all()), (tags, got)
    assert headers.tags(saved(tmp_path / "a.png", grey)) is None and headers.tags(tmp_path / "none.dcm") is None


IDENTITY = {"PatientName": "Meier^Änne Luise", "PatientID": "4711-007", "PatientBirthDate": "19510319"}


def test_a_person_is_a_salted_hash(tmp_path, grey, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "one"))
    person = lambda **tags: headers.tags(dicom(tmp_path / "a.dcm", deep(grey, 12), **tags)).person  # noqa: E731
    first = person(**IDENTITY)
    assert len(first) == 12 and int(first, 16) >= 0 and person(**IDENTITY) == first == person(PatientID="4711-007")
    assert person(PatientID="4711-008") != first != person(PatientID="4711-007", IssuerOfPatientID="B")
    named = person(PatientName="Meier^Anne", PatientBirthDate="19510319")
    assert named not in (None, first) and person(PatientName="Meier^Anne") is None and person(PatientID="anonymous") is None
    salt = tmp_path / "one" / ".salt"
    assert len(salt.read_bytes()) == 32 and salt.stat().st_mode & 0o777 == 0o600 and len(list(salt.parent.iterdir())) == 1
    monkeypatch.setenv("RA_DATA", str(tmp_path / "two"))
    assert person(**IDENTITY) != first


def test_the_identity_appears_in_no_message_or_log(tmp_path, grey, monkeypatch, caplog, capfd):
    """Damaged elements are included, because parsers quote them."""
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    secrets = ("meier", "nne", "luise", "4711", "19510319", "1951-03-19")
    path = dicom(tmp_path / "Meier_Anne_4711-007.dcm", deep(grey, 12), **IDENTITY, StudyDate="meier", WindowCenter="12")
    messages = [repr(headers.tags(path)), headers.redacted(f"{path.name} born 19.03.1951, MEIER", headers.tags(path))]
    assert not any(word in text.lower() for text in messages for word in secrets), messages
    assert headers.redacted("a film", headers.tags(path)) == "a film" and headers.redacted("x.png", None) == "x.png"
    data = path.read_bytes()
    number = b"DS\x02\x0012"  # the window's centre
    assert number in data
    (tmp_path / "a.dcm").write_bytes(data.replace(number, b"DS\x0a\x00Meier4711 "))
    assert np.array_equal(film.read(tmp_path / "a.dcm"), film.read(dicom(tmp_path / "b.dcm", deep(grey, 12))))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for seed, before in enumerate((b"Meier", b"4711-007", b"19510319", b"12") * 6):
            for after in (b"PN", b"\xff\xff\xff\x7f", b"US\x00", b"DS\x10\x00Meier4711"):
                at = data.find(before) - 8 + seed // 4
                (tmp_path / "a.dcm").write_bytes(data[:at] + after + data[at + len(after) :])
                try:
                    headers.tags(tmp_path / "a.dcm")
                    film.read(tmp_path / "a.dcm")
                except film.FilmError as error:
                    messages.append(str(error))
    messages += [str(w.message) for w in warned] + [caplog.text, *capfd.readouterr()]
    assert not any(word in text.lower() for text in messages for word in secrets), messages


@pytest.mark.skipif(not list(REAL.glob("dicom/*.dcm")), reason="the real DICOM files are not here")
def test_real_dicom_files_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    for path in REAL.glob("dicom/*.dcm"):
        grey, tags = film.read(path), headers.tags(path)
        assert grey.shape == film.size(path)[::-1] and np.ptp(grey) > 150
        assert tags.limb is None and tags.person and tags.view in ("PA", "AP")
