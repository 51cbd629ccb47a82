"""Numbers and tables as plain text."""

from ra import text_table
from ra.agreement import Interval


def test_numbers_with_and_without_an_interval():
    nan = float("nan")
    assert text_table.number(0.12345) == "0.123" and text_table.number(2, 1) == "2.0"
    assert text_table.number(None) == text_table.number(nan) == "-"
    assert text_table.number(Interval(0.5, 0.25, 0.75), 2) == "0.50 (0.25, 0.75)"
    assert text_table.number(Interval(0.5, nan, nan)) == "0.500"


def test_columns_are_aligned_and_an_empty_row_is_an_empty_line():
    rows = [["resnet", "0.5"], [], ["a", "10.25"]]
    assert text_table.grid(["run", "score"], rows).splitlines() == [
        "run     score",
        "resnet    0.5",
        "",
        "a       10.25",
    ]
