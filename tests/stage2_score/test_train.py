"""Stage 2 on a tiny set: canonical crops, who is held back, and tables that cover every patient and site once."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from ra import config as configs
from ra import folds, paths, tables
from ra.anatomy import FOOT_JOINTS, HAND_JOINTS, JOINTS, PARTS, SITES, limb
from ra.config import UserError
from ra.imaging import film
from stage2_score import crops, pictures, predict, scores, train
from stage2_score.config import MEMBERS, PICTURES, PRETRAINING, Crops, Member, Pretrain

SMALL = Crops(out_px=24, canvas_px=48)
# Rough left parts, thumb and great toe on the right (shares of width and height).
HAND = [(.85, .50), (.63, .29), (.46, .26), (.31, .31), (.17, .41),
        (.78, .62), (.60, .46), (.47, .46), (.36, .49), (.25, .54)]  # fmt: skip
WRIST = [(.40 + .05 * (i % 4), .78 + .04 * (i // 4)) for i in range(12)]  # fmt: skip
FOOT = [(.71, .21), (.73, .37), (.55, .35), (.44, .37), (.33, .41), (.21, .48)]  # fmt: skip
WIDTH, HEIGHT = 300, 400


def draw(part: str, rng: np.random.Generator) -> tuple[np.ndarray, pd.DataFrame]:
    """A textured film with a bar through every joint, and its boxes."""
    grey = cv2.GaussianBlur(rng.integers(0, 120, (HEIGHT, WIDTH)).astype(np.uint8), (0, 0), 3)
    xy = np.array(HAND + WRIST if limb(part) == "hand" else FOOT) * [WIDTH, HEIGHT] + rng.normal(
        0, 2, (len(JOINTS[limb(part)]), 2)
    )
    for x, y in xy:
        cv2.line(grey, (int(x) - 3, int(y) - 20), (int(x) + 3, int(y) + 20), 230, 5)
    if part[0] == "R":
        grey, xy = np.ascontiguousarray(grey[:, ::-1]), np.column_stack([WIDTH - 1 - xy[:, 0], xy[:, 1]])
    boxes = pd.DataFrame({"joint": JOINTS[limb(part)], "x_px": xy[:, 0], "y_px": xy[:, 1], "w_px": 30.0, "h_px": 30.0})
    return grey, boxes


@pytest.mark.parametrize("kind", ["H", "F"])
def test_a_mirrored_film_gives_the_same_crops(kind):
    grey, boxes = draw(f"L{kind}", np.random.default_rng(0))
    mirrored = boxes.assign(x_px=WIDTH - 1 - boxes.x_px)
    left = crops.cut_film(grey, boxes, f"L{kind}", SMALL)
    right = crops.cut_film(np.ascontiguousarray(grey[:, ::-1]), mirrored, f"R{kind}", SMALL)
    assert all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
    unmirrored = crops.cut_film(grey, boxes, f"R{kind}", SMALL)
    assert not np.array_equal(left[0], unmirrored[0])


def test_crops_do_not_depend_on_turn_size_or_box_size():
    grey, boxes = draw("LH", np.random.default_rng(1))
    plain, _ = crops.cut_film(grey, boxes, "LH", SMALL)
    turned = boxes.assign(x_px=HEIGHT - 1 - boxes.y_px, y_px=boxes.x_px, w_px=9.0)  # a quarter turn clockwise
    quarter, _ = crops.cut_film(cv2.rotate(grey, cv2.ROTATE_90_CLOCKWISE), turned, "LH", SMALL)
    double = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    bigger, _ = crops.cut_film(double, boxes.assign(x_px=2 * boxes.x_px + 0.5, y_px=2 * boxes.y_px + 0.5), "LH", SMALL)
    for other in (quarter, bigger):
        assert np.abs(plain.astype(float) - other).mean() < 6
    assert np.abs(plain[1].astype(float) - plain[2]).mean() > 6  # and they are not all one picture


def test_axes_point_along_finger_hand_and_foot():
    points = {j: np.array(p, float) for j, p in zip(HAND_JOINTS, HAND + WRIST, strict=True)}
    assert crops.joint_axis("pip_2", points) @ [0, -1] > 0.9  # up, y is down
    assert crops.joint_axis("thumb_ip", points)[0] > 0.3  # the thumb leans right
    assert crops.part_axis(points) @ [0, -1] > 0.9
    foot = {j: np.array(p, float) * [WIDTH, HEIGHT] for j, p in zip(FOOT_JOINTS, FOOT, strict=True)}
    assert crops.part_axis(foot) @ [0, -1] > 0.97
    stray = np.vstack([np.array(HAND + WRIST), [[50.0, 50.0]]])
    assert crops.film_scale(stray) < 1.3 * crops.film_scale(stray[:-1])


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Nine training patients (two of one person) and two for test; one film is missing, one is not a picture."""
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    films, boxes, sites = [], [], []
    for i in range(11):
        patient, split = f"p{i:02d}", "train" if i < 9 else "test"
        person = "p00" if i == 1 else patient
        for part in PARTS:
            if (i, part) == (2, "LF"):
                continue
            grey, found = draw(part, rng)
            path = tmp_path / f"{patient}-{part}.png"
            cv2.imwrite(str(path), grey)
            if (i, part) == (9, "RH"):
                path.write_bytes(b"not a film")
            film_id = f"{patient}-{part}"
            films.append(
                {
                    **{"film_id": film_id, "patient_id": patient, "person_id": person, "visit": 1, "part": part, "view": "PA"},
                    **{"laterality": part[0], "path": str(path), "sha1": "0", "split": split},
                    **{"width_px": WIDTH, "height_px": HEIGHT},
                }
            )
            boxes.append(found.assign(film_id=film_id, fold=-1, conf=np.nan, source="truth"))
        for s in SITES:
            grade = float(min(s.max_grade, rng.integers(0, 3) * (i % 4))) if split == "train" else np.nan
            place = {"part": s.part, "joint": s.joint, "site": s.site, "finding": s.finding}
            grade = np.nan if (i, s.site) == (3, "mcp_E__ip") else grade
            sites.append({"patient_id": patient, "person_id": person, "visit": 1, **place, "target": grade, "split": split})
    tables.FILMS.write(pd.DataFrame(films), paths.films("tiny"))
    tables.BOXES.write(pd.concat(boxes), paths.truth_boxes("tiny"))
    table = tables.SITES.write(pd.DataFrame(sites), paths.sites("tiny"))
    train_rows = table[table.split == "train"]
    patients = train_rows.drop_duplicates("patient_id")[["patient_id", "person_id"]]
    totals = scores.gold_totals(train_rows).reindex(patients.patient_id).to_numpy()
    tables.FOLDS.write(folds.make(patients.assign(total=totals), 3, 0), paths.folds("tiny"))
    return tmp_path


