"""The part of a film in its file's name."""

import pytest

from ra import film_names


@pytest.mark.parametrize(
    ("stem", "patient", "part"),
    [
        ("UAB001-LH", "UAB001", "LH"),
        ("a_b-c_rf", "a_b-c", "RF"),
        ("Patient 7 Lf", "Patient 7", "LF"),
        ("RH", "", "RH"),
        ("UAB001", "UAB001", None),
        ("UAB001-XH", "UAB001-XH", None),
        ("SALH", "SALH", None),
        ("LH-UAB001", "LH-UAB001", None),
    ],
)
def test_a_name_ends_with_its_part_after_a_separator(stem, patient, part):
    assert film_names.split(stem) == (patient, part)
    assert film_names.part_of(stem) == part
