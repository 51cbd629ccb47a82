"""Corrected boxes: what a page may post, what is written when, what another call finds again; the page itself in a browser."""

import http.client
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.phantom.film import draw_film
from ra.anatomy import JOINTS, limb
from ra.config import UserError
from ra.film import FilmError, Frame
from stage1_detect import coco, finetune, page, pose, propose, shrink, template
from stage1_detect.corrections import Corrections
from stage1_detect.detect import Reading

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PARTS = ("LH", "RF", "RH")


def marked(drawn, part: str) -> coco.Limb:
    """The generator's own joints, as far as they lie on the film."""
    height, width = drawn.grey.shape
    reading = Reading(part, JOINTS[limb(part)], np.array([drawn.joints[j] for j in JOINTS[limb(part)]]), *[None] * 4)
    reading = replace(reading, box=np.full(len(reading.points), 30.0), conf=np.full(len(reading.points), 0.9))
    return propose.proposal(reading, Frame(0, 0, width, height), width, height)


@pytest.fixture(scope="module")
def drawn():
    return {part: draw_film(part, (5, 1), max_px=400) for part in PARTS}


@pytest.fixture
def folder(tmp_path, drawn) -> Path:
    """Three films that the detector has not read."""
    (tmp_path / "films").mkdir()
    for part in PARTS:
        cv2.imwrite(str(tmp_path / "films" / f"p-{part}.png"), drawn[part].grey)
    return tmp_path / "films"


def opened(folder: Path, drawn) -> Corrections:
    """The folder as a call of annotate shows it, its films read."""
    films = Corrections(folder, folder / "joints.coco.json")
    for entry, quality in zip(films.entries, (0.8, 0.3, 0.6), strict=True):
        part = entry.path.stem[-2:]
        if entry.state == "waiting":
            height, width = drawn[part].grey.shape
            films.propose(entry, coco.Film(width, height, [marked(drawn[part], part)]), quality)
    return films


@pytest.fixture
def server(folder, drawn):
    def reread(path, part, window):
        height, width = cv2.imread(str(path), 0).shape
        assert propose.window_px(window, width, height)
        return marked(drawn[part or "LH"], part or "LH")

    running = page.serve(opened(folder, drawn), reread)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def ask(server, path: str, body=None, **headers) -> tuple[int, dict]:
    """Status and JSON of a request with the token; body None: GET."""
    line = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    line.request("GET" if body is None else "POST", path if path[0] == "/" else f"/{server.token}/{path}", data, headers)
    answer = line.getresponse()
    text = answer.read()
    line.close()
    return answer.status, json.loads(text) if answer.getheader("Content-Type") == "application/json" else text


def limbs(server, number: int) -> list[dict]:
    return ask(server, f"film/{number}")[1]["marked"]["limbs"]


def test_only_confirmed_films_are_written_and_found_again(server, folder, drawn):
    out = folder / "joints.coco.json"
    changed = limbs(server, 0)
    changed[0]["boxes"]["mcp_3"][:2] = [100.5, 120.25]
    assert ask(server, "film/0", {"limbs": changed, "confirmed": False})[0] == 200 and not out.exists()
    assert limbs(Corrections(folder, out) and server, 0)[0]["boxes"]["mcp_3"][:2] == [100.5, 120.25]
    kept = Corrections(folder, out)  # another call: the unconfirmed change is there, still unconfirmed
    assert kept.entries[0].marked.limbs[0].boxes["mcp_3"][:2] == [100.5, 120.25] and not kept.entries[0].confirmed
    changed[0]["outside"] = ["pip_5"]
    del changed[0]["boxes"]["pip_5"]
    assert ask(server, "film/0", {"limbs": changed, "confirmed": True}) == (200, {"confirmed": 1})
    value = json.loads(out.read_text())
    assert [image["file_name"] for image in value["images"]] == ["p-LH.png"]
    names = {c["id"]: c["name"] for c in value["categories"]}
    boxes = {names[a["category_id"]]: a["bbox"] for a in value["annotations"]}
    x, y, w, h = boxes["mcp_3"]
    assert (x + w / 2, y + h / 2) == (100.5, 120.25) and "pip_5" not in boxes and len(boxes) == 21
    again = Corrections(folder, out).entries[0]
    assert again.confirmed and again.marked.limbs[0].outside == ["pip_5"] and again.marked.limbs[0].complete
    assert ask(server, "film/0", {"limbs": changed, "confirmed": False})[0] == 200
    assert coco.read(out) == {}
    assert [e.state for e in opened(folder, drawn).entries] == ["ready"] * 3
    assert not list(folder.glob("*.tmp"))


