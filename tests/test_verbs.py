"""Command lines of all verbs: each offers only flags that it uses, refuses all others, and exists where a script names it."""

import argparse
import ast
import importlib
import re
from functools import cache

import pytest

from ra.cli import FLAGS
from ra.paths import ROOT
from tests.test_law import MODULES, all_imports, tree


def verb_function(module: str) -> str | None:
    """Name of the function that `cli.main(...)` runs under the module's __main__ guard; None for a module that is no verb."""
    for node in tree(module).body:
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            calls = [call for call in ast.walk(node) if isinstance(call, ast.Call) and ast.unparse(call.func) == "cli.main"]
            assert calls, f"{module}: its __main__ guard must run the verb by cli.main"
            return ast.unparse(calls[0].args[0])
    return None


VERBS = {module: function for module in MODULES if (function := verb_function(module))}


class Captured(Exception):
    """Carries the parser out of the verb before it parses anything."""


@cache
def parser_of(module: str) -> argparse.ArgumentParser:
    """The parser that the verb builds."""

    def capture(self, *_, **__):
        raise Captured(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", capture)
        try:
            getattr(importlib.import_module(module), VERBS[module])()
        except Captured as captured:
            return captured.args[0]
    raise AssertionError(f"{module}: {VERBS[module]}() does not parse its command line")


def sample(action: argparse.Action) -> list[str]:
    """Arguments that the action accepts."""
    if action.nargs == 0:
        return [action.option_strings[0]]
    value = str(next(iter(action.choices))) if action.choices else "1"
    count = action.nargs if isinstance(action.nargs, int) else 0 if action.nargs in ("?", "*") else 1
    return [*action.option_strings[:1], *[value] * count]


def required(parser: argparse.ArgumentParser) -> list[str]:
    """The shortest command line that the parser accepts."""
    positional = [action for action in parser._actions if not action.option_strings]
    options = [action for action in parser._actions if action.option_strings and action.required]
    alternatives = [group._group_actions[0] for group in parser._mutually_exclusive_groups if group.required]
    return [word for action in (*positional, *options, *alternatives) for word in sample(action)]


def refusal(parser: argparse.ArgumentParser, *more: str, capsys: pytest.CaptureFixture) -> str:
    """What the parser prints when it refuses more arguments than are required."""
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args([*required(parser), *more])
    assert exit_.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("module", VERBS)
def test_a_verb_refuses_flags_that_it_does_not_offer(module, capsys):
    parser = parser_of(module)
    parser.parse_args(required(parser))
    offered = {option for action in parser._actions for option in action.option_strings}
    foreign = [f"--{flag}" for flag in FLAGS if f"--{flag}" not in offered]
    for flag in ("--no-such-flag", *foreign):
        message = refusal(parser, flag, capsys=capsys)
        assert message.startswith("usage:") and f"unrecognized arguments: {flag}" in message
    assert not parser.allow_abbrev, f"{module} accepts prefixes of its flags; build its parser with cli.parser"


def is_namespace(argument: ast.arg) -> bool:
    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    return argument.arg == "args" or annotation.endswith("Namespace")


def names_of_namespaces(node: ast.AST) -> set[str]:
    """Variables that hold parsed arguments: `args`, and parameters with that type."""
    functions = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.Lambda)]
    parameters = [a for f in functions for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
    return {"args"} | {parameter.arg for parameter in parameters if is_namespace(parameter)}


def used(node: ast.AST) -> set[str]:
    """Destinations of flags that the code reads: args.data, parse_args().data."""
    names = names_of_namespaces(node)
    found = set()
    for attribute in (n for n in ast.walk(node) if isinstance(n, ast.Attribute)):
        holder = attribute.value
        is_parsed = isinstance(holder, ast.Call) and ast.unparse(holder.func).endswith("parse_args")
        if is_parsed or (isinstance(holder, ast.Name) and holder.id in names):
            found.add(attribute.attr)
    return found


def functions_given_namespaces(node: ast.AST) -> set[str]:
    """Names of the functions to which the code passes its parsed arguments."""
    names = names_of_namespaces(node)
    copies = {f"vars({name})" for name in names}  # Namespace(**{**vars(args), ...})
    found = set()
    for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        if any(ast.unparse(value) in names or any(copy in ast.unparse(value) for copy in copies) for value in values):
            found.add(ast.unparse(call.func).split(".")[-1])
    return found


def used_by_verb(module: str) -> set[str]:
    """Destinations of flags that a verb reads, in its module or in functions to which it passes its parsed arguments."""
    out, queue, seen = used(tree(module)), [(module, tree(module))], set()
    while queue:
        where, node = queue.pop()
        called = functions_given_namespaces(node)
        for source in {where, *all_imports(where)} & set(MODULES):
            for function in ast.walk(tree(source)):
                if isinstance(function, ast.FunctionDef) and function.name in called and (source, function.name) not in seen:
                    seen.add((source, function.name))
                    out |= used(function)
                    queue.append((source, function))
    return out


@pytest.mark.parametrize("module", VERBS)
def test_a_verb_uses_every_flag_that_it_offers(module):
    offered = {action.dest for action in parser_of(module)._actions} - {"help"}
    unused = offered - used_by_verb(module)
    assert not unused, f"python -m {module.removesuffix('.__main__')} offers {sorted(unused)} but does not use them"


@pytest.mark.parametrize("module", VERBS)
def test_every_argument_of_a_verb_has_a_help_text(module):
    parser = parser_of(module)
    without = [action.dest for action in parser._actions if not action.help]
    assert parser.description and not without, f"{module}: no help text of {without}"
    parser.format_help()


SCRIPTS = [*ROOT.glob("*.sh"), *ROOT.glob("benchmarks/*.sh")]


def test_scripts_name_only_verbs_and_configs_that_exist():
    text = "\n".join(path.read_text() for path in SCRIPTS)
    verbs = set(re.findall(r"^(?!\s*#).*?python -m ([a-z][\w.]+)", text, re.MULTILINE))
    verbs |= set(re.findall(r'^(?!\s*#).*?\bstep "[^"]*" ([a-z][\w.]+)', text, re.MULTILINE))
    assert len(verbs) > 10
    ours = {verb for verb in verbs if verb.split(".")[0] in {name.split(".")[0] for name in MODULES}}
    assert not ours - {module.removesuffix(".__main__") for module in VERBS}
    configs = set(re.findall(r"[\w./]*configs/[\w./]+\.yaml", text))
    assert configs and not [name for name in configs if not (ROOT / name).is_file()]
    folders = set(re.findall(r"\$configs/(\w+)", text))
    assert folders and not [name for name in folders if not list(ROOT.glob(f"configs/*/{name}/*.yaml"))]


DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def commands(text: str) -> list[tuple[str, str]]:
    """(verb, arguments) of every `python -m verb arguments` in a text; brackets around optional ones are dropped."""
    joined = re.sub(r"\\\n\s*", "", text)
    joined = re.sub(r"\n {4,}(?=--)", " ", joined)  # the next line of a usage in a docstring
    found = re.findall(r"python -m ([a-z][\w.]+)([^\n`]*)", joined)
    return [(verb.rstrip("."), re.sub(r"\s#.*|\s{3,}\S.*|[\[\]]|\.\.\.|[,;:)(].*", "", rest)) for verb, rest in found]


def documented() -> list[tuple[str, str, str]]:
    """(where, verb, arguments) of the commands in documents and in the docstrings of the verbs."""
    packages = {module.split(".")[0] for module in MODULES}
    texts = {path.name: path.read_text() for path in DOCUMENTS} | {m: ast.get_docstring(tree(m)) or "" for m in VERBS}
    found = [(where, verb, rest) for where, text in texts.items() for verb, rest in commands(text)]
    return [command for command in found if command[1].split(".")[0] in packages]


@pytest.mark.parametrize(("where", "verb", "rest"), documented())
def test_documented_commands_are_accepted(where, verb, rest, capsys):
    module = verb if verb in VERBS else f"{verb}.__main__"
    assert module in VERBS, f"{where} names python -m {verb}, which does not exist"
    words = rest.split()
    if words:  # a bare name in a sentence is not a command line
        try:
            parser_of(module).parse_args(words)
        except SystemExit as stop:
            assert stop.code == 0, f"{where}: python -m {verb} {' '.join(words)} is refused: {capsys.readouterr().err}"
    lacking = [word for word in words if word.startswith("configs/") and not (ROOT / word).exists()]
    assert not lacking, f"{where} names {lacking}, which do not exist"


def test_the_functions_above_find_all_flags():
    """Direct use, a function that receives args, and an annotated parameter are found."""
    run = "def run():\n    args = p.parse_args()\n    f(args.data, place(args))\n    q.parse_args().name\n"
    source = run + "def place(a: Namespace):\n    a.fold\n"
    assert used(ast.parse(source)) == {"data", "name", "fold"}
    assert functions_given_namespaces(ast.parse(source)) == {"place"}
    assert {"data.prepare", "report.__main__", "ra.config_value"} <= set(VERBS)
