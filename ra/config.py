"""Strict configuration: frozen dataclass <- experiment file (YAML) <- `--set a.b=c`.

An experiment file holds the full-size values of a run; its `kind:` chooses the dataclass. It may also contain

    demo: {...}  smoke: {...}   the values that differ in that profile; smoke is laid over demo, demo over the full-size values
    variants: {NAME: {...}}     several runs in one file: the values that differ, and profile sections of the variant; without
                                variants the file describes one run, named after the file
    extends: FILE               another experiment file, by its path from this one, whose values, sections and variants are the
                                defaults of this one

A section (also one called full) may contain `only: [NAME, ...]`: the runs that are part of the profile; [] for none.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
Values = dict[str, Any]  # nested values of a config, as in YAML
PROFILES = ("full", "demo", "smoke")  # each is laid over the one before it
SECTIONS = {*PROFILES, "variants", "extends"}  # keys of an experiment file that are not values of the config


class UserError(Exception):
    """An error that the user can cure. Its message is one sentence: what is wrong, where, and the cure."""


@dataclasses.dataclass(frozen=True)
class Named:
    """A choice from a table of interchangeable things (backbones, heads, losses, learners), with its parameters."""

    name: str
    params: dict[str, Any] = dataclasses.field(default_factory=dict)


def load(cls: type[T], path: str | Path | None, sets: Sequence[str] = (), profile: str = "full") -> T:
    """Build `cls` from its defaults, an experiment file of one run, and `a.b=c` overrides.

    UserError for anything unknown or mistyped, and for a file of several runs.
    """
    values: Values = {}
    if path is not None:
        runs = _read_runs(Path(path), profile)
        if not runs:
            raise _not_in_profile(path, profile)
        if len(runs) > 1:
            raise UserError(f"{path} holds {len(runs)} runs ({', '.join(runs)}), but a file of one run is needed here")
        (values,) = runs.values()
    return build(cls, override(values, sets), where=str(path or cls.__name__))


def experiments(
    kinds: dict[str, type[T]],
    files: Sequence[str | Path],
    profile: str = "full",
    sets: Sequence[str] = (),
    run: str | None = None,
) -> list[tuple[str, T]]:
    """(run name, config) of every run that is part of the profile, in files and in the files of folders.

    kinds: the dataclass for each `kind:` that is accepted. run: renames the only run of a file, or picks a variant, even one
    that is not part of the profile.
    """
    paths = _yaml_files(files)
    if not paths:
        fault = f"{files[0]} holds no YAML file" if files else "no experiment given"
        raise UserError(f"{fault}; give an experiment of kind {', '.join(kinds)}")
    if run and len(paths) > 1:
        raise UserError("--run names one run, but several experiments were given; give one with --run")
    runs: list[tuple[str, T]] = []
    for path in paths:
        values_by_run = _named_run(path, profile, run) if run else _read_runs(path, profile)
        for name, values in values_by_run.items():
            runs.append((name, _of_kind(kinds, override(values, sets), f"{path}: {name}")))
    if not runs:
        raise _not_in_profile(paths[0], profile)
    names = [name for name, _ in runs]
    if len(set(names)) < len(names):
        raise UserError(f"two experiments share the run name {max(names, key=names.count)}; rename one")
    return runs


def _yaml_files(files: Sequence[str | Path]) -> list[Path]:
    """The files, and in place of a folder its *.yaml files in alphabetical order."""
    paths: list[Path] = []
    for path in map(Path, files):
        paths += sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return paths


def _not_in_profile(path: str | Path, profile: str) -> UserError:
    """The error for a file that has no run in the profile."""
    return UserError(f"{path} is not part of the profile {profile} (only: []); choose another with --profile")


def _named_run(path: Path, profile: str, run: str) -> dict[str, Values]:
    """The file's only run, renamed to `run`; in a file with variants, the variant called `run`."""
    runs = _read_runs(path, profile, include_all=True)
    if list(runs) == [_default_run(path)]:
        return {run: runs[_default_run(path)]}
    if run not in runs:
        raise UserError(f"{path} has no run {run!r}; {_nearest(run, runs, 'it has')}")
    return {run: runs[run]}


def _of_kind(kinds: dict[str, type[T]], values: Values, where: str) -> T:
    """Build the dataclass that the values' `kind` chooses."""
    kind = values.get("kind")
    if kind not in kinds:
        fault = "kind is missing" if kind is None else f"kind is {kind!r}"
        raise UserError(f"{where}: {fault}; {_nearest(str(kind), kinds, 'here it is one of')}")
    return build(kinds[kind], values, where)