def test_boxes_of_films_that_lie_elsewhere_are_kept(folder, drawn):
    out = folder / "joints.coco.json"
    other = coco.Film(50, 60, [coco.Limb("LF", {"mtp_1": [20.0, 20.0, 8.0, 8.0]})])
    coco.write({"elsewhere.png": other}, out)
    films = opened(folder, drawn)
    films.correct(0, films.entries[0].marked.limbs, True)
    assert coco.read(out)["elsewhere.png"] == other and len(coco.read(out)) == 2


def test_a_page_without_the_token_or_with_a_foreign_host_gets_nothing(server):
    body = {"limbs": limbs(server, 0), "confirmed": True}
    assert ask(server, "/films")[0] == 403 and ask(server, "/wrong/film/0", body)[0] == 403
    assert ask(server, "film/0", body, Host="evil.example:80")[0] == 421 and ask(server, "films", Host="evil.example")[0] == 421
    assert ask(server, "film/0", json.dumps(body).encode(), Content_Type="text/plain")[0] == 415
    assert ask(server, "film/7")[0] == 404 and ask(server, "film/../../x")[0] == 404 and ask(server, "film/-1.jpg")[0] == 404
    assert not server.films.out.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one["boxes"].update(mcp_3=[5, 5, 9]),
        lambda one: one["boxes"].update(mcp_3=[5, 1e9, 9, 9]),
        lambda one: one["boxes"].update(mcp_3=[5, 5, 0, 9]),
        lambda one: one["boxes"].update(mcp_3=[float("nan"), 5, 9, 9]),
        lambda one: one["boxes"].update(mtp_1=[5, 5, 9, 9]),
        lambda one: one["boxes"].update(mcp_3=["5", 5, 9, 9]),
        lambda one: one.update(outside=["mcp_3"]),
        lambda one: one.update(part="XX"),
        lambda one: one.update(boxes=None),
    ],
)
def test_bad_posts_change_nothing(server, spoil):
    before = limbs(server, 0)
    bad = json.loads(json.dumps(before))
    spoil(bad[0])
    status, answer = ask(server, "film/0", {"limbs": bad, "confirmed": True})
    assert status == 400 and answer["error"]
    assert limbs(server, 0) == before and not server.films.out.exists()


def test_bodies_that_are_none_of_ours(server):
    one = limbs(server, 0)
    for body in (b"{", b"[]", b"\xff", b"[" * 60000, {"limbs": one}, {"limbs": one * 2, "confirmed": True}):
        assert ask(server, "film/0", body)[0] == 400
    assert ask(server, "film/0", b" " * 70000)[0] == 413
    assert ask(server, "film/0/read", {"part": "XX"})[0] == 400
    assert ask(server, "film/0/read", {"part": "RH", "window": [0, 0, 3, "x"]})[0] == 400
    assert ask(server, "film/0/read", {"part": "RH", "window": [0, 0, 300, 300]})[1]["part"] == "RH"


