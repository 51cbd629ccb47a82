"""run_all.sh itself on a tiny set: it resumes after a kill, skips everything the second time, and handles bad input."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from ra import paths

pytestmark = pytest.mark.slow
BASH = ["bash", str(paths.ROOT / "run_all.sh")]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> dict[str, str]:
    """An environment whose data and submissions lie in a temporary folder."""
    folder = tmp_path_factory.mktemp("world")
    return os.environ | {"PROFILE": "smoke", "RA_DATA": str(folder / "data"), "RA_SUBMISSIONS": str(folder / "submissions")}


def run_all(world: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([*BASH, *arguments], env=world, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def finished(world) -> subprocess.CompletedProcess:
    """A run that was killed half-way, with everything it had started, and then called again."""
    first = subprocess.Popen(BASH, env=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(25)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    return run_all(world)


def test_a_killed_run_resumes_to_a_checked_submission(world, finished):
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    made = Path(world["RA_SUBMISSIONS"]) / "phantom-smoke.csv"
    template = pd.read_csv(Path(world["RA_DATA"]) / "raw" / "phantom-smoke" / "test" / "template.csv")
    table = pd.read_csv(made)
    assert list(table.columns) == list(template.columns) and list(table.Patient_ID) == list(template.Patient_ID)
    assert table.notna().all().all()
    assert "noise floor" in finished.stdout and made.with_suffix(".json").is_file()


def test_the_second_call_skips_everything(world, finished):
    assert finished.returncode == 0
    start = time.monotonic()
    again = run_all(world)
    assert again.returncode == 0 and time.monotonic() - start < 30
    lines = again.stdout.splitlines()
    steps = [line for line in lines if line.startswith("[") and "results" not in line and "submission" not in line]
    assert sum("skipped" in line for line in lines) >= len(steps)


def test_a_finished_run_gives_the_same_films_the_same_scores_as_a_new_set(world, finished, tmp_path):
    assert finished.returncode == 0
    shutil.copytree(Path(world["RA_DATA"]) / "raw" / "phantom-smoke" / "test", tmp_path / "clinic" / "test")
    score = ["bash", str(paths.ROOT / "score.sh"), "--no-report", "phantom-smoke", str(tmp_path / "clinic")]
    for message in ("finished in", "stage 2: members"):
        done = subprocess.run(score, env=world | {"SOURCE": "phantom"}, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and message in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("skipped") >= 7, "prepare, boxes, crops, two members, the stack, intervals, submission"
    made = Path(world["RA_SUBMISSIONS"])
    assert (made / "clinic-scored.csv").read_bytes() == (made / "phantom-smoke.csv").read_bytes()


def test_a_system_of_every_paper_is_in_one_table(world, finished):
    assert finished.returncode == 0
    done = run_all(world | {"PAPERS": "1"}, "--no-report")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    table = pd.read_csv(Path(world["RA_DATA"]) / "work" / "phantom-smoke" / "stage3" / "systems.csv")
    measured = set(table.dropna(subset="value").system)
    assert {"rohrbach_weighted", "rohrbach_crps", "bo_resnet34_finetuned", "bo_total", "bo_single_class", "maziarz"} <= measured
    assert {"ordinal", "resnet_plain", "li_guan", "unrounded", "blend", "column mean", "truth"} <= measured
    assert (table[table.system.isin(measured)].groupby("system").split.nunique() == 2).all(), "out of fold and test"


def test_a_set_with_faults_ends_in_a_full_submission(world, finished, tmp_path):
    assert finished.returncode == 0
    source, own = Path(world["RA_DATA"]) / "raw" / "phantom-smoke", tmp_path / "hospital"
    shutil.copytree(source, own, ignore=shutil.ignore_patterns("gold", "joints.coco.json", "truth.csv", "phantom.json"))
    patients = list(pd.read_csv(own / "train" / "training.csv").Patient_ID)
    truncated = own / "train" / f"{patients[0]}-LH.jpg"
    truncated.write_bytes(truncated.read_bytes()[:9000])
    (own / "train" / f"{patients[1]}-RF.jpg").unlink()
    for film in (own / "train").glob(f"{patients[2]}-*.jpg"):
        film.unlink()
    (own / "test" / f"{pd.read_csv(own / 'test' / 'template.csv').Patient_ID[0]}-RH.jpg").write_text("no film")
    done = run_all(world, "--no-report", str(own))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in (f"{patients[0]}-LH", f"{patients[1]}-RF", patients[2]):
        assert name in done.stdout
    assert pd.read_csv(Path(world["RA_SUBMISSIONS"]) / "hospital-smoke.csv").notna().all().all()


@pytest.mark.parametrize(("content", "sentence"), [(None, "is not a folder"), ({}, "wrong/train does not exist")])
def test_a_wrong_folder_is_one_sentence(world, tmp_path, content, sentence):
    folder = tmp_path / "wrong"
    if content is not None:
        folder.mkdir()
    done = run_all(world, str(folder))
    assert done.returncode != 0 and sentence in done.stderr and "Traceback" not in done.stderr
