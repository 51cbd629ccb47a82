"""The import law, checked in the source: which package may import which, and what a verb must not load before there is work."""

import ast
from functools import cache
from pathlib import Path

import pytest

from ra.paths import ROOT

ALLOWED = {  # package -> packages whose code it may import
    "ra": set(),
    "data": {"ra"},
    "stage1_detect": {"ra"},
    "stage2_score": {"ra"},
    "stage3_stack": {"ra"},
    "evaluation": {"ra", "stage3_stack"},
    "report": {"ra", "stage3_stack", "evaluation"},
}
PACKAGES = tuple(ALLOWED)
LEARNERS = {"torch", "torchvision", "timm", "ultralytics", "albumentations", "lightgbm"}  # seconds to import
TORCH = {"torch", "torchvision", "timm", "ultralytics", "albumentations"}
FREE_OF_TORCH = ("ra", "data", "stage3_stack", "evaluation", "report")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))}


def imports(nodes, module: str) -> set[str]:
    """Full names that import statements among the nodes name; `from a import b` gives a and a.b."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; write the full name"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


@cache
def all_imports(module: str) -> frozenset[str]:
    return frozenset(imports(ast.walk(tree(module)), module))


def at_load(body: list[ast.stmt]):
    """Statements that run when a module is loaded: not in functions, not under TYPE_CHECKING or __main__."""
    for node in body:
        if isinstance(node, ast.If) and any(word in ast.unparse(node.test) for word in ("TYPE_CHECKING", "__main__")):
            continue
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from at_load([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])


@cache
def load_imports(module: str) -> frozenset[str]:
    return frozenset(imports(at_load(tree(module).body), module))


def loaded_with(module: str) -> dict[str, str]:
    """Everything that importing the module loads -> the module of ours that imports it."""
    queue, seen = [module], {module}
    found: dict[str, str] = {}
    while queue:
        current = queue.pop()
        parents = [".".join(current.split(".")[:n]) for n in range(1, current.count(".") + 1)]
        for name in [*load_imports(current), *parents]:
            found.setdefault(name, current)
            if name in MODULES and name not in seen:
                seen.add(name)
                queue.append(name)
    return found


def tops(names) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("module", MODULES)
def test_packages_import_only_what_lies_below_them(module):
    own = module.split(".")[0]
    foreign = (tops(all_imports(module)) & {*PACKAGES, "tests"}) - ALLOWED[own] - {own}
    assert not foreign, f"{module} imports {foreign}; {own} may import {sorted(ALLOWED[own]) or 'itself alone'}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("ra.") and not m.startswith("ra.imaging")])
def test_the_shared_contract_does_not_read_films(module):
    assert not [name for name in all_imports(module) if name.startswith("ra.imaging")]


def test_no_import_circles():
    """Circles that an import inside a function hides are found too."""
    graph = {m: {n for n in all_imports(m) if n in MODULES and n != m} for m in MODULES}
    packages = {m for m, path in MODULES.items() if path.name == "__init__.py"}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in graph[module] - packages | {n for n in graph[module] & packages if graph[n]}:
                visit(name, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", MODULES)
def test_torch_and_ultralytics_stay_where_they_belong(module):
    used, own = tops(all_imports(module)), module.split(".")[0]
    assert not (own in FREE_OF_TORCH and used & TORCH)
    assert "ultralytics" not in used or own == "stage1_detect"


@pytest.mark.parametrize("module", [m for m, p in MODULES.items() if "__main__" in p.read_text()])
def test_a_verb_loads_no_learner_before_there_is_work(module):
    loaded = loaded_with(module)
    heavy = {name: by for name, by in loaded.items() if name.split(".")[0] in LEARNERS}
    assert not heavy, f"python -m {module} imports {heavy} at load: import it inside the function that trains"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_unpickled(module):
    assert not tops(all_imports(module)) & {"pickle", "joblib", "cloudpickle", "dill"}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), module


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith(("data", "ra"))])
def test_only_the_evaluation_opens_scores_of_test_patients(module):
    """Code that trains or predicts never opens gold scores, a second reader's scores or the simulated truth."""
    source = ast.unparse(tree(module))
    if any(word in source for word in ("paths.reader(", "paths.ratingen_gold", "gold.parquet'")):
        assert module.startswith(("evaluation.", "report.")), f"{module} opens what only the evaluation may"


def test_the_functions_above_find_all_imports():
    """Imports at load, inside a function, in a class body and under TYPE_CHECKING are told apart."""
    lines = ["import a", "if TYPE_CHECKING:", "    import b", "def f():", "    import c", "class D:", "    import d", "try:"]
    source = "\n".join([*lines, "    from e import g", "except E:", "    pass"])
    parsed = ast.parse(source)
    assert imports(at_load(parsed.body), "x") == {"a", "d", "e", "e.g"}
    assert imports(ast.walk(parsed), "x") == {"a", "b", "c", "d", "e", "e.g"}
    assert {"ra.imaging.film", "ra.anatomy", "data.prepare"} <= set(MODULES)
    assert loaded_with("data.prepare")["pandas"] in MODULES
