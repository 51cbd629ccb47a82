"""Configs are strict: what is unknown or mistyped is an error that says what was meant; verbs end with one sentence."""

import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Literal

import pytest

from ra import config, manifest, paths
from ra.config import UserError


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
    "weights=3": "weights must be str",
    "epochs": "write key=value",
    "epochs.x=3": "epochs is one value",
    "optim.steps=[3": "not a YAML value",
}


@pytest.mark.parametrize("text", BAD)
def test_mistakes_are_named(yaml_file, text):
    with pytest.raises(UserError, match=BAD[text]):
        config.load(Toy, yaml_file, [text])


def test_files_that_are_none(tmp_path, yaml_file):
    with pytest.raises(UserError, match=r"did you mean .*resnet\.yaml"):
        config.load(Toy, tmp_path / "resnt.yaml")
    for text, message in (("epochs: [", "not valid YAML"), ("- 3", "must be a mapping")):
        yaml_file.write_text(text)
        with pytest.raises(UserError, match=message):
            config.load(Toy, yaml_file)


def test_digest_is_of_the_values():
    assert config.digest(Toy()) == config.digest(Toy(epochs=3)) != config.digest(Toy(epochs=4))


def test_parser_takes_no_prefix_of_a_flag():
    with pytest.raises(SystemExit):
        config.parser("a verb").parse_args(["--dat", "x"])


VERB = "from ra import config\ndef run():\n    {}\ncli.main(run)"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("raise config.UserError('x is bad; do y')", 1, "error: x is bad; do y\n"),
        ("raise KeyboardInterrupt", 130, "interrupted; run the same command again to go on\n"),
        ("raise OSError(28, 'No space', 'f')", 1, "error: the disk is full"),
        ("pass", 0, ""),
    ],
)
def test_a_verb_ends_with_one_line_and_its_code(body, code, message):
    ran = subprocess.run([sys.executable, "-c", VERB.format(body)], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == code and ran.stderr.startswith(message) and ran.stderr.count("\n") == bool(message)


def test_a_run_is_skipped_made_anew_or_refused(tmp_path, capsys):
    source, folder = tmp_path / "in.csv", tmp_path / "runs" / "toy"
    source.write_text("1")
    run = manifest.Run(folder, Toy(), [source])
    assert run.begin()
    (folder / "out.txt").write_text("made")
    assert manifest.Run(folder, Toy(), [source]).begin(), "begun but not finished: gone on with"
    assert (folder / "out.txt").is_file()
    run.finish([folder / "out.txt"], {"sc1": 1.0})
    assert not manifest.Run(folder, Toy(), [source]).begin() and "skipped" in capsys.readouterr().out
    saved = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text("\n".join(line for line in saved.splitlines() if "epochs" not in line))
    assert not manifest.Run(folder, Toy(), [source]).begin(), "saved before `epochs` existed: it meant the default"
    with pytest.raises(UserError, match="--force"):
        manifest.Run(folder, Toy(epochs=9), [source]).begin()
    assert manifest.Run(folder, Toy(epochs=9), [source], force=True).begin() and not (folder / "out.txt").exists()
    (folder / "out.txt").write_text("half")
    source.write_text("2")
    assert manifest.Run(folder, Toy(epochs=9), [source]).begin() and not (folder / "out.txt").exists()
    with pytest.raises(UserError, match="run the step that writes it first"):
        manifest.Run(folder, Toy(), [tmp_path / "none"])


@pytest.mark.parametrize("profile", ["smoke", "demo", "full"])
def test_every_verb_and_config_that_run_all_names_is_there(profile):
    script = (paths.ROOT / "run_all.sh").read_text()
    verbs = set(re.findall(r"python -m ([\w.]+)", script))
    assert len(verbs) > 10 and all(importlib.util.find_spec(verb) for verb in verbs)
    rooms = {"$one": "stage1_detect", "$two": "stage2_score", "$three": "stage3_stack"}
    named = re.findall(r"(\$(?:one|two|three))(/[\w/*.]+\.yaml)", script)
    assert {"/sources/hand_totals.yaml", "/sources/scqm_joints.yaml", "/yolo.yaml"} <= {name for _, name in named}
    for room, name in named:
        assert list(paths.ROOT.glob(f"{rooms[room]}/configs/{profile}{name}")), (room, name)