def _nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean X?` if a known word is close, else `otherwise` followed by all known words."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"{otherwise} {', '.join(known)}"


def _default_run(file: Path) -> str:
    """Name of the run in a file without variants: the file's name; for a run's saved config.yaml, the name of its folder."""
    return file.absolute().parent.name if file.name == "config.yaml" else file.stem


def _read_runs(path: Path, profile: str, include_all: bool = False) -> dict[str, Values]:
    """Run name -> values of an experiment file in a profile; include_all: also of runs that are not part of it."""
    lineage = _lineage(path)
    variants = [file.get("variants") or {} for file in lineage]
    names = list(next((group for group in reversed(variants) if group), {_default_run(path): {}}))
    only = (lineage[-1].get(profile) or {}).get("only")
    for name in only or ():
        if name not in names:
            raise UserError(f"{path}: {profile}.only names {name}, not one of its runs; {_nearest(name, names, 'these are')}")
    chosen = names if only is None or include_all else only
    return {name: _merged(lineage, [group.get(name) or {} for group in variants], profile) for name in chosen}


def _merged(lineage: list[Values], variants: list[Values], profile: str) -> Values:
    """The values of a run: profile after profile; in each, the files' values, from the most general file, then the variant's."""
    values: Values = {}
    for level in PROFILES[: PROFILES.index(profile) + 1]:
        for layer in (*lineage, *variants):
            section = {key: value for key, value in (layer.get(level) or {}).items() if key != "only"}
            if level == "full":
                section = {key: value for key, value in layer.items() if key not in SECTIONS} | section
            values = merge(values, section)
    return values


def _lineage(path: Path, below: tuple[Path, ...] = ()) -> list[Values]:
    """The mappings of the files that an experiment file extends, the most general first, and last its own mapping."""
    if path.resolve() in below:
        raise UserError(f"{path} extends itself; correct its extends, or that of the files between")
    values = read_yaml(path)
    _check_sections(values, path)
    parent = values.get("extends")
    if parent and not (path.parent / parent).is_file():
        raise UserError(f"{path} extends {parent}, which does not exist; give the path of a file, relative to this one's folder")
    return [*(_lineage(path.parent / parent, (*below, path.resolve())) if parent else []), values]


def _check_sections(values: Values, path: Path) -> None:
    """UserError unless the sections and variants of an experiment file are mappings, and every `only` is a list."""
    variants = values.get("variants") or {}
    sections = {name: values.get(name) or {} for name in (*PROFILES, "variants")}
    if isinstance(variants, dict):
        sections |= {f"variants.{name}": variant or {} for name, variant in variants.items()}
    for name, section in sections.items():
        if not isinstance(section, dict):
            raise UserError(f"{path}: {name} must be a mapping, not {section!r}")
        if name in PROFILES and not isinstance(section.get("only", []), list):
            raise UserError(f"{path}: {name}.only must be a list of run names, not {section['only']!r}")


def read_yaml(path: Path) -> Values:
    """The mapping in a YAML file; UserError when it is missing (with did-you-mean), broken or not a mapping."""
    if not path.is_file():
        close = difflib.get_close_matches(path.stem, [p.stem for p in path.parent.glob("*.yaml")], n=1)
        hint = f"; did you mean {path.with_name(close[0] + '.yaml')}?" if close else ""
        raise UserError(f"config {path} does not exist{hint}")
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        place = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())
        raise UserError(f"config {path} is not valid YAML ({place}); correct it") from error
    if not isinstance(values, dict):
        raise UserError(f"config {path} must be a mapping of keys to values")
    return values


def override(values: Values, sets: Sequence[str]) -> Values:
    """A copy of nested values with `a.b=c` items set."""
    for item in sets:
        key, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--set {item}: write key=value, for example --set epochs=3")
        try:
            change = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"--set {item}: {text!r} is not a YAML value; quote it") from None
        keys = key.split(".")
        node = values
        for parent in keys[:-1]:
            node = node.get(parent, {})
            if not isinstance(node, dict):
                raise UserError(f"--set {item}: {parent} is one value, not a group of keys")
        for name in reversed(keys):
            change = {name: change}
        values = merge(values, change)
    return values


def merge(base: Values, more: Values) -> Values:
    """`base` with the values of `more` laid over it, mappings within mappings; a group with another `name` is replaced whole."""
    if more.get("name", base.get("name")) != base.get("name"):
        return more
    both = {k: merge(base[k], v) for k, v in more.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **more, **both}


def build(cls: type[T], values: Values, where: str) -> T:
    """Dataclass from a mapping, recursively and strictly."""
    hints = typing.get_type_hints(cls)
    names = sorted(field.name for field in dataclasses.fields(cls))
    for key in values:
        if key not in names:
            raise UserError(f"{where}: unknown key {key!r}; {_nearest(str(key), names, 'known keys:')}")
    kwargs = {key: _coerce(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    try:
        return cls(**kwargs)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from error


def _coerce(hint: Any, value: Any, where: str) -> Any:
    """The value as the type `hint` of a dataclass's field; UserError when it is of another type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UserError(f"{where} must be a mapping, not {value!r}")
        return build(hint, value, where)
    if origin is typing.Literal:
        if value in args:
            return value
        raise UserError(f"{where} is {value!r}; {_nearest(str(value), map(str, args), 'it is one of')}")
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
