"""Corrected boxes: what a page may post, what is written and when, how a later call resumes, and the page in a browser."""

import http.client
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from data.annotations import boxes
from data.issues import Report
from data.phantom.film import draw_film
from ra.anatomy import JOINTS, limb
from ra.imaging.film import FilmError, Frame
from ra.tables import FILMS
from stage1_detect.annotation import marked as marked_films
from stage1_detect.annotation import proposals
from stage1_detect.annotation import server as page
from stage1_detect.annotation.marked import MarkedFilm, MarkedLimb
from stage1_detect.annotation.session import Session
from stage1_detect.joint_detections import JointDetections

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PARTS = ("LH", "RF", "RH")


def marked(drawn, part: str) -> MarkedLimb:
    """The joints that the generator drew, those on the film."""
    height, width = drawn.grey.shape
    reading = JointDetections(part, JOINTS[limb(part)], np.array([drawn.joints[j] for j in JOINTS[limb(part)]]), *[None] * 4)
    reading = replace(reading, box=np.full(len(reading.points), 30.0), conf=np.full(len(reading.points), 0.9))
    return proposals.proposal(reading, Frame(0, 0, width, height), width, height)


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


def opened(folder: Path, drawn) -> Session:
    """The session of a call of annotate after the detector has read its films."""
    films = Session(folder, folder / "joints.coco.json")
    for entry, quality in zip(films.entries, (0.8, 0.3, 0.6), strict=True):
        part = entry.path.stem[-2:]
        if entry.state == "waiting":
            height, width = drawn[part].grey.shape
            films.propose(entry, MarkedFilm(width, height, [marked(drawn[part], part)]), quality)
    return films


@pytest.fixture
def server(folder, drawn):
    def reread(path, part, window):
        height, width = cv2.imread(str(path), 0).shape
        assert proposals.window_px(window, width, height)
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


def test_only_confirmed_films_are_written_and_a_later_call_resumes(server, folder, drawn):
    out = folder / "joints.coco.json"
    changed = limbs(server, 0)
    changed[0]["boxes"]["mcp_3"][:2] = [100.5, 120.25]
    assert ask(server, "film/0", {"limbs": changed, "confirmed": False})[0] == 200 and not out.exists()
    assert limbs(Session(folder, out) and server, 0)[0]["boxes"]["mcp_3"][:2] == [100.5, 120.25]
    kept = Session(folder, out)  # another call: the unconfirmed change is there, still unconfirmed
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
    again = Session(folder, out).entries[0]
    assert again.confirmed and again.marked.limbs[0].outside == ["pip_5"] and again.marked.limbs[0].complete
    assert ask(server, "film/0", {"limbs": changed, "confirmed": False})[0] == 200
    assert marked_films.read(out) == {}
    assert [e.state for e in opened(folder, drawn).entries] == ["ready"] * 3
    assert not list(folder.glob("*.tmp"))


def films_table(folder: Path, drawn) -> pd.DataFrame:
    """The films as data.prepare would have them."""
    rows = [
        {"film_id": f"p-{part}", "patient_id": part, "person_id": part, "visit": 1, "part": part, "view": "-", "split": "train"}
        | {"laterality": part[0], "path": str(folder / f"p-{part}.png"), "sha1": part}
        | {"width_px": drawn[part].grey.shape[1], "height_px": drawn[part].grey.shape[0]}
        for part in PARTS
    ]
    return FILMS.check(pd.DataFrame(rows))


def confirmed_boxes(folder: Path, drawn, numbers: range) -> tuple[Session, pd.DataFrame]:
    """Some films confirmed as they are, and the boxes that data.prepare finds in the file."""
    films, report = opened(folder, drawn), Report()
    for number in numbers:
        films.correct(number, films.entries[number].marked.limbs, True)
    found = boxes.read((folder / "joints.coco.json",), films_table(folder, drawn), report)
    assert not report.faults.get("box outside its film")
    return films, found


def test_preparing_reads_what_the_page_writes(folder, drawn):
    films, found = confirmed_boxes(folder, drawn, range(3))
    found = found.set_index(["film_id", "joint"])[["x_px", "y_px", "w_px", "h_px"]]
    wanted = {(e.path.stem, joint): box for e in films.entries for joint, box in e.marked.limbs[0].boxes.items()}
    assert set(found.index) == set(wanted)
    assert np.allclose(found, [wanted[key] for key in found.index], atol=0.02)
    hand = films.entries[0].marked.limbs[0]
    del hand.boxes["pip_5"]
    for outside, warned in ((["pip_5"], 0), ([], 1)):  # known to be off the film, or not looked at
        hand.outside, report = outside, Report()
        films.correct(0, [hand], True)
        assert len(boxes.read((folder / "joints.coco.json",), films_table(folder, drawn), report)) == len(wanted) - 1
        assert len(report.faults.get("film with too few boxes", [])) == warned