def test_no_name_of_a_dicom_file_is_on_the_page(folder):
    (folder / "DOE^JANE.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    films = Corrections(folder, folder / "joints.coco.json")
    films.propose(films.entries[0], FilmError(f"{films.entries[0].path} is damaged"), 0.0)
    running = page.serve(films, None)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    told = [ask(running, path) for path in ("films", "film/0", "film/0.jpg")]
    running.shutdown()
    running.server_close()
    assert told[1][1]["state"] == "unreadable" and told[1][1]["name"] is None and "DOE" not in str(told)


def test_coco_of_others_is_read_and_faults_are_named(tmp_path):
    shape = template.load()["hand"]
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
    (one,) = coco.read(path)["x.png"].limbs
    assert one.part == "RH" and one.complete
    (frame,) = pose.frames([(one.part, one.boxes)], 900, 900)
    upright = frame.from_file(np.array([one.boxes[j][:2] for j in ("pip_3", "wrist_radius", "thumb_ip", "pip_5")]))
    assert upright[0, 1] < upright[1, 1] - 100 and upright[2, 0] < upright[3, 0]  # fingers up, a right hand's thumb to the left
    categories[0]["name"] = "thumb"
    for text, words in (
        (json.dumps(value), "is no joint"),
        ("{", "not valid JSON"),
        ("[]", "not COCO"),
        ('{"images":[{}]}', "not COCO"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            coco.read(path)


def test_two_limbs_of_a_film_are_cut_between_them(drawn, tmp_path):
    left, right = drawn["LH"], drawn["RH"]
    height = max(left.grey.shape[0], right.grey.shape[0])
    both = np.hstack([np.pad(d.grey, ((0, height - len(d.grey)), (0, 0))) for d in (right, left)])
    cv2.imwrite(str(tmp_path / "both.png"), both)
    start = right.grey.shape[1]
    both_limbs = [
        coco.Limb(part, {j: [x + shift, y, 20.0, 30.0] for j, (x, y) in one.joints.items()})
        for part, one, shift in (("LH", left, start), ("RH", right, 0))
    ]
    coco.write({"both.png": coco.Film(both.shape[1], both.shape[0], both_limbs)}, tmp_path / "j.json")
    films, boxes = finetune.tables(tmp_path, tmp_path / "j.json")
    assert list(films.part) == ["LH", "RH"] and films.width_px.sum() == both.shape[1] and len(boxes) == 44
    own = boxes[(boxes.film_id == films.film_id[0]) & (boxes.joint == "mcp_3")].iloc[0]
    assert np.allclose(
        [own.x_px + films.left_px[0], own.y_px], [left.joints["mcp_3"][0] + start, left.joints["mcp_3"][1]], atol=0.01
    )
    with pytest.raises(UserError, match="boxes of 0 limbs"):
        coco.write({"gone.png": coco.Film(9, 9, both_limbs)}, tmp_path / "j.json")
        finetune.tables(tmp_path, tmp_path / "j.json")


def breadth(shape: template.Shape) -> float:
    """Of the row of a foot's MTP joints, in the shape's own unit."""
    return float(np.hypot(*(shape.mean[1] - shape.mean[5])))


def test_few_films_shrink_the_shape_and_many_make_it():
    shipped = template.load()["foot"]
    rng = np.random.default_rng(0)
    wide = shipped.mean * [1.4, 1.0]
    points = wide + rng.normal(0, 0.02, (40, *wide.shape))
    own = template.learn(points, np.full(points.shape[:2], 0.3), "foot")
    gaps = [abs(breadth(shrink.towards(shipped, own, n)) - breadth(own)) for n in (2, 15, 400)]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] and gaps[2] < 0.01
    few = shrink.towards(shipped, own, 15)
    assert np.allclose(few.modes.reshape(len(few.modes), -1) @ few.modes.reshape(len(few.modes), -1).T, np.eye(len(few.modes)))
    bent = shipped.mean + 2 * np.sqrt(shipped.variance[0]) * shipped.modes[0]  # a pose that the few films never showed
    placed, _, _ = template.fit(few, bent, np.ones(len(bent)))
    assert np.hypot(*(placed - bent).T).max() < 0.1


def test_a_joint_without_a_box_is_no_background(tmp_path):
    import torch

    from stage1_detect import engine, model

    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name, classes in (("whole", range(22)), ("part", range(5))):
        (tmp_path / "labels" / f"{name}.txt").write_text("".join(f"{c} .5 .5 .1 .1\n" for c in classes))
    (tmp_path / "train.txt").write_text("".join(f"{tmp_path}/images/{name}.jpg\n" for name in ("whole", "part")))
    known = engine.marked(tmp_path / "data.yaml")
    assert sum(known["whole.jpg"]) == 28 and known["part.jpg"] == [1.0] * 5 + [0.0] * 17 + [1.0] * 6
    loss = model.Unmarked()
    loss.known = torch.tensor([known["whole.jpg"], known["part.jpg"]])
    scores = torch.full((2, 3, 28), 4.0)  # sure of every joint everywhere
    spent = loss(scores, torch.zeros_like(scores)).sum((1, 2))
    assert torch.isclose(spent[1], spent[0] * 11 / 28)


def test_the_start_of_an_experiment(tmp_path):
    from stage1_detect.experiment import SHIPPED, Detector

    assert Detector().weights() == SHIPPED == Detector(start="scratch").weights()
    assert Detector(start=str(SHIPPED)).weights() == SHIPPED
    with pytest.raises(UserError, match="is no file"):
        Detector(start=str(tmp_path / "none.safetensors")).weights()


def test_weights_carry_their_shapes(tmp_path):
    from stage1_detect import model

    network, imgsz, shapes = model.shipped()
    own = shrink.towards(shapes["foot"], template.Shape(**vars(shapes["foot"]) | {"box": shapes["foot"].box * 2}), 4)
    model.save(network, tmp_path / "w.safetensors", "yolo11n.yaml", imgsz, {"foot": own})
    again = model.detector(tmp_path / "w.safetensors")[2]
    assert np.allclose(again["foot"].box, own.box, atol=1e-4) and np.allclose(again["hand"].mean, shapes["hand"].mean)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_person_drags_a_box_and_confirms_in_a_browser(server, folder, drawn):
    playwright = pytest.importorskip("playwright.sync_api")
    expect, faults = playwright.expect, []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.goto(server.url)
        expect(tab.locator("#film")).to_contain_text("p-RF.png")  # the least sure first
        before = limbs(server, 1)[0]["boxes"]["mtp_3"]
        width = drawn["RF"].grey.shape[1]
        marks = tab.locator("#marks").bounding_box()
        tab.mouse.move(marks["x"] + marks["width"] / 2, marks["y"] + marks["height"] / 2)
        tab.mouse.wheel(0, -300)
        box = tab.locator("#picture").bounding_box()
        scale = box["width"] / width
        x, y = box["x"] + (before[0] + 0.5) * scale, box["y"] + (before[1] + 0.5) * scale
        tab.mouse.move(x, y)
        tab.mouse.down()
        tab.mouse.move(x + 20, y + 5)
        tab.mouse.move(x + 40, y - 30)
        tab.mouse.up()
        tab.keyboard.press("x")  # not on the film; and thought better of
        tab.keyboard.press("Control+z")
        tab.keyboard.press("Space")
        expect(tab.locator("#progress")).to_contain_text("1 of 3 confirmed")
        expect(tab.locator("#film")).to_contain_text("p-RH.png")  # the next least sure
        expect(tab.locator("#saved")).to_have_text("saved")
        wanted = [before[0] + 40 / scale, before[1] - 30 / scale]
        saved = coco.read(folder / "joints.coco.json")
        assert list(saved) == ["p-RF.png"] and np.allclose(saved["p-RF.png"].limbs[0].boxes["mtp_3"][:2], wanted, atol=1)
        tab.reload()
        expect(tab.locator("#film")).to_contain_text("p-RH.png")
        assert "1 of 3 confirmed" in tab.locator("#progress").inner_text()
        browser.close()
    assert not faults
    again = Corrections(folder, folder / "joints.coco.json").entries[1]
    assert again.confirmed and np.allclose(again.marked.limbs[0].boxes["mtp_3"][:2], wanted, atol=1)
