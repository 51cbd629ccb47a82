"""Configs are strict: anything unknown or mistyped is an error with a cure; one file holds an experiment in every profile."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import pytest

from data.phantom.cohort import Cohort
from ra import config, paths
from ra.config import UserError
from stage1_detect.config import DetectorConfig
from stage2_score.config import MEMBERS, PICTURES, PRETRAINING
from stage3_stack.config import KINDS


@dataclass(frozen=True)
class Optim:
    lr: float = 1e-3
    steps: tuple[int, ...] = (10, 20)


@dataclass(frozen=True)
class Toy:
    epochs: int = 3
    mirror: bool = False
    sampler: Literal["plain", "balanced"] = "plain"
    weights: str | None = None
    optim: Optim = field(default_factory=Optim)


@pytest.fixture
def yaml_file(tmp_path):
    path = tmp_path / "resnet.yaml"
    path.write_text("epochs: 5\noptim: {lr: 3e-4, steps: [1, 2, 3]}\n")
    return path


def test_defaults_then_file_then_set(yaml_file):
    toy = config.load(Toy, yaml_file, ["optim.lr=1e-2", "sampler=balanced", "weights=hub", "mirror=true"])
    assert toy == Toy(5, True, "balanced", "hub", Optim(1e-2, (1, 2, 3)))
    assert config.load(Toy, yaml_file).optim.lr == 3e-4, "PyYAML reads 3e-4 as text"
    assert config.load(Toy, yaml_file, ["weights=null", "optim.lr=1"]).optim.lr == 1.0
    assert config.load(Toy, None) == Toy()


BAD = {
    "epoch=3": "did you mean epochs",
    "optim.step=[3]": "unknown key 'step'; did you mean steps",
    "epochs=3.5": "epochs must be int",
    "epochs=true": "epochs must be int",
    "epochs=many": "epochs must be int",
    "mirror=1": "mirror must be bool",
    "optim.lr=fast": "lr must be float",
    "optim.lr=true": "lr must be float",
    "optim=3": "optim must be a mapping",
    "optim.steps=3": "steps must be a list",
    "optim.steps=[a]": "steps must be int",
    "sampler=balance": "did you mean balanced",
    "sampler=x": "it is one of plain, balanced",
    "foo=1": "known keys: epochs, mirror, optim, sampler, weights",
    "weights=3": "weights must be str",
    "epochs": "write key=value",
    "epochs.x=3": "epochs is one value",
    "optim.steps=[3": "not a YAML value",
}


@pytest.mark.parametrize("text", BAD)
def test_mistakes_are_named(yaml_file, text):
    with pytest.raises(UserError, match=BAD[text]):
        config.load(Toy, yaml_file, [text])


def test_a_missing_or_broken_file_is_refused(tmp_path, yaml_file):
    with pytest.raises(UserError, match=r"did you mean .*resnet\.yaml"):
        config.load(Toy, tmp_path / "resnt.yaml")
    for text, message in (("epochs: [", "not valid YAML"), ("- 3", "must be a mapping")):
        yaml_file.write_text(text)
        with pytest.raises(UserError, match=message):
            config.load(Toy, yaml_file)


def test_the_digest_depends_on_the_values():
    assert config.digest(Toy()) == config.digest(Toy(epochs=3)) != config.digest(Toy(epochs=4))


@dataclass(frozen=True)
class Kind:
    kind: Literal["toy"]
    epochs: int = 3
    batch: int = 8
    loss: config.Named = field(default_factory=lambda: config.Named("l1"))


@pytest.fixture
def write(tmp_path):
    """Write an experiment file: write(name, text) -> its path."""

    def write_file(name: str, text: str):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return path

    return write_file


def toys(path, profile="full", **options):
    return dict(config.experiments({"toy": Kind}, [path], profile, **options))


def test_a_file_is_one_run_of_its_name(write):
    path = write("plain", "kind: toy\nepochs: 4\n")
    assert toys(path) == toys(path, "smoke") == {"plain": Kind("toy", epochs=4)}
    assert toys(path, sets=["batch=2"])["plain"].batch == 2
    assert toys(path, run="other") == {"other": Kind("toy", epochs=4)}


def test_smoke_is_laid_over_demo_and_demo_over_full(write):
    path = write(
        "sizes",
        """
        kind: toy
        epochs: 100
        batch: 64
        loss: {name: l2, params: {a: 1, b: 1}}
        demo: {epochs: 10, batch: 16, loss: {params: {a: 2}}}
        smoke: {epochs: 1, loss: {params: {b: 3}}}
        """,
    )
    assert toys(path)["sizes"] == Kind("toy", 100, 64, config.Named("l2", {"a": 1, "b": 1}))
    assert toys(path, "demo")["sizes"] == Kind("toy", 10, 16, config.Named("l2", {"a": 2, "b": 1}))
    assert toys(path, "smoke")["sizes"] == Kind("toy", 1, 16, config.Named("l2", {"a": 2, "b": 3}))
    assert config.load(Kind, path, ["batch=1"], "smoke").batch == 1


def test_another_name_replaces_a_group_with_its_parameters(write):
    path = write("swap", "kind: toy\nloss: {name: l2, params: {a: 1}}\ndemo: {loss: {name: l1}}\n")
    assert toys(path, "demo")["swap"].loss == config.Named("l1")


VARIANTS = """
kind: toy
epochs: 5
demo: {epochs: 2, only: [b]}
full: {only: [a, b]}
smoke: {only: []}
variants:
  a: {batch: 1}
  b: {batch: 2, demo: {batch: 3}}
  c: {}
