"""Command lines: one table of flags for all verbs (commands); each verb offers those that it uses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ra.config import PROFILES, UserError

FLAGS: dict[str, dict[str, Any]] = {
    "data": {"default": "phantom-demo", "metavar": "SET", "help": "prepared set: data/work/SET (default %(default)s)"},
    "config": {"metavar": "YAML", "help": "experiment file (default %(default)s)"},
    "profile": {"choices": PROFILES, "default": "demo", "help": "size of the experiments (default %(default)s)"},
    "set": {"dest": "sets", "action": "append", "default": [], "metavar": "KEY=VALUE", "help": "override one config value"},
    "run": {"metavar": "NAME", "help": "name of the run (default: the config's file name)"},
    "fold": {"default": "all", "metavar": "K", "help": "one fold's number, or all (default)"},
    "device": {"default": "auto", "help": "auto, cpu, cuda, cuda:1 (default %(default)s)"},
    "jobs": {"type": int, "default": 0, "metavar": "N", "help": "processes at a time; 0 (default): one per core, one on a GPU"},
    "workers": {
        "type": int,
        "default": 0,
        "metavar": "N",
        "help": "loader processes per training, for a GPU (default 0)",
    },
    "force": {"action": "store_true", "help": "rebuild results that are already finished"},
    "wandb": {"action": "store_true", "help": "also log to Weights & Biases (offline unless WANDB_MODE is set)"},
    "trained": {"required": True, "metavar": "SET", "help": "prepared set whose trained run is applied to --data"},
    "bone-age": {"default": "boneage-demo", "metavar": "SET", "help": "prepared set of the pretraining (default %(default)s)"},
    "name": {"metavar": "NAME", "help": "name of the submission (default: the set's name)"},
    "films": {"type": Path, "required": True, "metavar": "DIR", "help": "folder of films"},
    "weights": {"type": Path, "metavar": "FILE", "help": "detector's weights, .safetensors (default: the shipped weights)"},
}


def parser(doc: str | None, *flags: str, **defaults: Any) -> argparse.ArgumentParser:
    """The parser of a verb that offers the named flags of FLAGS; `defaults` replaces their defaults, by destination.

    The verb adds its other flags with add_argument. argparse refuses flags that are not offered.
    """
    p = argparse.ArgumentParser(description=doc, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in flags:
        p.add_argument(f"--{flag}", **FLAGS[flag])
    p.set_defaults(**defaults)
    return p


def device(name: str, has_gpu: bool) -> str:
    """torch's name of the device that --device names; auto is the GPU if there is one. UserError for one that is not there."""
    if name == "auto":
        return "cuda" if has_gpu else "cpu"
    if name != "cpu" and not (name.startswith("cuda") and has_gpu):
        raise UserError(f"--device {name}: this machine offers {'cpu, cuda' if has_gpu else 'cpu only'}")
    return name


def main(verb: Callable[[], None]) -> None:
    """Run a verb. A UserError becomes one line on stderr and exit code 1, Ctrl-C exit code 130."""
    try:
        verb()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        if error.errno != 28:  # ENOSPC
            raise
        print(f"error: the disk is full ({error.filename}); free some space and run the same command again", file=sys.stderr)
        raise SystemExit(1) from None