def test_both_hands_of_a_film_are_proposed(tmp_path, drawn):
    from stage1_detect import model

    height = max(len(drawn[part].grey) for part in ("LH", "RH"))
    both = np.hstack([np.pad(drawn[part].grey, ((0, height - len(drawn[part].grey)), (0, 0))) for part in ("RH", "LH")])
    cv2.imwrite(str(tmp_path / "both.png"), both)
    found, quality = proposals.propose(model.shipped(), tmp_path / "both.png")
    assert sorted(one.part for one in found.limbs) == ["LH", "RH"] and quality > 0.5
    for one in found.limbs:
        shift = drawn["RH"].grey.shape[1] if one.part == "LH" else 0
        error = [
            np.hypot(x - shift - drawn[one.part].joints[j][0], y - drawn[one.part].joints[j][1])
            for j, (x, y, _, _) in one.boxes.items()
        ]
        assert len(error) > 18 and np.median(error) < 0.02 * height


def test_boxes_of_films_that_lie_elsewhere_are_kept(folder, drawn):
    out = folder / "joints.coco.json"
    other = MarkedFilm(50, 60, [MarkedLimb("LF", {"mtp_1": [20.0, 20.0, 8.0, 8.0]})])
    marked_films.write({"elsewhere.png": other}, out)
    films = opened(folder, drawn)
    films.correct(0, films.entries[0].marked.limbs, True)
    assert marked_films.read(out)["elsewhere.png"] == other and len(marked_films.read(out)) == 2


def test_a_page_without_the_token_or_with_a_foreign_host_gets_nothing(server):
    body = {"limbs": limbs(server, 0), "confirmed": True}
    assert ask(server, "/films")[0] == 403 and ask(server, "/wrong/film/0", body)[0] == 403
    assert ask(server, "film/0", body, Host="evil.example:80")[0] == 421 and ask(server, "films", Host="evil.example")[0] == 421
    assert ask(server, "film/0", json.dumps(body).encode(), Content_Type="text/plain")[0] == 415
    assert ask(server, "film/7")[0] == 404 and ask(server, "film/../../x")[0] == 404 and ask(server, "film/-1.jpg")[0] == 404
    assert not server.session.out.exists()


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
    assert limbs(server, 0) == before and not server.session.out.exists()


def test_malformed_bodies_are_refused(server):
    one = limbs(server, 0)
    for body in (b"{", b"[]", b"\xff", b"[" * 60000, {"limbs": one}, {"limbs": one * 2, "confirmed": True}):
        assert ask(server, "film/0", body)[0] == 400
    assert ask(server, "film/0", b" " * 70000)[0] == 413
    assert ask(server, "film/0/read", {"part": "XX"})[0] == 400
    assert ask(server, "film/0/read", {"part": "RH", "window": [0, 0, 3, "x"]})[0] == 400
    assert ask(server, "film/0/read", {"part": "RH", "window": [0, 0, 300, 300]})[1]["part"] == "RH"


def test_no_name_of_a_dicom_file_is_on_the_page(folder):
    (folder / "DOE^JANE.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    films = Session(folder, folder / "joints.coco.json")
    films.propose(films.entries[0], FilmError(f"{films.entries[0].path} is damaged"), 0.0)
    running = page.serve(films, None)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    answers = [ask(running, path) for path in ("films", "film/0", "film/0.jpg")]
    running.shutdown()
    running.server_close()
    assert answers[1][1]["state"] == "unreadable" and answers[1][1]["name"] is None and "DOE" not in str(answers)


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
        tab.keyboard.press("x")  # not on the film, then undone
        tab.keyboard.press("Control+z")
        tab.keyboard.press("Space")
        expect(tab.locator("#progress")).to_contain_text("1 of 3 confirmed")
        expect(tab.locator("#film")).to_contain_text("p-RH.png")  # the next least sure
        expect(tab.locator("#saved")).to_have_text("saved")
        wanted = [before[0] + 40 / scale, before[1] - 30 / scale]
        saved = marked_films.read(folder / "joints.coco.json")
        assert list(saved) == ["p-RF.png"] and np.allclose(saved["p-RF.png"].limbs[0].boxes["mtp_3"][:2], wanted, atol=1)
        tab.reload()
        expect(tab.locator("#film")).to_contain_text("p-RH.png")
        assert "1 of 3 confirmed" in tab.locator("#progress").inner_text()
        browser.close()
    assert not faults
    again = Session(folder, folder / "joints.coco.json").entries[1]
    assert again.confirmed and np.allclose(again.marked.limbs[0].boxes["mtp_3"][:2], wanted, atol=1)