def call(monkeypatch, module, *arguments: str) -> None:
    device = [] if module is pictures else ["--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["verb", "--data", "tiny", *device, *arguments])
    module.run()


def write_config(folder, name: str, text: str) -> str:
    (folder / f"{name}.yaml").write_text(text)
    return str(folder / f"{name}.yaml")


CROPS = "kind: crops\nboxes: truth\nout_px: 24\ncanvas_px: 32\n"
QUICK = "weights: [scratch]\noptim: {epochs: 1, batch: 64, precision: fp32}\nembedding: 4\n"
JOINT_KIND = "kind: joints\n"


def test_tables_cover_every_patient_and_site_once(world, monkeypatch, capsys):
    call(monkeypatch, pictures, write_config(world, "crops", CROPS))
    assert "p09-RH" in capsys.readouterr().out  # the damaged film is named
    resnet, totals = QUICK + "backbone: {name: test_resnet}\n", "kind: whole\nhead: {name: totals}\nloss: {name: totals_log}\n"
    configs = [
        write_config(world, "joints", JOINT_KIND + resnet),
        write_config(world, "whole", resnet + totals),
        write_config(world, "sitemean", "kind: sitemean\n"),
    ]  # fmt: skip
    call(monkeypatch, train, *configs, "--jobs", "1")
    sites = tables.SITES.read(paths.sites("tiny"))
    fold_of = folds.load("tiny")
    for run, per_patient in (("joints", 86), ("whole", 8), ("sitemean", 86)):
        oof = tables.SCORES.read(paths.scores("tiny", 2, run, "oof"))
        test = tables.SCORES.read(paths.scores("tiny", 2, run, "test"))
        assert len(oof) == 9 * per_patient and len(test) == 3 * 2 * per_patient, run
        assert (oof.fold == oof.patient_id.map(fold_of)).all(), run
        missing = oof[oof.pred.isna()]
        wanted = {("p02", "LF")} if run != "sitemean" else set()
        assert set(zip(missing.patient_id, missing.part, strict=True)) == wanted, run
        assert (missing.box_source == "none").all() and test.target.isna().all()
        assert (test[test.pred.isna()].part.unique().tolist() == ["RH"]) == (run != "sitemean"), run
        p = oof.loc[oof.pred.notna(), list(tables.PROBABILITIES)].to_numpy()
        if run != "whole":
            assert np.allclose(np.nansum(p, 1), 1) and np.allclose(np.nansum(p * np.arange(11), 1), oof.pred.dropna())
            assert (np.isnan(p).sum(1) == 10 - oof.max_score[oof.pred.notna()]).all()
    merged = tables.SCORES.read(paths.scores("tiny", 2, "joints", "oof")).merge(
        sites, on=["patient_id", "part", "site", "finding"]
    )
    assert ((merged.target_x == merged.target_y) | (merged.target_x.isna() & merged.target_y.isna())).all()
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*.parquet")}
    call(monkeypatch, train, *configs, "--jobs", "1")
    assert before == {path: path.stat().st_mtime_ns for path in world.rglob("*.parquet")}  # all of it skipped
    assert "finished, skipped" in capsys.readouterr().out


@pytest.mark.usefixtures("world")
def test_held_back_patients_come_from_the_training_folds_only():
    sites, fold_of = tables.SITES.read(paths.sites("tiny")), folds.load("tiny")
    for fold in range(3):
        fit, held, out = train.split_fold("tiny", Member("joints", weights=("scratch",)), fold, sites)
        assert held and fit and not (fit & held) and not ((fit | held) & out)
        assert out == set(fold_of.index[fold_of == fold]) and fit | held | out == set(fold_of.index)
        assert ("p00" in held) == ("p01" in held) or fold_of["p00"] == fold  # one person, one side
    persons = pd.Series({f"q{i}": f"h{i // 2}" for i in range(40)})
    from stage2_score.data import hold_back

    held = hold_back(persons, pd.Series(np.arange(40.0), persons.index), 0.2, np.random.default_rng(0))
    assert len(held) == 8 and all(
        (a in held) == (b in held) for a, b in zip(persons.index[::2], persons.index[1::2], strict=True)
    )


def test_a_holdout_predicts_its_own_share_once_and_leaves_the_rest_open(world, monkeypatch):
    sites = tables.SITES.read(paths.sites("tiny"))
    member = Member("joints", weights=("scratch",), holdout=(0.4, 0.3, 0.3))
    fit, held, out = train.split_fold("tiny", member, 0, sites)
    assert not (fit & held or fit & out or held & out) and len(fit | held | out) == 9 and min(len(held), len(out)) >= 2
    assert len({"p00", "p01"} & fit) in (0, 2) and len({"p00", "p01"} & held) in (0, 2)  # one person, one side
    call(monkeypatch, pictures, write_config(world, "crops", CROPS))
    quick = JOINT_KIND + QUICK + "backbone: {name: test_resnet}\nholdout: [0.4, 0.3, 0.3]\n"
    call(monkeypatch, train, write_config(world, "held", quick), "--jobs", "1")
    oof, test = (tables.SCORES.read(paths.scores("tiny", 2, "held", split)) for split in ("oof", "test"))
    seen = oof[oof.patient_id.isin(out)]
    assert len(oof) == 9 * 86 and oof[~oof.patient_id.isin(out)].pred.isna().all() and (seen.fold == 0).all()
    assert seen.pred.notna().mean() > 0.8 and len(test) == 2 * 86
    with pytest.raises(UserError, match="three shares"):
        Member("joints", weights=("scratch",), holdout=(0.7, 0.2))


def test_a_finished_fold_is_not_trained_again_and_targets_of_its_fold_are_not_seen(world, monkeypatch):
    """Corrupt the grades of fold 0: its own predictions must not change by one bit."""
    call(monkeypatch, pictures, write_config(world, "crops", CROPS))
    path = write_config(world, "joints", JOINT_KIND + QUICK + "backbone: {name: test_resnet}\n")
    call(monkeypatch, train, path, "--fold", "0", "--jobs", "1")
    folder = paths.fold_dir("tiny", 2, "joints", 0)
    clean = pd.read_parquet(folder / "oof.parquet").pred
    sites = tables.SITES.read(paths.sites("tiny"))
    mine = sites.patient_id.isin(folds.load("tiny").loc[lambda f: f == 0].index)
    tables.SITES.write(sites.assign(target=sites.target.where(~mine, 4.0)), paths.sites("tiny"))
    call(monkeypatch, train, path, "--fold", "0", "--jobs", "1")
    poisoned = pd.read_parquet(folder / "oof.parquet")
    assert (poisoned.target == 4.0).all() and np.array_equal(clean, poisoned.pred, equal_nan=True)


def test_site_means_by_hand():
    rows = pd.DataFrame(
        {"patient_id": list("abcd"), "visit": 1, "part": "LH", "joint": "pip_2", "site": "pip_E__2", "finding": "erosion"}
    ).assign(max_score=5)
    found = scores.site_means(rows.assign(target=[0.0, 0.0, 2.0, np.nan]), rows.assign(target=np.nan))
    assert found.pred.tolist() == pytest.approx([2 / 3] * 4)
    assert found.p0.iloc[0] == pytest.approx(2 / 3) and found.p2.iloc[0] == pytest.approx(1 / 3) and np.isnan(found.p6.iloc[0])


def test_whole_totals_stay_within_the_parts_maximum():
    place = {"patient_id": "a", "visit": 1, "part": "LF", "joint": "foot", "site": "total"}
    rows = pd.DataFrame({**place, "finding": ["erosion", "narrowing"], "max_score": [60, 24]})
    index = pd.DataFrame({"patient_id": ["a"], "part": ["LF"], "joint": ["foot"], "box_source": ["model"]})
    found = scores.with_values(rows, index, {"erosion": np.array([511.0]), "narrowing": np.array([3.0])})
    assert found.pred.tolist() == [60.0, 3.0]


@pytest.mark.parametrize("profile", ["smoke", "demo", "full"])
def test_experiments_are_valid_and_every_member_fits_its_pretraining(profile):
    kinds = PICTURES | PRETRAINING | MEMBERS
    for task in ("joints", "hand_totals", "joint_visits", "papers"):
        runs = {}
        for folder in ("pictures", "pretrain", "members"):
            for file in sorted((paths.ROOT / "configs" / task / folder).glob("*.yaml")):
                if configs.runs_of(file, profile):
                    runs |= dict(configs.experiments(kinds, [file], profile))
        shared = configs.experiments(kinds, [paths.ROOT / "configs/joints" / name for name in ("pictures", "pretrain")], profile)
        runs = dict(shared) | runs  # the papers' systems share the crops and bone-age runs of the joints
        for name, found in runs.items():
            if isinstance(found, Member | Pretrain) and getattr(found, "sees_pictures", True):
                assert found.pictures in runs, (task, name)
            if isinstance(found, Member) and found.pretrained:
                start = runs[found.pretrained]
                assert (start.backbone, start.embedding) == (found.backbone, found.embedding), (task, name)


def test_members_of_a_folder_that_need_missing_scores_are_left_out(world, monkeypatch, capsys):
    """The tiny set has no Ratingen scores: a folder is trained without the members that learn them; one alone is an error."""
    call(monkeypatch, pictures, write_config(world, "crops", CROPS))
    folder = world / "members"
    folder.mkdir()
    write_config(folder, "sitemean", "kind: sitemean\n")
    ratingen = write_config(folder, "percent", "kind: ratingen\nweights: [scratch]\n")
    call(monkeypatch, train, str(folder))
    assert "no Ratingen scores; left out: percent" in capsys.readouterr().out
    assert (paths.run_dir("tiny", 2, "sitemean") / "run.json").is_file() and not paths.run_dir("tiny", 2, "percent").exists()
    with pytest.raises(UserError, match="no Ratingen percentages"):
        call(monkeypatch, train, ratingen)


@pytest.mark.parametrize(("verb", "flag"), [(pictures, "--boxes=truth"), (pictures, "--fold=0"), (predict, "--fold=0")])
def test_a_verb_refuses_flags_that_it_does_not_use(verb, flag, monkeypatch):
    monkeypatch.setattr("sys.argv", ["verb", "config.yaml", flag])
    with pytest.raises(SystemExit, match="2"):
        verb.run()


def test_film_crop_is_what_crops_expect():
    """The direction that angle_deg names points up in the window."""
    grey = np.zeros((200, 200), np.uint8)
    grey[95:105, 140:160] = 255  # to the right of the centre
    window = film.crop(grey, 100, 100, 160, 64, angle_deg=90)
    y, x = np.argwhere(window > 128).mean(0)
    assert y < 20 and abs(x - 31.5) < 3
