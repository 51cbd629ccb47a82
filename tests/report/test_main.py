"""python -m report: the run's kind comes from its saved config, missing inputs give one sentence, no work is done twice."""

import json
import sys

import pytest

from evaluation import raters as raters_module
from evaluation import rau
from ra import cli, paths
from ra.config import UserError
from report import __main__ as verb
from report import page, sections
from report.blocks import Section
from stage3_stack import config as stack_config
from stage3_stack.config import JointStack, JointVisits

JOINTS = "kind: joints\nmembers: [resnet]\nsite_learners: [{name: mean}]\ntotal_learners: [{name: mean}]\n"
VISITS = "kind: joint_visits\nmembers: [a, b]\n"


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A function that writes a finished run of stage 3 with a config."""
    monkeypatch.setenv("RA_DATA", str(tmp_path))

    def write(config: str, intervals: bool = False) -> None:
        folder = paths.run_dir("s", 3, "stack")
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(config)
        (folder / "run.json").write_text("{}")
        for split in ("oof", "test") if intervals else ():
            paths.prediction_intervals("s", "stack", split).write_text("")

    return write


def test_a_run_without_intervals_is_refused_in_one_sentence(finished):
    with pytest.raises(UserError, match="run the step that writes it first"):
        verb.write("s", "stack")
    finished(JOINTS)
    with pytest.raises(UserError, match="intervals --data s --run stack"):
        verb.write("s", "stack")
    assert not paths.report("s", "stack").exists()


@pytest.mark.parametrize(("config", "kind"), [(JOINTS, JointStack), (VISITS, JointVisits)])
def test_the_kind_of_a_run_comes_from_its_saved_config(finished, config, kind):
    finished(config)
    assert type(stack_config.saved(paths.run_dir("s", 3, "stack"))) is kind


def test_joint_visits_are_loaded_with_their_members_and_need_no_intervals(finished, monkeypatch):
    finished(VISITS)
    monkeypatch.setattr(raters_module, "of_crops", lambda *arguments: arguments)
    assert verb.load("s", "stack") == ("s", "stack", ("a", "b"))


def test_a_report_whose_inputs_have_not_changed_is_skipped(finished, monkeypatch, capsys):
    finished(JOINTS, intervals=True)
    monkeypatch.setattr(raters_module, "load", lambda *_: None)
    monkeypatch.setattr(rau, "write", lambda *_: None)
    monkeypatch.setattr(sections, "make", lambda *_: [Section("s", "S", "lead.")])
    monkeypatch.setattr("report.run_facts.facts", lambda *_: {})
    monkeypatch.setattr("report.run_facts.notice", lambda *_: "")
    monkeypatch.setattr(sys, "argv", ["report", "--data", "s", "--run", "stack", "--if-changed"])
    verb.run()
    assert "report.html" in capsys.readouterr().out
    record = json.loads((paths.report("s", "stack") / "run.json").read_text())
    assert set(record["outputs"]) == {"report.html", "numbers.csv", "numbers.json"}
    verb.run()
    assert "finished, skipped" in capsys.readouterr().out
    (paths.report("s", "stack") / "report.html").write_text("cut")
    verb.run()
    assert "skipped" not in capsys.readouterr().out
    (paths.run_dir("s", 3, "stack") / "run.json").write_text("{ }")
    verb.run()
    assert "skipped" not in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--config", "--device", "--fold", "--force"])
def test_flags_that_the_verb_does_not_use_are_refused(monkeypatch, flag):
    monkeypatch.setattr(sys, "argv", ["report", "--data", "s", "--run", "stack", flag, "x"])
    with pytest.raises(SystemExit) as stopped:
        cli.main(verb.run)
    assert stopped.value.code == 2


def test_an_interrupted_page_leaves_the_old_one(tmp_path, monkeypatch):
    section = Section("s", "S", "lead.")
    path = page.write(tmp_path, "old", [section], {})
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        page.write(tmp_path, "new", [section], {})
    assert "old" in path.read_text() and not list(tmp_path.glob(".*tmp"))
