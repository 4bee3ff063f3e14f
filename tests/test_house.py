import ast

import house
import pytest

from helpers import fingerprint

ARROWS = house.arrows()


def test_every_room_has_its_floor():
    assert {house.room(m) for m in house.modules()} == set(house.FLOOR)


@pytest.mark.parametrize("module", house.modules())
def test_arrows_point_down(module):
    """A module imports from its own room and from floors below; never from beside or above."""
    own = house.room(module)
    for target in ARROWS[module]:
        there = house.room(target)
        assert there == own or house.FLOOR[there] < house.FLOOR[own], f"{module} imports {target}"


def test_no_module_imports_itself_in_a_circle():
    """Within a room too; a package's __init__ hands on names, so nothing inside counts as importing it."""
    graph = {m: {t for t in targets if not m.startswith(f"{t}.")} for m, targets in ARROWS.items()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module not in done:
            for target in graph[module]:
                visit(target, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


# A module that runs as a command is imported again under its own name, by which other processes find its functions.
COMMANDS = ("running.sweep", "running.verdict_grids", "running.readings")
# Loaded late, since they take seconds and a second `make reproduce` needs none of them.
LATE = {("running.reproduce", name) for name in ("verdict.report", "device", "pretrained", "pretrained.natural")}
LATE |= {(m, m) for m in COMMANDS}


@pytest.mark.parametrize("module", house.modules())
def test_no_import_hides(module):
    """Imports from the package stand at the top of a module, where a reader sees them, and none is for types alone."""
    tree = fingerprint._tree(module)
    hidden = [n for part in tree.body if not isinstance(part, (ast.Import, ast.ImportFrom)) for n in ast.walk(part)]
    for node in hidden:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found = fingerprint.imports(ast.Module([node], []), module) - {house.room(module), "verdict", "running"}
            assert all((module, target) in LATE for target in found), f"{module}, line {node.lineno}"
    assert "TYPE_CHECKING" not in {getattr(n, "id", None) for n in ast.walk(tree)}


def test_the_picture_is_that_of_the_code():
    text = house.PICTURE.read_text()
    assert house.with_picture(text) == text, "run python tests/house.py"
