"""A file or a folder is written whole or not at all, even if the process is killed while it writes."""

import os

import pandas as pd
import pytest

from ra import atomic


class Killed(BaseException):
    """Stands for the process ending at this point."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "out.txt"
    atomic.write_text(path, "old")
    with atomic.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and names(path.parent) == ["out.txt"]


def test_an_exception_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "out.txt"
    atomic.write_text(path, "old")
    with pytest.raises(RuntimeError), atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["out.txt"]


def test_what_the_writers_write_is_read_back(tmp_path):
    table = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
    atomic.write_bytes(tmp_path / "b.bin", b"\0\1")
    atomic.write_text(tmp_path / "t.txt", "Sjögren")
    atomic.write_json(tmp_path / "j.json", {"b": float("nan"), "a": 1})
    atomic.write_table(tmp_path / "t.csv", table)
    atomic.write_table(tmp_path / "i.csv", table, index=True)
    atomic.write_table(tmp_path / "t.parquet", table)
    assert (tmp_path / "b.bin").read_bytes() == b"\0\1"
    assert (tmp_path / "t.txt").read_bytes() == "Sjögren".encode()
    assert (tmp_path / "j.json").read_text() == '{\n "a": 1,\n "b": NaN\n}\n'
    assert (tmp_path / "t.csv").read_text() == "a\n1\n2\n"
    assert (tmp_path / "i.csv").read_text() == ",a\nx,1\ny,2\n"
    assert pd.read_parquet(tmp_path / "t.parquet").a.tolist() == [1, 2]
    assert len(names(tmp_path)) == 6, "no temporary file stays"


def fill(path, content, **options):
    """Replace the folder `path` by one that holds `content`: {name of a file: text}."""
    with atomic.replacing_folder(path, **options) as temporary:
        for name, text in content.items():
            atomic.write_text(temporary / name, text)


def content(path):
    return {str(file.relative_to(path)): file.read_text() for file in path.rglob("*") if file.is_file()}


def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "set"
    fill(path, {"a": "1", "runs/r": "old run"})
    fill(path, {"b": "2"})
    assert content(path) == {"b": "2"} and names(path.parent) == ["set"]


def test_subfolders_of_the_old_folder_can_be_kept(tmp_path):
    path = tmp_path / "set"
    fill(path, {"a": "1", "runs/r": "run", "made/m": "old"})
    fill(path, {"b": "2", "made/m": "new"}, keep_subfolders=True)
    assert content(path) == {"b": "2", "runs/r": "run", "made/m": "new"} and names(tmp_path) == ["set"]


def test_an_exception_leaves_the_old_folder_and_no_temporary_one(tmp_path):
    path = tmp_path / "set"
    fill(path, {"a": "1"})
    with pytest.raises(RuntimeError), atomic.replacing_folder(path) as temporary:
        (temporary / "b").write_text("half")
        raise RuntimeError
    assert content(path) == {"a": "1"} and names(tmp_path) == ["set"]


def test_the_temporary_folder_of_a_killed_process_is_cleared_away(tmp_path):
    leftover = tmp_path / ".set.123456.tmp"
    atomic.write_text(leftover / "half", "")
    fill(tmp_path / "set", {"a": "1"})
    assert names(tmp_path) == ["set"]


@pytest.mark.parametrize("keep_subfolders", [False, True])
@pytest.mark.parametrize("renames", range(4))
def test_a_replacement_killed_at_any_rename_is_finished_or_undone_by_the_next_call(
    tmp_path, monkeypatch, renames, keep_subfolders
):
    """The renames: old folder aside, new folder into place, each kept subfolder across; then the old folder is deleted."""
    path, rename = tmp_path / "set", os.rename
    old, new = {"a": "1", "runs/r": "run"}, {"a": "2"}
    fill(path, old)
    left = [renames]

    def killing(self, target):
        if not left[0]:
            raise Killed
        left[0] -= 1
        rename(self, target)
        return target

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", killing)
        patch.setattr(atomic.shutil, "rmtree", lambda *_, **__: None)  # a killed process deletes nothing
        try:
            with atomic.replacing_folder(path, keep_subfolders=keep_subfolders) as temporary:
                (temporary / "a").write_text("2")
        except Killed:
            pass
    atomic.finish_replacing(path, keep_subfolders=keep_subfolders)
    kept = new | ({"runs/r": "run"} if keep_subfolders else {})
    assert content(path) == (old if renames < 2 else kept)
    fill(path, {"a": "3"}, keep_subfolders=keep_subfolders)
    assert (path / "a").read_text() == "3" and names(tmp_path) == ["set"]


def test_finishing_without_an_interrupted_replacement_does_nothing(tmp_path):
    atomic.finish_replacing(tmp_path / "absent")
    fill(tmp_path / "set", {"a": "1"})
    atomic.finish_replacing(tmp_path / "set")
    assert content(tmp_path / "set") == {"a": "1"} and names(tmp_path) == ["set"]
