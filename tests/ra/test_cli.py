"""Command lines: only the flags that a verb names are offered, and a verb ends with one line and its exit code."""

import subprocess
import sys

import pytest

from ra import cli, paths
from ra.config import PROFILES, UserError


def exits_with_usage(parser, *arguments, capsys) -> str:
    """The message with which argparse refuses the arguments."""
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(arguments)
    message = capsys.readouterr().err
    assert exit_.value.code == 2 and message.startswith("usage:")
    return message


def test_a_verb_offers_the_flags_that_it_names_and_no_others(capsys):
    parser = cli.parser("a verb", "data", "set", "force")
    args = parser.parse_args(["--set", "a=1", "--set", "b=2", "--force"])
    assert vars(args) == {"data": "phantom-demo", "sets": ["a=1", "b=2"], "force": True}
    assert "unrecognized arguments: --device" in exits_with_usage(parser, "--device", "cpu", capsys=capsys)


def test_a_verb_may_change_a_default():
    assert cli.parser("a verb", "data", "config", data="other", config="x.yaml").parse_args([]).config == "x.yaml"


def test_no_prefix_of_a_flag_is_accepted(capsys):
    assert "unrecognized" in exits_with_usage(cli.parser("a verb", "data"), "--dat", "x", capsys=capsys)


def test_every_flag_of_the_table_can_be_parsed_and_has_a_help_text():
    parser = cli.parser("a verb", *cli.FLAGS)
    args = parser.parse_args(["--trained", "a", "--films", "b", "--profile", PROFILES[-1], "--jobs", "2"])
    assert args.jobs == 2 and args.profile == "smoke" and args.bone_age == "boneage-demo"
    assert all(action.help for action in parser._actions)
    assert "data/work/SET" in parser.format_help()


VERB = "from ra import cli, config\ndef run():\n    {}\ncli.main(run)"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("raise config.UserError('x is bad; do y')", 1, "error: x is bad; do y\n"),
        ("raise KeyboardInterrupt", 130, "interrupted; run the same command again to resume\n"),
        ("raise OSError(28, 'No space', 'f')", 1, "error: the disk is full"),
        ("pass", 0, ""),
    ],
)
def test_a_verb_ends_with_one_line_and_its_code(body, code, message):
    command = [sys.executable, "-c", VERB.format(body)]
    result = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == code and result.stderr.startswith(message) and result.stderr.count("\n") == bool(message)


def test_a_shell_script_can_read_a_value_of_a_config(tmp_path):
    (tmp_path / "config.yaml").write_text("members: [a, b]\npictures: crops\n")

    def value(key):
        command = [sys.executable, "-m", "ra.config_value", str(tmp_path / "config.yaml"), key]
        return subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)

    assert value("members").stdout == "a\nb\n" and value("pictures").stdout == "crops\n"
    assert value("boxes").returncode == 1 and "has no key 'boxes'; it has members, pictures" in value("boxes").stderr


def test_a_device_that_is_not_there_is_refused():
    assert cli.device("auto", has_gpu=False) == "cpu" and cli.device("auto", has_gpu=True) == "cuda"
    assert cli.device("cuda:1", has_gpu=True) == "cuda:1" and cli.device("cpu", has_gpu=True) == "cpu"
    for name, has_gpu in (("cuda", False), ("tpu", True)):
        with pytest.raises(UserError, match=f"--device {name}: this machine offers cpu"):
            cli.device(name, has_gpu=has_gpu)
