"""Agreement of raters on a split, and its section of the page; models broken on purpose are recognised."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from evaluation import (
    agreement,
    site_groups,
)
from evaluation.raters import MODEL, READER1, READER2
from ra import agreement as readers
from ra.anatomy import SITES
from report import page
from report.sections import agreement as section
from report.sections import errors as errors_section
from tests.worlds import evaluation_world as world
from tests.worlds.undrawn import undrawn

PAIR = "model against reader 1"


@pytest.fixture(scope="module")
def pages(raters, tmp_path_factory):
    """Model -> (statistics of agreement on the training patients, the page's folder).

    The page of the sound model has all patients and real figures, those of the broken models have neither.
    """
    out = {}
    for name, change in {"sound": None, **world.BROKEN}.items():
        with pytest.MonkeyPatch.context() as patch:
            if change:
                undrawn(patch)
            rows = change(raters).in_split("oof") if change else raters
            sections = [section.make(rows), errors_section.make(rows)]
        folder = tmp_path_factory.mktemp(name)
        page.write(folder, name, sections, {})
        found = {(one.name, one.of, one.scope): one for one in sections[0].statistics() if one.split == "oof"}
        out[name] = found, folder
    return out


def written(folder):
    """(the page, the CSV by id) of a folder."""
    return (folder / "report.html").read_text(), pd.read_csv(folder / "numbers.csv").set_index("id")


def test_the_statistics_of_a_split_are_computed_from_its_patients(raters):
    found, rows = agreement.measure(raters, "test"), raters.in_split("test")
    model, reader = rows.by[MODEL], rows.by[READER1]
    feet = site_groups.LIMB_FINDINGS["foot erosion"]
    theirs = cohen_kappa_score(reader.grades[:, feet].ravel(), model.whole[:, feet].ravel(), weights="quadratic")
    one = found["kappa", PAIR, "foot erosion"]
    assert one.value == pytest.approx(theirs) and one.low < one.value < one.high and one.n == 60 * 12 and one.split == "test"
    total = found["icc_2_1", PAIR, "total"]
    assert total.value == pytest.approx(readers.icc(np.stack([model.totals[:, 0], reader.totals[:, 0]], 1), "ICC(A,1)").value)
    assert (
        sum(mask.sum() for mask in site_groups.JOINT_TYPES.values())
        == 86
        == sum(m.sum() for m in site_groups.LIMB_FINDINGS.values())
    )
    assert len(site_groups.BOTH_SIDES) == 43 and {int(mask.sum()) for mask in site_groups.BOTH_SIDES.values()} == {2}
    gap, pairs = (
        found["kappa_gap", agreement.GAP, site_groups.EVERYTHING],
        ((MODEL, READER1), (MODEL, READER2), (READER1, READER2)),
    )
    one, two, own = (found["kappa", agreement.pair_name(*pair), site_groups.EVERYTHING].value for pair in pairs)
    assert gap.value == pytest.approx((one + two) / 2 - own)


def test_a_constant_model_agrees_with_no_reader(pages):
    found, folder = pages["constant"]
    text, numbers = written(folder)
    icc, gap = found["icc_2_1", PAIR, "total"], found["icc_gap", agreement.GAP, "total"]
    assert abs(icc.value) < 0.05 and icc.low < 0 < icc.high and gap.high < -0.5
    assert found["kappa", PAIR, "all sites"].high < 0.3 and "is worse than" in text
    assert numbers.value[icc.id] == pytest.approx(icc.value, abs=1e-12)


def test_shuffled_predictions_have_no_correlation_but_the_right_mean(pages):
    found, folder = pages["shuffled"]
    text, _ = written(folder)
    icc, bias = found["icc_2_1", PAIR, "total"], found["bias", PAIR, "total"]
    assert icc.low < 0.05 and icc.value < 0.3 and bias.low < 0 < bias.high and "is worse than" in text


def test_a_shift_is_a_bias_and_does_not_change_the_order(raters, pages):
    found, folder = pages["shifted"]
    text, numbers = written(folder)
    rows = raters.in_split("oof")
    sound = pages["sound"][0]
    added = (world.shifted(rows).by[MODEL].totals - rows.by[MODEL].totals)[:, 0].mean()
    bias = found["bias", PAIR, "total"]
    assert bias.value == pytest.approx(sound["bias", PAIR, "total"].value + added) and bias.low > 100
    assert found["exact", PAIR, "all sites"].high < 0.1 and sound["exact", PAIR, "all sites"].low > 0.8
    model, reader = (rows.by[name].totals[:, 0] for name in (MODEL, READER1))
    assert stats.spearmanr(model + 2 * len(SITES), reader)[0] > 0.85  # the order stays
    assert f'data-id="{bias.id}"' in text and numbers.low[bias.id] == pytest.approx(bias.low)


def test_a_model_blind_to_feet_is_named_by_its_feet(pages):
    found, folder = pages["blind_to_feet"]
    text, numbers = written(folder)
    sound = pages["sound"][0]
    for finding in ("erosion", "narrowing"):
        assert found["kappa", PAIR, f"foot {finding}"].value == 0 == found["sensitivity", PAIR, f"foot {finding}"].value
        hands = ("kappa", PAIR, f"hand {finding}")
        assert found[hands] == sound[hands]
    assert found["kappa", PAIR, "MTP erosion"].value == 0 and found["slope", PAIR, "total"].high < 0
    largest = numbers[(numbers.section == "errors") & (numbers.name == "mae") & (numbers.of == PAIR)].value.idxmax()
    assert "/foot-" in largest and "differ most at foot" in text
    assert (
        numbers[(numbers.section == "errors") & (numbers.name == "bias") & (numbers.of == PAIR)].value.idxmin().split("/")[-1][:4]
        == "foot"
    )


def test_html_csv_and_json_are_the_same_numbers(pages):
    folder = pages["sound"][1]
    text, numbers = (folder / "report.html").read_text(), pd.read_csv(folder / "numbers.csv")
    listed = json.loads((folder / "numbers.json").read_text())
    assert len(re.findall("data:image/png", text)) == 8 and len(text) > 300_000
    assert numbers.id.tolist() == [row["id"] for row in listed] and numbers.id.is_unique and len(numbers) > 1500
    known = {row["id"]: row["value"] for row in listed}
    for name, value in zip(numbers.id, numbers.value, strict=True):
        assert (known[name] is None and np.isnan(value)) or known[name] == pytest.approx(value, rel=1e-12)
    shown = set(re.findall(r'data-id="([^"]+)"', text))
    assert shown <= set(numbers.id) and len(shown) > 300
    assert set(numbers.split) == {"oof", "test"}


def test_the_sections_of_a_set_with_one_reader_name_what_is_missing(raters, monkeypatch):
    undrawn(monkeypatch)
    alone = raters.take(np.arange(30))
    alone = world.with_grades(alone, READER2, np.full((30, 86), np.nan))
    alone = world.with_grades(alone, "truth", np.full((30, 86), np.nan))
    made = section.make(alone)
    assert "reader2.csv" in made.lead and "–" not in made.lead and made.blocks
    assert "A second reader" in " ".join(b.text for b in errors_section.make(alone).blocks if hasattr(b, "text"))
    none = world.with_grades(alone, READER1, np.full((30, 86), np.nan))
    assert section.make(none).blocks == [] == errors_section.make(none).blocks
