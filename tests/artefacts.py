"""What became of flipped bits in every kind of file that a run leaves: docs/artefacts.md.

The test of flipped bits (tests/running/test_reproduce.py) leaves its counts, and `python tests/artefacts.py` writes
the page.
"""

import random
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers import store

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "artefacts.md"
NOTES = ROOT / ".pytest_cache" / "artefacts.json"
FLIPS = 8


@dataclass(frozen=True)
class Kind:
    """One kind of file, and what became of the bits that were flipped in one of them; no flips where none is read."""

    files: str
    ending: str
    flips: int
    found: int


def _byte_of(path: Path, place: int) -> int:
    with open(path, "rb") as file:
        file.seek(place)
        return file.read(1)[0]


def _write_byte(path: Path, place: int, value: int) -> None:
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(bytes([value]))


def complaint(read: Callable, path: Path) -> str:
    """What is said of a file, as an error or as a warning that it is made again."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            read(path)
        except store.ArtefactError as error:
            return str(error)
    return " ".join(str(one.message) for one in said)


def flip(rng: random.Random, path: Path, read: Callable) -> list[str]:
    """Flip FLIPS bits of a file, one at a time; returns those after which nothing was said of the file."""
    silent = []
    for _ in range(FLIPS):
        place, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        before = _byte_of(path, place)
        _write_byte(path, place, before ^ 1 << bit)
        if not any(word in complaint(read, path) for word in (path.name, path.parent.name)):
            silent.append(f"{path}: bit {bit} of byte {place}")
        _write_byte(path, place, before)  # nothing new where it was made again
    return silent


def note(kinds: list[Kind]) -> None:
    """Keep the counts for the page."""
    store.write_json(NOTES, {"kinds": [asdict(kind) for kind in kinds]})


def page(kinds: list[Kind]) -> str:
    """docs/artefacts.md."""
    flips, found = sum(kind.flips for kind in kinds), sum(kind.found for kind in kinds)
    lines = [
        "# Files that a run leaves, and what becomes of a flipped bit",
        "",
        "After a run of the smoke profile, one file of each kind had single bits flipped, one at a time at random "
        "places, and was read as a command reads it. *Found* counts the flips after which an error, or a warning that "
        "the file is made again, named the file or its folder; one that is not found fails the test. After "
        "`test_a_flipped_bit_in_any_kind_of_file_is_found`, `python tests/artefacts.py` writes this page.",
        "",
        "The results of sweeps and every committed table, with what says how it was made, are tried in the same way by "
        "tests of their own.",
        "",
        f"Flips: {flips}. Found: {found}. A dash: no command reads the file back.",
        "",
        "| files | ending | flips | found |",
        "|---|---|---|---|",
    ]
    for kind in sorted(kinds, key=lambda kind: (kind.files, kind.ending)):
        counts = f"{kind.flips} | {kind.found}" if kind.flips else "– | –"
        lines.append(f"| `{kind.files}` | {kind.ending or 'none'} | {counts} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    kept = store.read_json(NOTES, "run tests/running/test_reproduce.py")
    PAGE.write_text(page([Kind(**kind) for kind in kept["kinds"]]))
    print(f"written: {PAGE}")
