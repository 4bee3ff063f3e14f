"""The rooms of the house and the arrows between them, read off the code.

`python tests/house.py` renews docs/design.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers import fingerprint

# From the ground up. A module imports from its own room and from floors below it.
FLOORS = (
    ("errors",),
    ("column_types",),
    ("settings", "store", "device", "tables", "rows", "fingerprint", "timing"),
    ("profiles", "table_folder"),
    ("workspace", "figures", "task"),
    ("gpt",),
    ("analysis",),
    ("pretrained",),
    ("verdict", "explorer"),
    ("findings", "running"),
    ("benchmarks",),
)
FLOOR = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "design.md"
MARKS = ("<!-- rooms: `python tests/house.py` writes them -->", "<!-- end of rooms -->")
EVERYWHERE = {
    "errors",
    "settings",
    "profiles",
    "store",
    "device",
    "column_types",
    "tables",
    "rows",
    "fingerprint",
    "table_folder",
}  # arrows to the ground would hide the others


def modules() -> list[str]:
    """Every module of the package, as fingerprint names it; a package is its __init__."""
    paths = (p.relative_to(fingerprint.PACKAGE).with_suffix("") for p in fingerprint.PACKAGE.rglob("*.py"))
    names = {".".join(path.parts).removesuffix("__init__").removesuffix(".") for path in paths}
    return sorted(names - {""})


def arrows() -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    return {m: fingerprint.imports(fingerprint._tree(m), m) - {m} for m in modules()}


def room(module: str) -> str:
    """The room of a module: its package, or itself on the ground floor."""
    return module.partition(".")[0]


def picture() -> str:
    """The rooms, their modules and the arrows between them, as a Mermaid diagram."""
    inside: dict[str, list[str]] = {}
    for module in modules():
        inside.setdefault(room(module), []).append(module.partition(".")[2])
    between = {(room(a), room(b)) for a, targets in arrows().items() for b in targets}
    lines = ["```mermaid", "flowchart TB"]
    for rooms in reversed(FLOORS):
        for name in sorted(rooms):
            lines.append(f'  {name}["<b>{name}</b>{"".join(f"<br>{m}" for m in inside[name] if m)}"]')
    shown = sorted((a, b) for a, b in between if a != b and b not in EVERYWHERE)
    lines += [f"  {a} --> {b}" for a, b in shown]
    return "\n".join([*lines, "```"])


def with_picture(text: str) -> str:
    """A page with the diagram between its marks."""
    start, end = (text.index(mark) for mark in MARKS)
    return text[: start + len(MARKS[0])] + "\n" + picture() + "\n" + text[end:]


if __name__ == "__main__":
    PICTURE.write_text(with_picture(PICTURE.read_text()))
