"""RAM-H1200: hands only, from the published tree to a submission of the scored columns, and refused trees."""

import importlib
import json
import shutil
import sys
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data import prepare as verb
from data.annotations.joint_aliases import EROSION, NARROWING, joint_of
from data.phantom.film import draw_film
from data.sources import ram_h1200
from ra import anatomy, folds, paths
from ra.config import UserError
from ra.tables import BOXES, FILMS, SITES

PERSONS = {"train": range(9), "val": range(9, 11), "test": range(11, 14)}
HANDS = [c for c in anatomy.COLUMNS_B if c in anatomy.BY_COLUMN and c[1] == "H"]
ALONE = "JP_SCGH_P0003_20120104_5803_R"  # the left hand of this visit is missing


def grades(case: str, prefix: str) -> dict[str, int]:
    """Scores of a case, by their published names."""
    rng = np.random.default_rng(zlib.crc32((case + prefix).encode()))
    regions, top = (EROSION, 5) if prefix == "BE" else (NARROWING, 4)
    return {f"{prefix}_{region}": int(rng.integers(0, top + 1)) for region in regions}


def write_tree(root, max_px: int) -> dict[str, str]:
    """Write the published tree with 14 persons; return case -> official split. Person 1 has two visits, person 3 has one hand."""
    cases = {
        f"JP_SCGH_P{n:04d}_201201{n + 1:02d}_58{n:02d}_{side}": s
        for s, persons in PERSONS.items()
        for n in persons
        for side in "LR"
    }
    cases |= {f"JP_SCGH_P0001_20150630_6000_{side}": "train" for side in "LR"}
    cases = {case: split for case, split in cases.items() if case != ALONE[:-1] + "L"}
    names = {region: joint_of(region) for region in (*EROSION, *NARROWING)}
    for split in PERSONS:
        films, joints = root / "Segmentation" / split, root / "Joint_Detection" / split
        films.mkdir(parents=True)
        joints.mkdir(parents=True)
        images, notes = [], []
        for case in (c for c, s in cases.items() if s == split):
            film = draw_film(f"{case[-1]}H", (zlib.crc32(case.encode()),), max_px=max_px)
            Image.fromarray(film.grey).save(films / f"{case}.bmp")
            height, width = film.grey.shape
            images.append({"id": len(images), "file_name": f"{case}.bmp", "width": width, "height": height})
            for number, joint in enumerate(names.values(), 1):
                (x, y), side = film.joints[joint], film.box_px[joint]
                bbox = [x - side / 2, y - side / 2, side, side]
                notes.append({"id": len(notes), "image_id": len(images) - 1, "category_id": number, "bbox": bbox})
        categories = [{"id": 0, "name": "joints"}, *({"id": i, "name": region} for i, region in enumerate(names, 1))]
        coco = {"images": images, "annotations": notes, "categories": categories}
        (joints / "_annotations.coco.json").write_text(json.dumps(coco))
        bones = coco | {"categories": [{"id": 1, "name": "Radius bone"}]}
        (films / "_annotations_bone_rle.coco.json").write_text(json.dumps(bones))
        for prefix in ("BE", "JSN"):
            folder = root / "SvdH_Scoring" / f"SvdH_{prefix}_Scoring" / split
            for case in (c for c, s in cases.items() if s == split):
                (folder / case).mkdir(parents=True)
                Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / case / "R.bmp")
            scores = {f"{case}.bmp": grades(case, prefix) for case, s in cases.items() if s == split}
            (folder / f"_annotation_{prefix.lower()}_scores.json").write_text(json.dumps(scores))
    return cases


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("ram") / "RAM-H1200"
    return root, write_tree(root, 320)


@pytest.fixture
def copy(tree, tmp_path, monkeypatch):
    """A copy of the tree to damage."""
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    shutil.copytree(tree[0], tmp_path / "raw")
    return tmp_path / "raw"


def prepare(root, **more) -> None:
    verb.prepare("ram_h1200", root, "s", 3, trust=True, **more)


def faults() -> dict:
    return json.loads((paths.work("s") / "report.json").read_text())["faults"]


