"""Joint boxes in every format: equal boxes from each, assigned to the right film, and faults as sentences."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from data.annotations import boxes
from data.issues import Report
from data.sources import ra2dream
from ra import anatomy
from ra.config import UserError
from ra.imaging.film import Frame
from ra.tables import BOXES, FILMS

WIDTH, HEIGHT = 200, 300
PLACES = {"mcp_2": (60.0, 120.0, 20.0, 24.0), "pip_3": (90.0, 60.0, 16.0, 18.0), "wrist_ulna": (150.0, 250.0, 30.0, 30.0)}
NOISE = list(b'0123456789.-e"[]{},: \xff\x00nN')
NUMBERS = ["x_px", "y_px", "w_px", "h_px"]


def film_row(path, film_id: str, part: str, **frame) -> dict:
    """A row of the films table; the whole file unless a frame is given."""
    people = {"patient_id": "A", "person_id": "A", "visit": 1, "split": "train", "view": "PA", "sha1": "0"}
    size = {"width_px": WIDTH, "height_px": HEIGHT}
    return people | size | {"film_id": film_id, "part": part, "laterality": part[0], "path": str(path)} | frame


@pytest.fixture
def folder(tmp_path):
    """Two films of 200 x 300 px; the second one is stored turned, with an EXIF orientation."""
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "A-LH.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((WIDTH, HEIGHT), np.uint8)).save(tmp_path / "A-RH.jpg", exif=exif)
    return tmp_path


@pytest.fixture
def films(folder):
    return FILMS.check(pd.DataFrame([film_row(folder / f"A-{part}.jpg", f"A-{part}", part) for part in ("LH", "RH")]))


def write_coco(folder):
    names = list(PLACES)
    corners = [(names.index(j), [x - w / 2, y - h / 2, w, h]) for j, (x, y, w, h) in PLACES.items()]
    notes = [{"image_id": 0, "category_id": number, "bbox": bbox} for number, bbox in corners]
    image = {"id": 0, "file_name": "A-RH_jpg.rf.0a1b.jpg", "width": WIDTH, "height": HEIGHT}
    content = {"images": [image], "annotations": notes, "categories": [{"id": i, "name": n} for i, n in enumerate(names)]}
    (folder / boxes.COCO).write_text(json.dumps(content))


def write_yolo(folder, names="data.yaml"):
    (folder / "labels").mkdir(exist_ok=True)
    known = list(anatomy.ALL_JOINTS) if names is None else ["nothing", *PLACES]
    lines = [f"{known.index(j)} {x / WIDTH} {y / HEIGHT} {w / WIDTH} {h / HEIGHT}" for j, (x, y, w, h) in PLACES.items()]
    (folder / "labels" / "A-RH.txt").write_text("\n".join(lines) + " 0.93\n")
    if names == "data.yaml":
        (folder / names).write_text(yaml.safe_dump({"names": dict(enumerate(known))}))
    if names == "classes.txt":
        (folder / "labels" / names).write_text("\n".join(known))


def write_labelme(folder):
    shapes = []
    for joint, (x, y, w, h) in PLACES.items():
        corners = [[x + w / 2, y + h / 2], [x - w / 2, y - h / 2]]  # drawn from the lower right
        rim = [[x, y], [x, y + h / 2]]
        shape = {"label": joint, "points": corners, "shape_type": "rectangle"}
        shapes.append(shape | ({"points": rim, "shape_type": "circle"} if w == h else {}))
    (folder / "A-RH.json").write_text(json.dumps({"shapes": shapes, "imageWidth": WIDTH, "imageHeight": HEIGHT}))


FORMATS = {
    "coco": write_coco,
    "yolo, data.yaml": write_yolo,
    "yolo, classes.txt": lambda folder: write_yolo(folder, "classes.txt"),
    "yolo, our classes": lambda folder: write_yolo(folder, None),
    "labelme": write_labelme,
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_boxes(folder, films, kind):
    FORMATS[kind](folder)
    report = Report()
    found = boxes.read(boxes.find(folder), films, report)
    assert set(found.film_id) == {"A-RH"} and set(found.source) == {"truth"}
    assert list(found.joint) == list(PLACES)
    np.testing.assert_allclose(found[NUMBERS], list(PLACES.values()))
    assert set(report.faults) == {"film with too few boxes"}, dict(report.faults)


def test_two_formats_at_once_are_refused(folder):
    write_coco(folder)
    write_labelme(folder)
    with pytest.raises(UserError, match="as COCO and as labelme; keep"):
        boxes.find(folder)


def test_boxes_of_both_hands_are_assigned_to_the_right_film(tmp_path):
    path = tmp_path / "both.png"
    cv2.imwrite(str(path), np.zeros((300, 400), np.uint8))
    rows = [
        film_row(path, "A-LH", "LH", left_px=0, top_px=0, width_px=200, height_px=300, turns=0),
        film_row(path, "A-RH", "RH", left_px=180, top_px=20, width_px=280, height_px=220, turns=1),
    ]
    films = FILMS.check(pd.DataFrame(rows))
    there = {"mcp_2": [(60, 120, 20, 24), (300, 200, 30, 10)], "pip_2": [(190, 150, 10, 12), (399, 5, 10, 10)]}
    shapes = [
        {"label": j, "points": [[x - w / 2, y - h / 2], [x + w / 2, y + h / 2]]} for j, of in there.items() for x, y, w, h in of
    ]
    (tmp_path / "both.json").write_text(json.dumps({"shapes": shapes, "imageWidth": 400, "imageHeight": 300}))
    report = Report()
    found = boxes.read(boxes.find(tmp_path), films, report).set_index(["film_id", "joint"])[NUMBERS]
    right = Frame.of(films.iloc[1]).from_file(np.array([[300, 200]]))[0]
    assert found.loc[("A-LH", "mcp_2")].tolist() == [60, 120, 20, 24]
    assert found.loc[("A-RH", "mcp_2")].tolist() == [*right, 10, 30], "turned with its film"
    assert ("A-RH", "pip_2") in found.index or ("A-LH", "pip_2") in found.index
    assert len(report.faults["box outside its film"]) == 1 and "size differs from the boxes' file" not in report.faults


def test_points_get_boxes_in_proportion_to_the_hand(folder, films):
    rng = np.random.default_rng(0)
    xy = {joint: (rng.uniform(20, 180), rng.uniform(20, 280)) for joint in anatomy.HAND_JOINTS}
    shapes = [{"label": joint, "points": [place], "shape_type": "point"} for joint, place in xy.items()]
    (folder / "A-LH.json").write_text(json.dumps({"shapes": shapes, "imageWidth": WIDTH, "imageHeight": HEIGHT}))
    found = boxes.read(boxes.find(folder), films, Report())
    assert len(found) == 22 and (found[["w_px", "h_px"]] == found.w_px[0]).all(axis=None)
    spread = np.sqrt(np.square(np.array(list(xy.values())) - np.mean(list(xy.values()), axis=0)).sum(1).mean())
    assert 0.2 * spread < found.w_px.iloc[0] < 0.5 * spread


HARD = {
    "no json": ("A-LH.json", "{", "not valid JSON"),
    "a list": ("A-LH.json", "[1]", "lacks the list 'shapes'"),
    "deep": ("A-LH.json", "[" * 100_000, "not valid JSON"),
    "shape without label": ("A-LH.json", '{"shapes": [{"points": []}]}', "lacks 'label'"),
    "pixels": ("labels/A-LH.txt", "1 100 100 20 20", "in pixels"),
    "words": ("labels/A-LH.txt", "one two three", "line 1 is 'one two three'"),
    "no names": ("data.yaml", "nc: 3", "does not name the classes"),
    "odd ids": (boxes.COCO, '{"images": [{"id": [1], "file_name": 3}], "annotations": 3}', "lacks the list 'annotations'"),
}


@pytest.mark.parametrize("case", HARD)
def test_unreadable_files_give_one_sentence(folder, films, case):
    name, content, sentence = HARD[case]
    (folder / "labels").mkdir(exist_ok=True)
    if name == "data.yaml":
        (folder / "labels" / "A-LH.txt").write_text("0 .5 .5 .1 .1")
    (folder / name).write_text(content)
    with pytest.raises(UserError) as error:
        boxes.read(boxes.find(folder), films, Report())
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_damaged_files_give_a_sentence_or_boxes_within_the_film(folder, films):
    """Bytes removed from or inserted into a good file: no other exception, and no box beyond its film."""
    rng = np.random.default_rng(0)
    for write, name in ((write_coco, boxes.COCO), (write_yolo, "labels/A-RH.txt"), (write_labelme, "A-RH.json")):
        write(folder)
        good = (folder / name).read_bytes()
        refused = 0
        for _ in range(2000):
            bad = bytearray(good)
            for _ in range(rng.integers(1, 5)):
                at = int(rng.integers(len(bad)))
                bad[at : at + int(rng.integers(0, 9))] = bytes(rng.choice(NOISE, rng.integers(0, 6)).tolist())
            (folder / name).write_bytes(bytes(bad))
            try:
                found = BOXES.check(boxes.read(boxes.find(folder), films, Report()))
                assert found.x_px.between(0, WIDTH).all() and found.h_px.between(0, HEIGHT).all()
            except UserError:
                refused += 1
        assert 0 < refused < 2000
        (folder / name).unlink()
        (folder / "data.yaml").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", FORMATS)
def test_ra2dream_reads_every_format_and_notices_changes(folder, kind):
    FORMATS[kind](folder)
    files = boxes.find(folder.rename(folder.with_name("train")))
    assert len(files) == (2 if kind in ("yolo, data.yaml", "yolo, classes.txt") else 1)
    assert set(files) <= set(ra2dream.texts(folder.parent))
    folder.with_name("train").rename(folder)
