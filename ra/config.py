"""Strict configuration: frozen dataclass <- experiment file (YAML) <- `--set a.b=c`.

An experiment file holds the values of a full-size run, with a `kind:` that says what it is. Beside them it may have

    demo: {...}  smoke: {...}   what is smaller in that profile; smoke is laid over demo, demo over the full-size values
    variants: {NAME: {...}}     several runs in one file, each with what differs (and sections of its own); without it the
                                file is one run of its own name
    extends: FILE               another experiment file to start from, its sections and equally named variants included

and in a section (also in one called full) `only: [NAME, ...]`: the runs that the profile trains; [] for none.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
PROFILES = ("full", "demo", "smoke")  # each is laid over the one before it
SECTIONS = {*PROFILES, "variants", "extends"}  # keys of an experiment file that are not values of the config


class UserError(Exception):
    """One sentence for the person at the keyboard: what is wrong, where, and the cure."""


@dataclasses.dataclass(frozen=True)
class Named:
    """One of a table of swappable things (backbone, head, loss, learner ...), with its own parameters."""

    name: str
    params: dict[str, Any] = dataclasses.field(default_factory=dict)


def load(cls: type[T], path: str | Path | None, sets: Sequence[str] = (), profile: str = "full") -> T:
    """Build `cls` from its defaults, one run's experiment file and `a.b=c` overrides. UserError for anything unknown or mistyped."""
    values = {} if path is None else one(runs_of(Path(path), profile), path)
    return build(cls, override(values, sets), where=str(path or cls.__name__))


def experiments(
    kinds: dict[str, type[T]],
    files: Sequence[str | Path],
    profile: str = "full",
    sets: Sequence[str] = (),
    run: str | None = None,
) -> list[tuple[str, T]]:
    """(run name, config) of every run of the files, and of the files in folders, that the profile trains.

    kinds: what a file's `kind:` may be, and the dataclass of each. run: renames the one run of a file, or picks a variant.
    """
    paths = [inner for path in map(Path, files) for inner in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
    if not paths:
        raise UserError(
            f"no experiment given; one of {', '.join(kinds)} is wanted" if not files else f"{files[0]} holds no YAML file"
        )
    if run and len(paths) > 1:
        raise UserError("--run names one run, but several experiments were given; give one with --run")
    found = []
    for path in paths:
        for name, values in _named(path, profile, run).items():
            found.append((name, _of_kind(kinds, override(values, sets), f"{path}: {name}")))
    names = [name for name, _ in found]
    if len(set(names)) < len(names):
        raise UserError(f"two experiments share the run name {max(names, key=names.count)}; rename one")
    if not found:
        raise UserError(f"{paths[0]} is not part of the profile {profile} (only: [])")
    return found


def _named(path: Path, profile: str, run: str | None) -> dict[str, dict[str, Any]]:
    """The runs of a file in a profile; with `run` that variant alone, or the file's one run under that name."""
    if not run:
        return runs_of(path, profile)
    runs = runs_of(path, profile, every=True)
    if len(runs) == 1 and default_run(path) in runs:
        return {run: runs[default_run(path)]}
    if run not in runs:
        raise UserError(f"{path} has no run {run!r}; it has {', '.join(runs)}")
    return {run: runs[run]}


def _of_kind(kinds: dict[str, type[T]], values: dict[str, Any], where: str) -> T:
    kind = values.get("kind")
    if kind not in kinds:
        near = difflib.get_close_matches(str(kind), kinds, n=1)
        hint = f"did you mean {near[0]}?" if near else f"here it is one of {', '.join(kinds)}"
        raise UserError(f"{where}: {'kind is missing' if kind is None else f'kind is {kind!r}'}; {hint}")
    return build(kinds[kind], values, where)


def one(runs: dict[str, dict[str, Any]], path: str | Path) -> dict[str, Any]:
    """The values of the one run of a file."""
    if len(runs) != 1:
        raise UserError(f"{path} holds {len(runs)} runs ({', '.join(runs)}), where one is wanted; name it with --run")
    return next(iter(runs.values()))


def default_run(file: Path) -> str:
    """The run that an experiment file without variants describes: its name; of a saved config.yaml, its folder's name."""
    file = Path(file)
    return file.absolute().parent.name if file.name == "config.yaml" else file.stem


def runs_of(path: Path, profile: str, every: bool = False) -> dict[str, dict[str, Any]]:
    """Run name -> values of an experiment file in a profile, for the runs that the profile trains (or every run)."""
    lineage = _lineage(Path(path))
    variants = [file.get("variants") or {} for file in lineage]
    names = list(next((found for found in reversed(variants) if found), {default_run(path): {}}))
    levels = PROFILES[: PROFILES.index(profile) + 1]
    only = (lineage[-1].get(profile) or {}).get("only")
    unknown = set(only or ()) - set(names)
    if unknown:
        raise UserError(f"{path}: {profile}.only names {min(unknown)}, which is not one of its runs: {', '.join(names)}")
    out = {}
    for name in names if only is None or every else only:
        values: dict[str, Any] = {}
        for level in levels:
            for layer in (*lineage, *(found.get(name) or {} for found in variants)):
                values = merge(values, _at(layer, level))
        out[name] = values
    return out


def _lineage(path: Path, below: tuple[Path, ...] = ()) -> list[dict[str, Any]]:
    """The mapping of an experiment file behind those that it extends, the most general first."""
    if path.resolve() in below:
        raise UserError(f"{path} extends itself")
    values = read_yaml(path)
    parent = values.get("extends")
    return [*(_lineage(path.parent / parent, (*below, path.resolve())) if parent else []), values]


def _at(layer: dict[str, Any], level: str) -> dict[str, Any]:
    """What a file, or a variant in it, says at a level: its plain values at full, with those of a section `full`."""
    section = {k: v for k, v in (layer.get(level) or {}).items() if k != "only"}
    return {k: v for k, v in layer.items() if k not in SECTIONS} | section if level == "full" else section


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


def override(values: dict[str, Any], sets: Sequence[str]) -> dict[str, Any]:
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