def test_hands_scores_boxes_and_the_official_split(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    root, cases = tree
    prepare(root)
    films, sites = FILMS.read(paths.films("s")), SITES.read(paths.sites("s"))
    assert len(films) == len(cases) == 29 and set(films.part) == {"LH", "RH"} and not faults()
    assert len(sites) == 89 * 15 and sites[sites.part.isin(["LF", "RF", "ALL"])].target.isna().all()
    assert sites[sites.split == "test"].target.isna().all(), "the gold scores are only in gold.csv"
    one = sites[(sites.patient_id == "JP_SCGH_P0001_20150630") & sites.part.isin(["LH", "RH"])]
    assert set(one.person_id) == {"JP_SCGH_P0001"} and set(one.visit) == {2} and set(one.split) == {"train"}
    for row in one.itertuples():
        case, prefix = f"JP_SCGH_P0001_20150630_6000_{row.part[0]}", "BE" if row.finding == "erosion" else "JSN"
        region = {joint: region for region, joint in ram_h1200.REGIONS[prefix].items()}[row.joint]
        assert row.target == grades(case, prefix)[f"{prefix}_{region}"]
    assert (sites[(sites.patient_id == "JP_SCGH_P0003_20120104")].dropna().part == "RH").all()
    gold = pd.read_csv(paths.work("s") / "gold.csv", index_col=0)
    template = pd.read_csv(paths.work("s") / "template.csv", index_col=0)
    assert list(gold.columns) == list(template.columns) == HANDS and len(gold) == 3 and template.isna().all(axis=None)
    assert gold.notna().all(axis=None) and (gold.index == template.index).all()
    split = pd.read_csv(paths.work("s") / "official_split.csv").set_index("case").split
    assert split.to_dict() == cases
    boxes = BOXES.read(paths.truth_boxes("s"))
    train = films[films.split == "train"]
    assert len(boxes) == 22 * len(train) and set(boxes.film_id) == set(train.film_id)
    fold = folds.load("s")
    assert fold["JP_SCGH_P0001_20120102"] == fold["JP_SCGH_P0001_20150630"], "a person stays in one fold"


def test_split_folders_in_the_root_itself(copy):
    flat = copy.with_name("flat")
    for split in PERSONS:
        shutil.copytree(copy / "Segmentation" / split, flat / split)
        for prefix in ("BE", "JSN"):
            scores = copy / "SvdH_Scoring" / f"SvdH_{prefix}_Scoring" / split
            shutil.copytree(scores, flat / split, dirs_exist_ok=True)
    prepare(flat)
    assert len(FILMS.read(paths.films("s"))) == 29 and not faults() and not paths.truth_boxes("s").exists()


def test_regions_are_the_sites_of_the_challenge():
    """The table of the data set's ROI names and the columns of RA2-DREAM, written out independently."""
    erosion = "IP mcp_E__ip, MCP-T mcp_E__1, MCP-I mcp_E__2, MCP-M mcp_E__3, MCP-R mcp_E__4, MCP-S mcp_E__5, PIP-I pip_E__2, "
    erosion += "PIP-M pip_E__3, PIP-R pip_E__4, PIP-S pip_E__5, CMC-T wrist_E__mc1, Tm wrist_E__mul, S wrist_E__nav, "
    erosion += "L wrist_E__lunate, R wrist_E__radius, U wrist_E__ulna"
    narrowing = "MCP-T mcp_J__1, MCP-I mcp_J__2, MCP-M mcp_J__3, MCP-R mcp_J__4, MCP-S mcp_J__5, PIP-I pip_J__2, PIP-M pip_J__3, "
    narrowing += "PIP-R pip_J__4, PIP-S pip_J__5, CMC-M wrist_J__cmc3, CMC-R wrist_J__cmc4, CMC-S wrist_J__cmc5, "
    narrowing += "STT wrist_J__mna, SC wrist_J__capnlun, SR wrist_J__radcar"
    for names, finding, published in ((EROSION, "erosion", erosion), (NARROWING, "narrowing", narrowing)):
        sites = {region: anatomy.joint2site(joint, finding) for region, joint in names.items()}
        assert sites == dict(pair.split() for pair in published.split(", "))


def scores_file(root):
    return root / "SvdH_Scoring" / "SvdH_BE_Scoring" / "train" / "_annotation_be_scores.json"


def score(root, value):
    content = json.loads(scores_file(root).read_text())
    content[next(iter(content))]["BE_R"] = value
    scores_file(root).write_text(json.dumps(content))


HARD = {
    "crops alone": (lambda root: shutil.rmtree(root / "Segmentation"), "joint crops but no whole hand"),
    "no scores": (lambda root: shutil.rmtree(root / "SvdH_Scoring"), "holds no scores"),
    "not the set": (lambda root: [shutil.rmtree(p) for p in root.iterdir()], "holds no folder train"),
    "grade above": (lambda root: score(root, 6), "BE_R is '6', not a whole number from 0 to 5"),
    "grade between": (lambda root: score(root, 1.5), "BE_R is '1.5'"),
    "grade a list": (lambda root: score(root, [1]), "BE_R is '[1]'"),
    "broken": (lambda root: scores_file(root).write_text("{"), "not valid JSON"),
    "a list": (lambda root: scores_file(root).write_text("[1]"), "must hold"),
    "twice": (
        lambda root: shutil.copy(scores_file(root), scores_file(root).parents[1] / "test"),
        "is scored in train and in test",
    ),
}


@pytest.mark.parametrize("case", HARD)
def test_untrustworthy_trees_are_refused_in_one_sentence(copy, case):
    breaks, sentence = HARD[case]
    breaks(copy)
    with pytest.raises(UserError) as error:
        prepare(copy)
    assert sentence in str(error.value) and "\n" not in str(error.value)
    assert not paths.work("s").exists()


def test_minor_faults_are_reported(copy):
    score(copy, None)
    films = copy / "Segmentation" / "train"
    (films / "JP_SCGH_P0002_20120103_5802_L.bmp").unlink()
    shutil.copy(films / f"{ALONE}.bmp", films / "somebody.bmp")
    shutil.move(films / f"{ALONE}.bmp", films / f"{ALONE}_bmp.rf.0a1b.bmp")
    prepare(copy)
    found = faults()
    assert found["missing film"] == ["train/JP_SCGH_P0002_20120103_5802_L"] and len(found["film without a row"]) == 1
    assert f"{ALONE[:-7]}-RH" in set(FILMS.read(paths.films("s")).film_id)


def test_download_prints_the_licence_and_fails_in_one_sentence(tmp_path, monkeypatch, capsys):
    import huggingface_hub

    request = {}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda **kwargs: request.update(kwargs))
    ram_h1200.download(tmp_path)
    assert request == {"repo_id": "TokyoTechMagicYang/RAM-H1200-v1", "repo_type": "dataset", "local_dir": tmp_path}
    assert "CC BY 4.0" in capsys.readouterr().out

    def unreachable(**_):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(UserError, match="could not be fetched \\(no route to host\\); try again, or download it elsewhere"):
        verb.fetch("ram_h1200", tmp_path)


