"""What became of flipped bits in every kind of file that a run leaves: docs/artefacts.md.

The test of flipped bits (tests/running/test_reproduce.py) leaves its counts, and `python tests/artefacts.py` writes
the page.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers import store

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "artefacts.md"
NOTES = ROOT / ".pytest_cache" / "artefacts.json"


@dataclass(frozen=True)
class Kind:
    """One kind of file, and what became of the bits that were flipped in one of them; no flips where none is read."""

    files: str
    ending: str
    flips: int
    found: int


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
