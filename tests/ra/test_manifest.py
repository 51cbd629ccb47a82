"""A finished run is skipped, an interrupted one resumed, an outdated one rebuilt, one of another config refused."""

from dataclasses import dataclass

import pytest

from ra import manifest
from ra.config import UserError


@dataclass(frozen=True)
class Toy:
    epochs: int = 3
    mirror: bool = False


def test_a_run_is_skipped_resumed_rebuilt_or_refused(tmp_path, capsys):
    source, folder = tmp_path / "in.csv", tmp_path / "runs" / "toy"
    source.write_text("1")
    run = manifest.Run(folder, Toy(), [source])
    assert run.begin()
    (folder / "out.txt").write_text("made")
    assert manifest.Run(folder, Toy(), [source]).begin(), "begun but not finished: resumed"
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


def test_a_step_is_current_while_its_inputs_and_outputs_are_unchanged(tmp_path):
    record, output = tmp_path / "made" / "record.json", tmp_path / "made" / "out.csv"
    output.parent.mkdir()
    output.write_text("1")
    inputs = {"seed": 0, "files": ("a", "b"), "films.parquet": "0123"}
    assert not manifest.is_current(record, inputs)
    manifest.write_record(record, inputs, [output], seconds=2)
    assert manifest.is_current(record, inputs)
    assert not manifest.is_current(record, inputs | {"seed": 1})
    output.write_text("2")
    assert not manifest.is_current(record, inputs), "an output was changed"
    output.unlink()
    assert not manifest.is_current(record, inputs), "an output is missing"


def test_a_file_is_recognised_by_its_hash_and_its_stamp(tmp_path):
    path = tmp_path / "a"
    assert manifest.stamp(path) == [0, 0]
    path.write_text("1")
    assert len(manifest.file_hash(path)) == 16 and manifest.stamp(path)[0] == 1
    (tmp_path / "run.json").write_text("{}")
    assert manifest.file_hash(tmp_path) == manifest.file_hash(tmp_path / "run.json"), "a run folder is known by its run.json"


def test_a_run_that_failed_before_its_first_result_does_not_block_the_corrected_one(tmp_path):
    folder = tmp_path / "run"
    assert manifest.Run(folder, Toy(epochs=1), []).begin()
    (folder / "precision.json").write_text("{}")
    assert manifest.Run(folder, Toy(epochs=2), []).begin(), "nothing was made yet"
    assert not (folder / "precision.json").is_file(), "it was chosen for the other config"
    (folder / "oof.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"\(it differs in epochs\); delete that folder"):
        manifest.Run(folder, Toy(epochs=1), []).begin()
