"""Strict configuration: frozen dataclass <- YAML <- `--set a.b=c`, and the one argument parser of every verb."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import functools
import hashlib
import json
import sys
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")


class UserError(Exception):
    """One sentence for the person at the keyboard: what is wrong, where, and the cure."""


@dataclasses.dataclass(frozen=True)
class Named:
    """One of a table of swappable things (backbone, head, loss, learner ...), with its own parameters."""

    name: str
    params: dict[str, Any] = dataclasses.field(default_factory=dict)


def load(cls: type[T], path: str | Path | None, sets: list[str] = ()) -> T:
    """Build `cls` from its defaults, a YAML file and `a.b=c` overrides; anything unknown or mistyped is a UserError."""
    values = {} if path is None else read_yaml(Path(path))
    return build(cls, override(values, sets), where=str(path or cls.__name__))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping of a YAML file; UserError when it is missing (with did-you-mean), broken or no mapping."""
    if not path.is_file():
        near = difflib.get_close_matches(path.stem, [p.stem for p in path.parent.glob("*.yaml")], n=1)
        hint = f"; did you mean {path.with_name(near[0] + '.yaml')}?" if near else ""
        raise UserError(f"config {path} does not exist{hint}")
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise UserError(f"config {path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"config {path} must be a mapping of keys to values")
    return values


def override(values: dict[str, Any], sets: list[str]) -> dict[str, Any]:
    """A copy of nested values with `a.b=c` items set."""
    for item in sets:
        key, eq, text = item.partition("=")
        if not eq:
            raise UserError(f"--set {item}: write key=value, for example --set epochs=3")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"--set {item}: {text!r} is not a YAML value; quote it") from None
        *parents, leaf = key.split(".")
        node = values
        for parent in parents:
            node = node.get(parent, {})
            if not isinstance(node, dict):
                raise UserError(f"--set {item}: {parent} is one value, not a group of keys")
        values = merge(values, functools.reduce(lambda inner, parent: {parent: inner}, reversed(parents), {leaf: value}))
    return values


def merge(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `more` laid over it, mappings within mappings; another `name` starts its group anew."""
    if more.get("name", base.get("name")) != base.get("name"):
        return more
    both = {k: merge(base[k], v) for k, v in more.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **more, **both}


def build(cls: type[T], values: dict[str, Any], where: str) -> T:
    """Dataclass from a mapping, recursively and strictly."""
    hints = typing.get_type_hints(cls)
    names = {f.name for f in dataclasses.fields(cls)}
    kwargs = {}
    for key, value in values.items():
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known keys: {', '.join(sorted(names))}"
            raise UserError(f"{where}: unknown key {key!r}{hint}")
        kwargs[key] = _coerce(hints[key], value, f"{where}: {key}")
    try:
        return cls(**kwargs)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from error


def _coerce(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UserError(f"{where} must be a mapping, not {value!r}")
        return build(hint, value, where)
    if origin is typing.Literal:
        if value in args:
            return value
        near = difflib.get_close_matches(str(value), [str(a) for a in args], n=1)
        raise UserError(f"{where} is {value!r}; did you mean {near[0]}?" if near else f"{where} is {value!r}; one of {args}")
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{where} must be a list, not {value!r}")
        item_hints = [args[0]] * len(value) if args[-1] is ... else args
        if len(item_hints) != len(value):
            raise UserError(f"{where} must have {len(item_hints)} values, not {len(value)}")
        return tuple(_coerce(h, v, where) for h, v in zip(item_hints, value, strict=True))
    if origin is dict:
        return dict(value)
    if type(None) in args:
        return None if value is None else _coerce(next(a for a in args if a is not type(None)), value, where)
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # PyYAML reads 3e-4 as a string
        except ValueError:
            pass
    if type(value) is not hint:
        raise UserError(f"{where} must be {hint.__name__}, not {value!r}")
    return value


def as_dict(config: Any) -> dict[str, Any]:
    """Plain dict of a config (tuples become lists), as saved beside the weights."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def digest(config: Any) -> str:
    """Short stable hash of a config's values."""
    return hashlib.sha256(json.dumps(as_dict(config), sort_keys=True).encode()).hexdigest()[:16]


def parser(doc: str, default_config: str | None = None) -> argparse.ArgumentParser:
    """The flags that every verb of every stage shares; a verb adds its own below them."""
    p = argparse.ArgumentParser(description=doc, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", default="phantom-demo", metavar="SET", help="prepared set: data/work/SET (default %(default)s)")
    p.add_argument("--config", default=default_config, metavar="YAML", help="experiment (default %(default)s)")
    p.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="override one config value")
    p.add_argument("--fold", default="all", metavar="K", help="one fold's number, or all (default)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default %(default)s)")
    p.add_argument("--force", action="store_true", help="make again what is already finished")
    p.add_argument("--wandb", action="store_true", help="also log to Weights & Biases (offline unless WANDB_MODE says otherwise)")
    return p


def main(verb: typing.Callable[[], None]) -> None:
    """Run a verb; a UserError becomes one line on stderr and exit code 1, a kill at the keyboard exit code 130."""
    try:
        verb()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        if error.errno != 28:  # ENOSPC
            raise
        print(f"error: the disk is full ({error.filename}); free some space and run the same command again", file=sys.stderr)
        raise SystemExit(1) from None
