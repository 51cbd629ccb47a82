"""From corrected boxes to a detector: orientation from boxes, shapes of few films, joints without a box, folds with few films."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from data.phantom.film import draw_film
from ra.config import UserError
from stage1_detect import finetune, orientation, shape_model
from stage1_detect.annotation import marked as marked_films
from stage1_detect.annotation.marked import MarkedFilm, MarkedLimb

PARTS = ("LH", "RF", "RH")


@pytest.fixture(scope="module")
def drawn():
    return {part: draw_film(part, (5, 1), max_px=400) for part in PARTS}


def test_coco_of_others_is_read_and_faults_are_named(tmp_path):
    shape = shape_model.load()["hand"]
    points = (shape.mean * [-1, 1] * 100 + 300) @ np.array([[0, 1], [-1, 0]])  # a right hand that lies on its side
    points -= points.min(0) - 50
    categories = [{"id": 7 + i, "name": joint} for i, joint in enumerate(shape.joints)]
    notes = [{"image_id": "a", "category_id": 7 + i, "bbox": [x - 5, y - 5, 10, 10]} for i, (x, y) in enumerate(points.tolist())]
    value = {
        "images": [{"id": "a", "file_name": "d/x.png", "width": 900, "height": 900}],
        "categories": categories,
        "annotations": notes,
    }
    path = tmp_path / "c.json"
    path.write_text(json.dumps(value))
    (one,) = marked_films.read(path)["x.png"].limbs
    assert one.part == "RH" and one.complete
    places = np.array([box[:2] for box in one.boxes.values()])
    turns = orientation.quarter_turns_of_boxes(one.part, one.boxes)
    (frame,) = orientation.frames(np.zeros((900, 900), np.uint8), [(places, turns)])
    upright = frame.from_file(np.array([one.boxes[j][:2] for j in ("pip_3", "wrist_radius", "thumb_ip", "pip_5")]))
    assert upright[0, 1] < upright[1, 1] - 100 and upright[2, 0] < upright[3, 0]  # fingers up, a right hand's thumb to the left
    categories[0]["name"] = "thumb"
    for text, words in (
        (json.dumps(value), "is not a joint"),
        ("{", "not valid JSON"),
        ("[]", "must be COCO"),
        ('{"images":[{}]}', "must be COCO"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            marked_films.read(path)


def test_two_limbs_of_a_film_are_cut_between_them(drawn, tmp_path):
    left, right = drawn["LH"], drawn["RH"]
    height = max(left.grey.shape[0], right.grey.shape[0])
    both = np.hstack([np.pad(d.grey, ((0, height - len(d.grey)), (0, 0))) for d in (right, left)])
    cv2.imwrite(str(tmp_path / "both.png"), both)
    start = right.grey.shape[1]
    both_limbs = [
        MarkedLimb(part, {j: [x + shift, y, 20.0, 30.0] for j, (x, y) in one.joints.items()})
        for part, one, shift in (("LH", left, start), ("RH", right, 0))
    ]
    marked_films.write({"both.png": MarkedFilm(both.shape[1], both.shape[0], both_limbs)}, tmp_path / "j.json")
    films, boxes = finetune.tables(tmp_path, tmp_path / "j.json")
    assert list(films.part) == ["LH", "RH"] and films.width_px.sum() == both.shape[1] and len(boxes) == 44
    box = boxes[(boxes.film_id == films.film_id[0]) & (boxes.joint == "mcp_3")].iloc[0]
    assert np.allclose(
        [box.x_px + films.left_px[0], box.y_px], [left.joints["mcp_3"][0] + start, left.joints["mcp_3"][1]], atol=0.01
    )
    with pytest.raises(UserError, match="boxes of 0 limbs"):
        marked_films.write({"gone.png": MarkedFilm(9, 9, both_limbs)}, tmp_path / "j.json")
        finetune.tables(tmp_path, tmp_path / "j.json")


def breadth(shape: shape_model.Shape) -> float:
    """The breadth of the row of a foot's MTP joints, in the unit of the shape."""
    return float(np.hypot(*(shape.mean[1] - shape.mean[5])))


def test_a_shape_of_few_films_is_shrunk_and_one_of_many_films_is_not():
    shipped = shape_model.load()["foot"]
    rng = np.random.default_rng(0)
    wide = shipped.mean * [1.4, 1.0]
    points = wide + rng.normal(0, 0.02, (40, *wide.shape))
    learned = shape_model.learn(points, np.full(points.shape[:2], 0.3), "foot")
    gaps = [abs(breadth(shape_model.shrink_towards(shipped, learned, n)) - breadth(learned)) for n in (2, 15, 400)]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] and gaps[2] < 0.01
    few = shape_model.shrink_towards(shipped, learned, 15)
    assert np.allclose(few.modes.reshape(len(few.modes), -1) @ few.modes.reshape(len(few.modes), -1).T, np.eye(len(few.modes)))
    bent = shipped.mean + 2 * np.sqrt(shipped.variance[0]) * shipped.modes[0]  # a pose that the few films never showed
    placed, _, _ = shape_model.fit(few, bent, np.ones(len(bent)))
    assert np.hypot(*(placed - bent).T).max() < 0.1


