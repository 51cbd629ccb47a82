"""Every schema refuses tables that a later step could not use, and reads what it wrote."""

import numpy as np
import pandas as pd
import pytest

from ra import tables
from ra.config import UserError
from ra.table_validation import ContractError
from ra.tables import BONE_AGE, BOXES, FILMS, FOLDS, SCORES, SITES, check_coverage

ROWS = {  # a valid row of each table
    "films": {"film_id": "p-LH", "patient_id": "p", "person_id": "p", "visit": 1, "part": "LH", "view": "PA", "laterality": "L",
            "path": "a.jpg", "sha1": "0", "width_px": 10, "height_px": 20, "split": "train"},
    "sites": {"patient_id": "p", "person_id": "p", "visit": 1, "part": "LH", "joint": "mcp_2", "site": "mcp_E__2",
            "finding": "erosion", "target": np.nan, "split": "train"},
    "boxes": {"film_id": "p-LH", "joint": "mcp_2", "fold": -1, "x_px": 1.5, "y_px": 2.0, "w_px": 3.0, "h_px": 4.0,
            "conf": np.nan, "source": "truth"},
    "folds": {"patient_id": "p", "fold": 0, "stratum": "1"},
    "bone_age": {"film_id": "p-LH", "bone_age_months": 120.0, "male": 1},
    "scores": {"run": "r", "split": "oof", "fold": 0, "seed": 0, "patient_id": "p", "visit": 1, "part": "LH", "site": "mcp_E__2",
             "finding": "erosion", "target": 2.0, "pred": 1.5, **dict.fromkeys(tables.PROBABILITIES, 0.0), "max_score": 5,
             "box_source": "model"},
}  # fmt: skip
SCHEMAS = pytest.mark.parametrize("schema", [FILMS, SITES, BOXES, FOLDS, BONE_AGE, SCORES], ids=lambda s: s.name)


def frame(schema, **changes) -> pd.DataFrame:
    """Two valid rows of different keys, the first one changed."""
    first, second = dict(ROWS[schema.name]), dict(ROWS[schema.name])
    second["film_id" if "film_id" in schema.key else "patient_id"] = "q"
    return pd.DataFrame([{**first, **changes}, second])


@SCHEMAS
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_what_is_written_is_read(schema, suffix, tmp_path):
    path = tmp_path / "deep" / f"t.{suffix}"
    written = schema.write(frame(schema)[[c for c in list(schema.columns)[::-1] if c in ROWS[schema.name]]], path)
    assert list(written.columns) == list(schema.columns)
    pd.testing.assert_frame_equal(schema.read(path), written)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@SCHEMAS
def test_duplicate_keys_and_wrong_columns_are_refused(schema):
    good = frame(schema)
    with pytest.raises(ContractError, match="duplicate row"):
        schema.check(pd.concat([good, good[:1]]))
    with pytest.raises(ContractError, match=r"column .* is missing"):
        schema.check(good.drop(columns=list(ROWS[schema.name])[-1]))
    with pytest.raises(ContractError, match="unknown column more"):
        schema.check(good.assign(more=1))


def test_a_column_with_a_default_may_be_left_out():
    films = FILMS.check(frame(FILMS))
    assert films.turns.tolist() == [0, 0] and films.spacing_mm.isna().all() and films.part_seen.isna().all()


@SCHEMAS
def test_missing_values_are_refused_where_none_may_be(schema):
    for name, column in schema.columns.items():
        spoiled = schema.check(frame(schema)).astype({name: object})
        spoiled.loc[0, name] = None if column.dtype == "str" else np.nan
        if column.required:
            with pytest.raises(ContractError, match=rf"\.{name}"):
                schema.check(spoiled)
        else:
            assert schema.check(spoiled)[name].isna()[0]


BAD = [
    (FILMS, "part", "LX"), (FILMS, "split", "oof"), (FILMS, "width_px", 0), (FILMS, "patient_id", 7),
    (SITES, "target", -1), (SITES, "target", 449), (SITES, "finding", "fusion"),
    (BOXES, "joint", "mcp_6"), (BOXES, "w_px", -1), (BOXES, "conf", 1.2), (BOXES, "source", "unknown"),
    (FOLDS, "fold", -1), (FOLDS, "fold", "first"), (BONE_AGE, "male", 2), (BONE_AGE, "bone_age_months", -3),
    (SCORES, "pred", -0.1), (SCORES, "p3", 1.1), (SCORES, "split", "train"), (SCORES, "max_score", 0),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "name", "value"), BAD, ids=lambda v: getattr(v, "name", str(v)))
def test_values_out_of_bounds_are_refused(schema, name, value):
    with pytest.raises(ContractError, match=f"{schema.name}.{name}"):
        schema.check(frame(schema).astype({name: object}).assign(**{name: [value, frame(schema)[name][1]]}))


def test_ids_that_look_like_numbers_stay_text(tmp_path):
    table = pd.DataFrame({"patient_id": ["007", "NA", "1e5"], "fold": [0, 1, 2], "stratum": ["1", "2", "3"]})
    FOLDS.write(table, tmp_path / "folds.csv")
    assert FOLDS.read(tmp_path / "folds.csv").patient_id.tolist() == ["007", "NA", "1e5"]


def test_a_refused_table_leaves_the_old_file(tmp_path):
    path = tmp_path / "folds.csv"
    FOLDS.write(frame(FOLDS), path)
    before = path.read_bytes()
    with pytest.raises(ContractError):
        FOLDS.write(frame(FOLDS, fold=-1), path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "folds.csv"
    FOLDS.write(frame(FOLDS), path)
    before = path.read_bytes()

    def full(_, target, **__):
        target.write_text("half a ro")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="No space"):
        FOLDS.write(frame(FOLDS, fold=2), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["folds.csv"]


def test_the_error_for_a_missing_table_names_the_cure(tmp_path):
    with pytest.raises(UserError, match="run the step that writes it first"):
        FOLDS.read(tmp_path / "none.csv")


def test_coverage_needs_every_expected_row_exactly_once():
    expected = frame(SCORES)[["patient_id", "part", "site", "finding"]]
    check_coverage(frame(SCORES), expected, "member")
    with pytest.raises(ContractError, match="1 expected rows are missing"):
        check_coverage(frame(SCORES)[:1], expected, "member")
    with pytest.raises(ContractError, match="appears 2 times"):
        check_coverage(pd.concat([frame(SCORES), frame(SCORES)[:1].assign(fold=1)]), expected, "member")