@pytest.mark.slow
def test_from_the_tree_to_a_submission_of_hands(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("RA_SUBMISSIONS", str(tmp_path / "submissions"))
    prepare(tree[0])

    def step(module: str, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [module, *arguments, "--data", "s"])
        importlib.import_module(module).run()

    smoke, run, joints = ("--profile", "smoke"), ("--run", "blend"), "configs/joints"
    small = ("--set", "weights=[scratch]", "--set", "optim.epochs=1")
    step("stage1_detect.train", "configs/detect/template.yaml", *smoke)
    step("stage2_score.pictures", f"{joints}/pictures", *smoke, "--set", "boxes=template")
    step("stage2_score.train", f"{joints}/members/resnet.yaml", f"{joints}/members/whole.yaml", *smoke, *small)
    step("stage3_stack.train", f"{joints}/stack", *smoke, "--set", "members=[resnet, whole]")
    step("stage3_stack.intervals", *run)
    step("stage3_stack.submit", *run)
    step("evaluation.results", *run)
    submission = pd.read_csv(paths.submission("s"), index_col=0)
    assert list(submission.columns) == HANDS and len(submission) == 3 and submission.notna().all(axis=None)
    maximum = np.array([anatomy.BY_COLUMN[c].max_grade for c in HANDS])
    assert (submission.to_numpy() >= 0).all() and (submission.to_numpy() <= maximum).all()
    assert sorted(submission.index) == [f"JP_SCGH_P{n:04d}_201201{n + 1:02d}" for n in PERSONS["test"]]
    oof = pd.read_parquet(paths.scores("s", 3, "blend", "oof"))
    assert oof[oof.part.isin(["LF", "RF"])].pred.isna().all() and oof[oof.part.isin(["LH", "RH"])].pred.notna().all()
    results = pd.read_csv(paths.run_dir("s", 3, "blend") / "results.csv").set_index("name")
    assert results.loc["blend", ["sc2_oof", "sc3_oof", "sc2_test", "sc3_test"]].notna().all()
    template = pd.read_csv(paths.work("s") / "template.csv").assign(LF_mtp_E__1=np.nan)
    template.to_csv(paths.work("s") / "template.csv", index=False)
    with pytest.raises(UserError, match="LF_mtp_E__1, for which no training patient"):
        step("stage3_stack.submit", *run)