def test_a_joint_without_a_box_is_not_trained_as_background(tmp_path):
    import torch

    from stage1_detect import model, trainer

    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name, classes in (("whole", range(22)), ("part", range(5))):
        (tmp_path / "labels" / f"{name}.txt").write_text("".join(f"{c} .5 .5 .1 .1\n" for c in classes))
    (tmp_path / "train.txt").write_text("".join(f"{tmp_path}/images/{name}.jpg\n" for name in ("whole", "part")))
    masks = trainer.label_masks(tmp_path / "data.yaml")
    assert sum(masks["whole.jpg"]) == 28 and masks["part.jpg"] == [1.0] * 5 + [0.0] * 17 + [1.0] * 6
    loss = model.MaskedLoss(torch.tensor([masks["whole.jpg"], masks["part.jpg"]]))
    scores = torch.full((2, 3, 28), 4.0)  # a high score for every joint at every place
    spent = loss(scores, torch.zeros_like(scores)).sum((1, 2))
    assert torch.isclose(spent[1], spent[0] * 11 / 28)


def test_each_fold_is_trained_on_the_other_folds_boxed_films(drawn, tmp_path, monkeypatch):
    from stage1_detect import domain_adaptation, model
    from stage1_detect.config import DetectorConfig

    shown: dict[str, list[str]] = {}

    def train(settings, yaml_file, start, target, *_, epochs, shapes):
        shown[target.parent.name] = [Path(line).stem for line in (yaml_file.parent / "train.txt").read_text().splitlines()]
        assert epochs == settings.epochs_out_of_domain
        model.save(start, target, settings.model, settings.imgsz, shapes)

    monkeypatch.setattr(domain_adaptation.trainer, "train", train)
    monkeypatch.setattr(domain_adaptation, "fraction_located", lambda *_: 0.5)
    for part, one in drawn.items():
        cv2.imwrite(str(tmp_path / f"p-{part}.png"), one.grey)
    boxed = {part: MarkedLimb(part, {j: [x, y, 20.0, 20.0] for j, (x, y) in drawn[part].joints.items()}) for part in ("LH", "RF")}
    sizes = {part: drawn[part].grey.shape[::-1] for part in boxed}
    marked_films.write({f"p-{part}.png": MarkedFilm(*sizes[part], [one]) for part, one in boxed.items()}, tmp_path / "j.json")
    table, found = finetune.tables(tmp_path, tmp_path / "j.json")
    unboxed = table.iloc[[0]].assign(film_id="p-RH", part="RH", laterality="R", path=str(tmp_path / "p-RH.png"))
    table = pd.concat([table, unboxed]).assign(fold=[0, 1, 2])
    settings = DetectorConfig("yolo", steps_out_of_domain=40, batch=4)
    detectors = domain_adaptation.fold_detectors(table, found, settings, tmp_path / "run", "all", "cpu", None)
    assert sorted(detectors) == [0, 1, 2]  # the films of the third fold have no boxes
    lh, rf = "00000-LH", "00001-RF"
    assert {k: set(v) for k, v in shown.items()} == {"fold_0": {rf}, "fold_1": {lh}, "fold_2": {lh, rf}}
    assert len(shown["fold_2"]) == 16  # ten epochs of four steps of four films
    only = found[found.film_id == "00000-LH"]
    assert domain_adaptation.fold_detectors(table, only, settings, tmp_path / "one", "0", "cpu", None)[0].imgsz == 320
    assert not (tmp_path / "one" / "fold_0").exists()  # nothing to learn from: the starting detector


def test_the_start_of_an_experiment(tmp_path):
    from stage1_detect.config import SHIPPED, DetectorConfig

    assert DetectorConfig("yolo").weights() == SHIPPED == DetectorConfig("yolo", start="scratch").weights()
    assert DetectorConfig("yolo", start=str(SHIPPED)).weights() == SHIPPED
    with pytest.raises(UserError, match="is not a file"):
        DetectorConfig("yolo", start=str(tmp_path / "none.safetensors")).weights()


def test_weights_carry_their_shapes(tmp_path):
    from stage1_detect import model

    network, imgsz, shapes = model.shipped()
    learned = shape_model.shrink_towards(
        shapes["foot"], shape_model.Shape(**vars(shapes["foot"]) | {"box": shapes["foot"].box * 2}), 4
    )
    model.save(network, tmp_path / "w.safetensors", "yolo11n.yaml", imgsz, {"foot": learned})
    again = model.load(tmp_path / "w.safetensors").shapes
    assert np.allclose(again["foot"].box, learned.box, atol=1e-4) and np.allclose(again["hand"].mean, shapes["hand"].mean)