"""


def test_variants_are_runs_and_only_picks_those_of_a_profile(write):
    path = write("many", VARIANTS)
    assert toys(path) == {"a": Kind("toy", 5, 1), "b": Kind("toy", 5, 2)}
    assert toys(path, "demo") == {"b": Kind("toy", 2, 3)}
    with pytest.raises(UserError, match="not part of the profile smoke"):
        toys(path, "smoke")
    with pytest.raises(UserError, match="not part of the profile smoke"):
        config.load(Kind, path, profile="smoke")
    with pytest.raises(UserError, match=r"2 runs \(a, b\)"):
        config.load(Kind, path)


def test_run_picks_a_variant_even_one_that_the_profile_leaves_out(write):
    path = write("many", VARIANTS)
    assert toys(path, "demo", run="a") == {"a": Kind("toy", 2, 1)}
    with pytest.raises(UserError, match="no run 'd'; it has a, b, c"):
        toys(path, run="d")
    with pytest.raises(UserError, match="give one with --run"):
        config.experiments({"toy": Kind}, [path, path], run="a")


def test_a_file_inherits_values_sections_and_equally_named_variants(write):
    write("parent", VARIANTS)
    child = write(
        "child",
        """
        extends: parent.yaml
        epochs: 6
        variants: {b: {loss: {name: l2}}, z: {}}
        """,
    )
    assert toys(child) == {"b": Kind("toy", 6, 2, config.Named("l2")), "z": Kind("toy", 6)}
    assert toys(child, "demo")["b"] == Kind("toy", 2, 3, config.Named("l2")), "`only` is not inherited, values of demo are"
    assert set(toys(write("same", "extends: parent.yaml\n"))) == {"a", "b", "c"}


def test_a_cycle_of_extends_is_refused(write):
    write("a", "extends: b.yaml\n")
    with pytest.raises(UserError, match="extends itself"):
        toys(write("b", "extends: a.yaml\n"))


def test_a_folder_is_the_files_in_it_and_names_are_unique(write, tmp_path):
    write("b", "kind: toy\n")
    write("a", "kind: toy\n")
    assert list(toys(tmp_path)) == ["a", "b"]
    write("c", "kind: toy\nvariants: {a: {}}\n")
    with pytest.raises(UserError, match="share the run name a"):
        toys(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no YAML file"):
        toys(tmp_path / "empty")
    with pytest.raises(UserError, match="no experiment given; give an experiment of kind toy"):
        config.experiments({"toy": Kind}, [])


def test_a_saved_config_is_the_run_of_its_folder(tmp_path):
    saved = tmp_path / "resnet" / "config.yaml"
    saved.parent.mkdir()
    saved.write_text("kind: toy\nepochs: 9\n")
    assert toys(saved, "smoke") == {"resnet": Kind("toy", 9)}


BAD_FILES = {
    "kind: toi": "kind is 'toi'; did you mean toy",
    "kind: other": "kind is 'other'; here it is one of toy",
    "epochs: 3": "kind is missing",
    "kind: toy\nepoch: 3": "unknown key 'epoch'; did you mean epochs",
    "kind: toy\ndemo: {bach: 3}": "unknown key 'bach'; did you mean batch",
    "kind: toy\ndemo: 3": "demo must be a mapping",
    "kind: toy\nvariants: [a]": "variants must be a mapping",
    "kind: toy\nvariants: {a: 3}": "variants.a must be a mapping",
    "kind: toy\ndemo: {only: a}": "demo.only must be a list",
    "kind: toy\nvariants: {small: {}, b: {}}\ndemo: {only: [smal]}": "demo.only names smal.*did you mean small",
    "extends: no.yaml": "extends no.yaml, which does not exist",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_mistake_in_an_experiment_file_is_named(write, text):
    with pytest.raises(UserError, match=BAD_FILES[text]):
        toys(write("bad", text), "demo")


CONFIGS = paths.ROOT / "configs"
FOLDERS = {  # the last folder of an experiment file -> the kinds that its verb accepts
    "pictures": PICTURES,
    "pretrain": PRETRAINING,
    "members": MEMBERS,
    "stack": KINDS,
    "detect": {"yolo": DetectorConfig, "template": DetectorConfig},
    "phantom": {"cohort": Cohort},
}
EXPERIMENTS = sorted(path for path in CONFIGS.rglob("*.yaml") if path.parent != CONFIGS / "papers")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_experiment_of_the_project_loads_in_every_profile_that_it_is_part_of(path):
    profiles = []
    for profile in config.PROFILES:
        try:
            config.experiments(FOLDERS[path.parent.name], [path], profile)
            profiles.append(profile)
        except UserError as error:
            assert f"not part of the profile {profile}" in str(error)
    assert profiles


@pytest.mark.parametrize("profile", config.PROFILES)
@pytest.mark.parametrize("folder", sorted({path.parent for path in EXPERIMENTS}), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_folder_of_experiments_trains_something_in_every_profile_under_different_names(folder, profile):
    assert config.experiments(FOLDERS[folder.name], [folder], profile)


def test_no_value_of_a_config_has_the_name_of_a_section():
    for kinds in FOLDERS.values():
        for cls in kinds.values():
            assert not {f.name for f in dataclasses.fields(cls)} & (config.SECTIONS | {"only"})
