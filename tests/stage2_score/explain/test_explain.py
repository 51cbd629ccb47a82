"""Explanations: cases follow the rule, no network scores a patient of its training, and planted outliers are found."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from evaluation import localisation, statistic
from evaluation.raters import READER1, Raters
from ra import config, paths, tables
from ra.anatomy import SITES
from ra.config import UserError
from report.blocks import Gallery, Picture
from report.sections import explanations, films, training
from stage2_score import pictures, train
from stage2_score.config import Member, TrainingContext
from stage2_score.explain import __main__, cases, embedding
from stage2_score.explain.cases import Rule
from stage2_score.explain.heldout_networks import HeldOutNetworks
from stage2_score.explain.occlusion import corners, occlusion
from tests.worlds import evaluation_world
from tests.worlds.stage2_world import CROPS, JOINT_KIND, QUICK, call, write_config

RULE = Rule(healthy=0.0, severe=0.5, small=0.1, large=0.3, each=2)


def table_of(*rows: tuple[str, float, float, int]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["patient_id", "target", "pred", "max_score"])
    return table.assign(finding="erosion")


def test_cases_follow_the_rule_by_hand():
    rows = table_of(
        ("seen", 5, 4.6, 5), ("half", 2.5, 2.4, 5), ("foot", 10, 9.1, 10), ("healthy", 0, 0.4, 5), ("mild", 1, 1.2, 5),
        ("high", 0, 1.6, 5), ("higher", 1, 4.9, 5), ("low", 5, 3.4, 5), ("foot low", 9, 6.2, 10), ("between", 0, 0.9, 5),
        ("unscored", np.nan, 1.0, 5), ("unread", 0, np.nan, 5),
    )  # fmt: skip
    found = dict(zip(rows.patient_id, cases.case_type(rows, RULE), strict=True))
    wanted = {"seen": "tp", "half": "tp", "foot": "tp", "healthy": "tn", "high": "fp", "higher": "fp", "low": "fn"}
    assert found == {name: wanted.get(name, "") for name in rows.patient_id}


def test_the_clearest_cases_are_shown_one_per_patient():
    rows = table_of(
        ("a", 5, 5, 5), ("a", 5, 4.9, 5), ("b", 3, 3, 5), ("c", 4, 4, 5), ("d", 0, 2, 5), ("e", 0, 5, 5), ("f", 1, 4, 5)
    )
    shown = cases.choose(rows, RULE)
    assert shown[["case", "patient_id"]].to_numpy().tolist() == [["tp", "a"], ["tp", "c"], ["fp", "e"], ["fp", "f"]]


def test_occlusion_finds_the_place_that_drives_a_network():
    class Corner(nn.Module):
        def forward(self, picture, kind, extra=None):  # noqa: ARG002 - called like every network
            return {"score": picture[:, 0, 12:18, 3:9].float().mean((1, 2)) / 100}

    picture = torch.full((1, 1, 24, 24), 228, dtype=torch.uint8)
    fall, value = occlusion(
        Corner(), {"picture": picture, "kind": torch.zeros(1)}, lambda out: out["score"], side_px=6, step_px=3
    )
    assert value == pytest.approx(2.28) and fall.shape == (24, 24)
    assert fall.max() == pytest.approx(float(fall[12:18, 3:9].max())) and fall[14:16, 5:7].min() > 0.4
    assert fall[:6].abs().max() == 0 and fall[:, 15:].abs().max() == 0
    assert corners(56, 11, 6)[-1] == 45  # the last square ends at the edge


def test_outliers_find_a_planted_mislabel_and_ignore_crops_of_the_same_person():
    rng = np.random.default_rng(0)
    grade = np.repeat([0.0, 5.0], 60)
    points = rng.normal(0, 0.1, (120, 8)) + grade[:, None]
    rows = pd.DataFrame({"joint": "mcp_2", "finding": "erosion", "max_score": 5, "target": grade})
    rows["person_id"] = [f"P{i // 2}" for i in range(120)]
    rows.loc[7, "target"] = 5.0  # looks healthy, is labelled destroyed
    found = embedding.outliers(embedding.with_neighbours(rows, points, 5), 3)
    assert found.person_id[0] == "P3" and found.gap[0] == pytest.approx(1.0) and found.neighbours[0] == 0.0
    assert found.gap[1:].abs().max() <= 0.2 + 1e-9
    rows.loc[rows.person_id == "P3", "target"] = 5.0  # both crops of that person: they must not support each other
    points[6] = points[7]
    assert embedding.with_neighbours(rows, points, 5).neighbours[[6, 7]].tolist() == [0.0, 0.0]


def test_the_map_is_the_same_twice_and_keeps_groups_apart():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(k * 4, 0.5, (20, 6)) for k in range(3)]).astype(np.float32)
    once, twice = embedding.tsne(points, 0), embedding.tsne(points, 0)
    assert np.array_equal(once, twice)
    centres = once.reshape(3, 20, 2).mean(1)
    within = np.linalg.norm(once.reshape(3, 20, 2) - centres[:, None], axis=2).mean()
    assert min(np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 2 * within


def test_every_grade_is_on_the_map():
    grade = np.repeat([0.0, 1.0, 2.0, 5.0], [900, 50, 10, 2])
    kept = grade[embedding.balanced_subset(grade, 100, 0)]
    assert len(kept) == 100 and (kept == 5).sum() == 2 and (kept == 2).sum() == 10 and (kept == 1).sum() > 30


@pytest.fixture
def trained(world, monkeypatch):
    """Joint and whole-film members of the tiny set, one epoch each."""
    monkeypatch.setenv("RA_SUBMISSIONS", str(world / "submissions"))
    resnet, totals = (
        QUICK + "backbone: {name: test_resnet}\nsampler: {name: all, epoch_size: 16}\n",
        "kind: whole\nhead: {name: totals}\nloss: {name: totals_log}\n",
    )
    call(monkeypatch, pictures, write_config(world, "crops", CROPS))
    files = [write_config(world, "joints", JOINT_KIND + resnet), write_config(world, "whole", resnet + totals)]
    call(monkeypatch, train, *files, "--jobs", "1")
    return SimpleNamespace(folder=world, files=files)


def held_out(name: str) -> HeldOutNetworks:
    member = config.load(Member, paths.run_dir("tiny", 2, name) / "config.yaml")
    return HeldOutNetworks(name, member, TrainingContext("tiny", "tiny"))


def test_from_trained_members_to_the_page(trained, monkeypatch, capsys):
    call(monkeypatch, __main__, *trained.files)
    held = held_out("joints")
    pictures = np.concatenate([held.unseen(k) for k in range(3)])
    networks = [(network, pictures[positions]) for network, positions in held.by_fold(pictures)]
    assert len(networks) == 3 and sorted(np.concatenate([rows for _, rows in networks])) == sorted(pictures)
    _each_network_reproduces_the_table(held, networks)
    folder = paths.explanations("tiny", "joints")
    points, outliers = (pd.read_parquet(folder / f"{name}.parquet") for name in ("embeddings", "outliers"))
    assert len(set(points.fold)) == 1 and not points[["x", "y"]].isna().to_numpy().any() and len(points) > 100
    assert set(points.patient_id) <= set(held.fold_of.index[held.fold_of == points.fold[0]])
    assert outliers.groupby("finding").size().tolist() == [12, 12]
    capsys.readouterr()
    call(monkeypatch, __main__, *trained.files)
    assert capsys.readouterr().out.count("skipped") == 2
    call(monkeypatch, __main__, trained.files[0], "--patient", "p01", "--part", "LH", "--joint", "mcp_2")
    assert set(pd.read_parquet(folder / "asked.parquet").finding) == {"erosion", "narrowing"}
    with pytest.raises(UserError, match="LH"):
        call(monkeypatch, __main__, trained.files[0], "--patient", "unknown", "--part", "LH")
    _sections_show_what_is_there()
    _a_network_trained_on_the_patient_is_refused()


def _each_network_reproduces_the_table(held: HeldOutNetworks, networks: list) -> None:
    """A fold's network gives the scores of the out-of-fold table for its pictures: it is that fold's network."""
    rows = held.rows[held.rows.finding == "erosion"]
    at = held.picture_of(rows)
    for network, positions in networks:
        some = np.isin(at, positions)
        with torch.no_grad():
            batch = held.batch(at[some])
            scored = held.value(network(batch["picture"], batch["kind"]), "erosion").numpy()
        assert scored == pytest.approx(rows.pred.to_numpy()[some], abs=2e-3)


def _a_network_trained_on_the_patient_is_refused() -> None:
    path = paths.scores("tiny", 2, "joints", "oof")
    oof = tables.SCORES.read(path)
    tables.SCORES.write(oof.assign(fold=(oof.fold + 1) % 3), path)
    held = held_out("joints")
    with pytest.raises(UserError, match="was trained on"):
        list(held.by_fold(held.unseen(0)))


def raters_of_tiny() -> Raters:
    """Readers and a model for the tiny set's eleven patients."""
    made = evaluation_world.make(9, 2, visits=1)
    renamed = np.array([f"p{i:02d}" for i in range(11)], dtype=object)
    return Raters("tiny", "blend", renamed, renamed, made.visit, made.split, made.fold, made.by, made.probabilities)


