"""Artefacts on disk: where they lie, written whole or not at all, checked when read.

Paths are relative to the repository, or to the folder that the environment variable CLM_ROOT names; a relative one
counts from where the first process started, and notebooks and workers are told the whole path.
Nothing here is pickled: JSON, parquet, CSV and safetensors only.
"""

import contextlib
import errno
import hashlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load, save

from helpers.errors import Failed

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

REPOSITORY = Path(__file__).resolve().parent.parent
ROOT = Path(os.environ.get("CLM_ROOT") or REPOSITORY).expanduser().absolute()
if os.environ.get("CLM_ROOT"):
    os.environ["CLM_ROOT"] = str(ROOT)  # a notebook's kernel starts in another folder
DATA = ROOT / "data"
FIGURES = ROOT / "figures"
SUMS = "SHA256SUMS"
SEAL = "sha256"
ZEROS = b"0" * 64
NATURAL = REPOSITORY / "data" / "natural"  # committed, so beside the code


def located(text: str) -> Path:
    """A path from the settings: `~` is the home folder, and a relative one starts at ROOT."""
    return ROOT / Path(text).expanduser()


class ArtefactError(Failed):
    """A missing, altered or unwritable artefact; the message names the file and the remedy."""


@contextlib.contextmanager
def replacing(path: Path):
    """Give a temporary path beside `path`; on success it takes `path`'s place in one step.

    A reader sees the old file or the whole new one, whatever happens in between.

    Raises:
        ArtefactError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(path) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise ArtefactError(f"cannot write {path}: {error.strerror}") from error
        raise
    except SafetensorError as error:  # it wraps what the system said in words
        if "No space left" in str(error) or "os error 28" in str(error):
            raise _disk_full(path) from error
        raise
    finally:
        with contextlib.suppress(OSError):  # a folder that cannot be written to has been told of
            temporary.unlink(missing_ok=True)


def _disk_full(path: Path) -> ArtefactError:
    free = shutil.disk_usage(path.parent).free / 2**20
    return ArtefactError(
        f"the disk is full ({free:.0f} MiB free) while writing {path}; free some space and run the same command "
        "again: all that was finished before is kept"
    )


def writable(folder: Path) -> Path:
    """Make a folder, and see that files can be written there, before the work whose results it is for.

    Raises:
        ArtefactError: it cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ArtefactError(
            f"cannot write into {folder}: {error.strerror}; make it writable, or name another folder"
        ) from None
    return folder


@contextlib.contextmanager
def locked(folder: Path):
    """Work on a folder alone; what a killed process left half-written in it is removed first.

    Raises:
        ArtefactError: another process works on it, or it cannot be written to.
    """
    with open(writable(folder) / ".lock", "w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArtefactError(f"another process is working on {folder}; wait until it has finished") from None
        for left in folder.rglob(".*.tmp"):
            left.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def _one_at_a_time(path: Path):
    """Wait until no other process is within this block for the same path."""
    with open(path, "w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: dict) -> None:
    """Write JSON atomically, sealed: its field `sha256` is that of the file without it.

    Keys are sorted, and one value has one text, so that not even a changed blank goes unseen.
    """
    value = json.loads(json.dumps(value))  # keys are text from here on, also for sorting
    write_bytes(path, _text(value | {SEAL: _seal(value)}).encode())


def _text(value: dict) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _seal(value: dict) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()


def write_csv(path: Path, table, digits: int = 6) -> None:
    """Write a pandas table atomically as CSV, floats with so many significant digits."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format=f"%.{digits}g", lineterminator="\n")


def write_table(path: Path, table, digits: int = 6) -> None:
    """Write a table as write_csv does, and its SHA-256 into SHA256SUMS beside it, which `sha256sum -c` reads."""
    write_csv(path, table, digits)
    with _one_at_a_time(path.parent / f".{SUMS}.lock"):  # notebooks that run side by side share a folder of tables
        _write_sums(path.parent, sums(path.parent) | {path.name: sha256(path)})


def add_rows(path: Path, found: pd.DataFrame, by: list[str], digits: int = 6) -> None:
    """Add rows to a table, or begin it with them.

    Rows that are there already and have the same values in the columns `by` give way; all others stay, so that a
    clone that has made a part of a table leaves the rest of it as it was.

    Args:
        found: rows, with the columns of the table.
        digits: significant ones of floats.

    Raises:
        ArtefactError: the table is not as it was written.
    """
    parts = [found]
    if path.exists():
        before = read_table(path, "restore it, or delete it")
        again = set(_identities(found, by))
        parts.insert(0, before[[identity not in again for identity in _identities(before, by)]])
    kept = [part for part in parts if len(part)]
    write_table(path, pd.concat(kept, ignore_index=True) if kept else found, digits)


def _identities(table: pd.DataFrame, by: list[str]) -> list[tuple]:
    return list(table[by].astype(str).itertuples(index=False, name=None))  # a column of hashes may read as numbers


def read_table(path: Path, remedy: str):
    """Read what write_table wrote.

    Raises:
        ArtefactError: it is missing, or not as it was written; the message names the file and `remedy`.
    """
    return pd.read_csv(check_file(path, sums(path.parent).get(path.name, ""), remedy))


def seal_folder(folder: Path) -> None:
    """Write the SHA-256 of every file of a folder into its SHA256SUMS; hidden files and folders do not count."""
    _write_sums(folder, {path.name: sha256(path) for path in _files(folder)})


def check_folder(folder: Path, remedy: str) -> None:
    """Refuse a folder that is not as seal_folder left it.

    Raises:
        ArtefactError: a file is missing, was changed, or came later; the message names it and `remedy`.
    """
    known = sums(folder)
    paths = {*_files(folder), *(folder / name for name in known)}
    for path in sorted(paths, key=lambda p: (p.stat().st_size if p.exists() else 0, p)):  # the quickest first
        check_file(path, known.get(path.name, ""), remedy)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("[!.]*") if path.is_file() and path.name != SUMS]


def _write_sums(folder: Path, known: dict[str, str]) -> None:
    write_bytes(folder / SUMS, "".join(f"{known[name]}  {name}\n" for name in sorted(known)).encode())


def sums(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of what SHA256SUMS of a folder lists; a line that cannot be read fits no file."""
    path = folder / SUMS
    lines = path.read_bytes().decode(errors="replace").split("\n") if path.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}


def write_figure(path: Path, figure, dpi: int = 110) -> None:
    """Write a matplotlib figure atomically, in the format of the file's suffix; the same figure gives the same file.

    Args:
        dpi: of a picture; points that are a picture within an SVG have 200.
    """
    options = {"metadata": {"Date": None}, "dpi": 200} if path.suffix == ".svg" else {"dpi": dpi}
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], bbox_inches="tight", **options)


