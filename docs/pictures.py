"""The README's pictures.

python -m docs.pictures films                    four generated films -> docs/films.jpg
python -m docs.pictures joints FILM.jpg OUT.jpg  a film with the joints that the shipped detector finds
python -m docs.pictures annotate                 the page that corrects joint boxes, on generated films -> docs/annotate.png
python -m docs.pictures report REPORT.html       how a report begins, where errors lie, looking -> docs/report_*.png
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
from pathlib import Path

import cv2
import numpy as np

from data.phantom import severity as sv
from data.phantom.damage import Damage
from data.phantom.film import draw_film
from ra import cli, config
from ra.imaging import film, polarity

HEIGHT_PX = 620
MOST_BYTES = 400_000  # of a screenshot
SHOTS = {"first": ("alarms", 1320), "errors": ("errors", 980), "looking": ("looking", 1250)}


def four_films() -> np.ndarray:
    """A healthy hand, a damaged one, a healthy foot and a damaged one, side by side."""
    rng = np.random.default_rng(5)
    severity = sv.severity_of(sv.grade_of(sv.latent(rng, 3.2)), rng)
    tiles = []
    for part, seed, hurt in (("LH", 9, False), ("RH", 21, True), ("LF", 4, False), ("RF", 8, True)):
        damage = Damage(*sv.damage_maps(severity, part), drift_deg=12) if hurt else None
        grey = draw_film(part, (seed, 0), damage=damage, max_px=1300).grey
        tiles.append(_tile(255 - grey if polarity.looks_inverted(grey) else grey))
    return cv2.hconcat(tiles)


def _tile(grey: np.ndarray) -> np.ndarray:
    factor = HEIGHT_PX / grey.shape[0]
    return cv2.resize(grey, (round(grey.shape[1] * factor), HEIGHT_PX), interpolation=cv2.INTER_AREA)


def with_joints(path: Path) -> np.ndarray:
    """The film in colour with a circle and a name per joint: green where the network saw it, orange where the template put it."""
    from stage1_detect import inference, model

    grey = film.read(path)
    reading = inference.read_film(model.shipped(), grey)
    if reading is None:
        raise config.UserError(f"{path}: neither a hand nor a foot was found")
    factor = HEIGHT_PX / grey.shape[0]
    picture = cv2.cvtColor(_tile(grey), cv2.COLOR_GRAY2BGR)
    for joint, point, conf in zip(reading.joints, reading.points * factor, reading.conf, strict=True):
        colour = (40, 160, 255) if np.isnan(conf) else (90, 230, 90)
        x, y = (int(v) for v in np.round(point))
        cv2.circle(picture, (x, y), 5, colour, 1, cv2.LINE_AA)
        cv2.putText(picture, joint.removeprefix("wrist_"), (x + 7, y + 3), cv2.FONT_HERSHEY_SIMPLEX, 0.32, colour, 1, cv2.LINE_AA)
    return picture


def annotate_page(out: Path) -> None:
    """The page of stage1_detect.annotate as Chromium shows it: one film of three confirmed, a joint of the next chosen."""
    from playwright.sync_api import sync_playwright

    from stage1_detect import model
    from stage1_detect.annotation import proposals, session
    from stage1_detect.annotation import server as page

    with tempfile.TemporaryDirectory() as folder:
        for seed, part in ((21, "RH"), (5, "LH"), (4, "LF")):
            grey = draw_film(part, (seed, 0), max_px=1300).grey
            cv2.imwrite(f"{folder}/P{seed:03d}-{part}.png", 255 - grey if polarity.looks_inverted(grey) else grey)
        films, detector = session.Session(Path(folder), Path(folder) / "joints.coco.json"), model.shipped()
        proposals.read_waiting(films, detector)
        first = films.entries[0]
        films.correct(0, first.marked.limbs, True)
        films.entries[1].quality = 0.0  # shown first
        server = page.serve(films, proposals.rereader(detector))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1280, "height": 800})
            tab.goto(server.url)
            tab.locator(".joint", has_text="mcp 2").or_(tab.locator(".joint", has_text="mtp 2")).click()
            tab.wait_for_timeout(1000)
            tab.screenshot(path=str(out))
            browser.close()
        server.shutdown()
        server.server_close()
    small = cv2.resize(cv2.imread(str(out)), None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    _reduced(small, out)


def report_pages(path: Path) -> list[Path]:
    """A report as Chromium shows it from where each of SHOTS begins (a section, and how many pixels of it), 1280 px wide."""
    from playwright.sync_api import sync_playwright

    if not path.is_file():
        raise config.UserError(f"{path} does not exist; python -m report makes it")
    made = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (section, height) in SHOTS.items():
            tab = browser.new_page(viewport={"width": 1280, "height": height}, reduced_motion="reduce")
            tab.goto(path.resolve().as_uri())
            if section != "alarms":  # which stands below the title
                tab.evaluate("(id) => document.getElementById(id).scrollIntoView()", section)
            tab.wait_for_timeout(1000)  # pictures are decoded as they come into view
            made.append(Path(__file__).with_name(f"report_{name}.png"))
            tab.screenshot(path=str(made[-1]))
            tab.close()
            _small(made[-1])
        browser.close()
    return made


def _small(out: Path) -> None:
    """In as many colours as MOST_BYTES allow."""
    picture = cv2.imread(str(out))
    for colours in (200, 96, 48, 24):
        _reduced(picture, out, colours)
        if out.stat().st_size <= MOST_BYTES:
            return


def _reduced(picture: np.ndarray, out: Path, colours: int = 200) -> None:
    """The picture as a PNG of few colours."""
    from PIL import Image

    Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).quantize(colours, dither=Image.Dither.NONE).save(out, optimize=True)


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("films", "joints", "annotate", "report"))
    parser.add_argument("film", nargs="?", type=Path)
    parser.add_argument("out", nargs="?", type=Path)
    args = parser.parse_args()
    if args.what == "annotate":
        annotate_page(Path(__file__).with_name("annotate.png"))
        return
    if args.what == "report":
        print(*report_pages(args.film or Path()), sep="\n")
        return
    if args.what == "films":
        out, picture = Path(__file__).with_name("films.jpg"), four_films()
    else:
        out, picture = args.out, with_joints(args.film)
    cv2.imwrite(str(out), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(out)


if __name__ == "__main__":
    cli.main(run)
