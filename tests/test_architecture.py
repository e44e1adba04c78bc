"""The plan of the rooms in docs/architecture.md: a module imports only what is on a lower floor."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the ground up. A room is a file or a folder of slt_fast; those on one floor are strangers.
FLOORS = [
    {"threads", "errors", "version", "progress_bar"},
    {"files", "workers", "settings", "device", "command_line", "metrics"},
    {"state_dict"},
    {"ops"},
    {"layers", "info"},
    {"integrations", "model", "data"},
    {"recipe"},
    {"checkpoint"},
    {"pretrained", "export"},
    {"inference"},
    {"visualize"},
    {"training", "serving"},
    {"commands"},
]
# What slt_fast/__init__.py may import.
FRONT_DOOR = {"slt_fast.threads", "slt_fast.version", "slt_fast.inference.translator"}


def read_imports(package: Path) -> dict[str, set[str]]:
    """Returns for each module of a package the modules of the package that it imports anywhere."""
    names = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        graph[name] = {found for node in ast.walk(tree) for found in _imported(node, names)}
    return graph


def _imported(node: ast.AST, names: dict[str, Path]) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & names.keys()
    if not isinstance(node, ast.ImportFrom) or node.module not in names:
        return set()
    inner = [f"{node.module}.{alias.name}" for alias in node.names]
    return {name if name in names else node.module for name in inner}


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Returns the modules of one circle of imports; an empty list if there is none."""
    try:
        TopologicalSorter(graph).prepare()
        return []
    except CycleError as error:
        return error.args[1]


def find_arrows_upward(graph: dict[str, set[str]], floors: list[set[str]]) -> list[str]:
    """Returns the imports from a room on the same floor or on a higher one."""
    floor_of = {room: number for number, rooms in enumerate(floors) for room in rooms}
    arrows = [(name, target) for name in graph for target in graph[name] & graph.keys()]
    found = []
    for importer, target in sorted(arrows):
        above, below = importer.split(".")[1], target.split(".")[1]
        if above != below and floor_of[above] <= floor_of[below]:
            found.append(f"{importer} imports {target}")
    return found


@pytest.mark.parametrize("package", ["slt_fast", "benchmarks"])
def test_no_files_import_each_other(package):
    assert find_circle(read_imports(ROOT / package)) == []


def test_no_room_imports_from_a_higher_one():
    graph = read_imports(ROOT / "slt_fast")
    importers = {name.split(".")[1] for name in graph if "slt_fast" in graph[name]}
    assert importers <= {"commands"}, "only a command comes in by the front door"
    assert graph.pop("slt_fast") == FRONT_DOOR
    assert {name.split(".")[1] for name in graph} - set().union(*FLOORS) == set()
    assert find_arrows_upward(graph, FLOORS) == []


def test_the_check_finds_violations(tmp_path):
    high = tmp_path / "house" / "high"
    high.mkdir(parents=True)
    (high / "__init__.py").touch()
    (high / "b.py").write_text("def load():\n    import house.low")
    (high.parent / "__init__.py").write_text("def load():\n    from house.high import b")
    (high.parent / "low.py").write_text("if TYPE_CHECKING:\n    from house.high import b")
    graph = read_imports(tmp_path / "house")
    assert graph.pop("house") == {"house.high.b"}
    assert set(find_circle(graph)) == {"house.low", "house.high.b"}
    assert find_arrows_upward(graph, [{"low"}, {"high"}]) == ["house.low imports house.high.b"]
