"""Files of JSON lines: complete lines are read, whatever a killed process left at the end."""

from ra import json_lines


def test_an_incomplete_or_foreign_line_is_skipped(tmp_path):
    path = tmp_path / "cache.jsonl"
    assert list(json_lines.read(path)) == []
    path.write_bytes(b'{"a": 1}\n\n[1, 2]\n{"a": 2}\n\xff{"a"\n{"a": 3')
    assert list(json_lines.read(path)) == [{"a": 1}, {"a": 2}]