def write_pictures(path: Path, figure) -> list[Path]:
    """Write a matplotlib figure as SVG and PNG; returns both paths.

    Args:
        path: without suffix.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, not again for each of the files
    written = [path.with_name(f"{path.name}.{suffix}") for suffix in ("svg", "png")]
    for file in written:
        write_figure(file, figure)
    return written


def read_json(path: Path, remedy: str) -> dict:
    """Read JSON that write_json wrote.

    Raises:
        ArtefactError: it is missing, or not as it was written; the message names the file and `remedy`.
    """
    text, value = _parsed(path, remedy)
    seal = value.pop(SEAL, None) if isinstance(value, dict) else None
    if seal is None or seal != _seal(value) or text != _text(value | {SEAL: seal}):
        raise _changed(path, remedy)
    return value


def read_foreign_json(path: Path, remedy: str) -> dict:
    """Read JSON that others wrote; raises ArtefactError naming the file and `remedy` where it is missing or broken."""
    return _parsed(path, remedy)[1]


def _parsed(path: Path, remedy: str) -> tuple[str, object]:
    try:
        text = Path(path).read_text()
        return text, json.loads(text)
    except FileNotFoundError:
        raise ArtefactError(f"{path} is missing; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{path} is not readable JSON ({error}); {remedy}") from None


def _changed(path: Path, remedy: str) -> ArtefactError:
    return ArtefactError(f"{path} was changed since it was made (SHA-256 differs); {remedy}")


def known_json(path: Path) -> dict | None:
    """JSON that an earlier call left, or None where there is none or a broken one (said), so that it is made again."""
    if not Path(path).exists():
        return None
    try:
        return read_json(path, "it is made again")
    except ArtefactError as error:
        warnings.warn(str(error), stacklevel=2)
        return None


def write_tensors(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays atomically as safetensors, sealed: its metadata hold the file's SHA-256, taken with zeros there."""
    content = save({n: np.ascontiguousarray(a) for n, a in arrays.items()}, {SEAL: ZEROS.decode()})
    before, mark, after = content.partition(ZEROS)
    digest = hashlib.sha256(content).hexdigest().encode()
    assert mark, "safetensors wrote no metadata"
    write_bytes(path, before + digest + after)


def known_tensors(path: Path) -> dict[str, np.ndarray] | None:
    """Arrays that write_tensors left, or None where there are none or broken ones, as known_json does."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return None
    start = content.find(f'"{SEAL}":"'.encode()) + len(SEAL) + 4
    seal, zeroed = content[start : start + len(ZEROS)], content[:start] + ZEROS + content[start + len(ZEROS) :]
    if hashlib.sha256(zeroed).hexdigest().encode() != seal:
        warnings.warn(str(_changed(path, "it is made again")), stacklevel=2)
        return None
    return load(content)


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, expected: str, remedy: str) -> Path:
    """Return `path` if its SHA-256 is `expected`; raises ArtefactError naming file and remedy otherwise."""
    if not Path(path).exists():
        raise ArtefactError(f"{path} is missing; {remedy}")
    if sha256(path) != expected:
        raise _changed(path, remedy)
    return Path(path)


def provenance() -> dict:
    """What made an artefact: commit of this repository, versions of what computes, machine."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("torch", "transformers", "numpy", "scikit-learn", "rstr")},
        "machine": platform.machine(),
    }


def commit() -> str:
    """The commit checked out, with `+changes` where helpers or notebooks differ from it; 'unknown' without git."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "helpers", "notebooks")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed else "")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout.strip()  # fmt: skip


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