def _sections_show_what_is_there() -> None:
    made = paths.run_dir("tiny", 3, "blend")
    made.mkdir(parents=True)
    (made / "config.yaml").write_text("members: [joints, whole]\n")
    raters = raters_of_tiny()
    section = explanations.make(raters)
    titles = [block.title for block in section.blocks if isinstance(block, Gallery | Picture)]
    assert any(title.startswith("Largest errors: erosion") for title in titles) and any("Requested" in title for title in titles)
    assert any(title.startswith("Map of the joint crops") for title in titles)
    known = statistic.table(list(section.statistics()))  # also: no two numbers of one name
    row = known[(known.of == READER1) & known.scope.str.startswith("p01 LH mcp_2 erosion")]
    site = next(j for j, s in enumerate(SITES) if (s.part, s.joint, s.finding) == ("LH", "mcp_2", "erosion"))
    assert row.value.tolist() == [raters.by[READER1].grades[1, site]]
    curves = training.make(raters)
    assert [block.title for block in curves.blocks if isinstance(block, Picture)] == ["Stage 2, members"]
    assert "own boxes" in films.make(raters).lead


@pytest.mark.usefixtures("world")
def test_localisation_by_hand():
    truth = tables.BOXES.read(paths.truth_boxes("tiny"))
    found = truth.assign(source="model", conf=0.9, fold=0)
    hands = found.film_id.str.endswith("H")
    found.loc[found.index[hands][:3], "x_px"] += 0.05 * 400  # three joints are missed; 2 % of the long side is 8 px
    found.loc[found.index[~hands][:2], "source"] = "template"
    found.loc[found.index[~hands][2], "source"] = "outside"
    tables.BOXES.write(found, paths.boxes("tiny", "yolo", "oof"))
    told = {(one.name, one.scope): one for one in localisation.statistics("tiny", "yolo")}
    n_hands, n_feet = int(hands.sum()), int((~hands).sum()) - 1
    near, template = told["within 2 % of the long side, %", "hand"], told["placed by the template, %", "foot"]
    assert near.value == pytest.approx(100 * (1 - 3 / n_hands)) and near.n == n_hands and near.low < near.value
    assert template.value == pytest.approx(100 * 2 / n_feet) and told["joints", "foot"].value == n_feet
