"""Executed copies of notebooks, as they can be read on a web page: text, tables and pictures, and nothing else.

The same results give the same copy: times, machine paths and what is drawn at random are taken out. A copy says in its
metadata which run made it, so that it can be told from the tables of another.
"""

import base64
import io
import json
import re
import sys
from pathlib import Path

from PIL import Image

from helpers import store

KINDS = ("image/png", "text/markdown", "text/html", "text/plain")  # of an output the first that it has is kept
WIDGET = "application/vnd.jupyter.widget-view+json"  # dead without a kernel
MADE = "clm_clustering"  # the entry of a copy's metadata that says what made it
COLOURS = 128  # of a picture: lines and letters look the same, and take a third of the bytes
TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
STYLED = re.compile(r"\bT_[0-9a-f]{5}")  # pandas' random name of a styled table


def tidy(path: Path) -> None:
    """Take out of an executed notebook what is no text or picture, or differs between runs of the same results."""
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
        if cell["cell_type"] == "code":
            cell["outputs"] = [kept for output in cell["outputs"] if (kept := _kept(output))]
    known = notebook["metadata"].get("kernelspec")
    notebook["metadata"] = {"language_info": {"name": "python"}} | ({"kernelspec": known} if known else {})
    _write(path, notebook)


def _kept(output: dict) -> dict | None:
    """What stays of an output; None if nothing does."""
    if output["output_type"] == "stream":
        text = "" if output["name"] == "stderr" else _plain(output["text"])
        return output | {"text": text.splitlines(keepends=True)} if text.strip() else None
    data = output.get("data", {})
    kind = next((k for k in KINDS if k in data), None)
    if kind is None or WIDGET in data:
        return None
    picture = kind == "image/png"
    content = _smaller(data[kind]) if picture else _plain(data[kind]).splitlines(keepends=True)
    looks = {k: v for k, v in output.get("metadata", {}).items() if k == kind}
    return output | {"data": {kind: content}, "metadata": looks}


def _plain(text: str | list[str]) -> str:
    """Text without terminal codes, overwritten lines, machine paths, addresses in memory and random names."""
    text = TERMINAL.sub("", "".join(text))
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    for folder in sorted({str(store.ROOT), str(store.REPOSITORY), sys.prefix}, key=len, reverse=True):
        text = text.replace(f"{folder}/", "")
    text = text.replace(str(Path.home()) + "/", "~/")
    names = dict.fromkeys(STYLED.findall(text))
    for number, name in enumerate(names):
        text = text.replace(name, f"T_{number}")
    return ADDRESS.sub("", text)


def _smaller(picture: str | list[str]) -> str:
    """A PNG in base64, with a palette."""
    image = Image.open(io.BytesIO(base64.b64decode("".join(picture)))).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, image).convert("RGB")
    into = io.BytesIO()
    flat.quantize(COLOURS, dither=Image.Dither.NONE).save(into, "PNG", optimize=True)
    return base64.b64encode(into.getvalue()).decode()


def stamp(path: Path, key: str, commit: str, tables: dict[str, str]) -> None:
    """Note in a copy what made it.

    Args:
        key: of the notebook, from `stages.keys`.
        commit: that was checked out.
        tables: file name -> SHA-256 of the tables that it wrote.
    """
    notebook = json.loads(path.read_text())
    notebook["metadata"][MADE] = {"key": key, "commit": commit, "tables": tables}
    _write(path, notebook)


def stale(path: Path, tables: Path) -> str:
    """Why a copy is not of the run that made the tables; empty if it is.

    Args:
        path: of the copy.
        tables: data/<profile>/tables.
    """
    made = json.loads(path.read_text())["metadata"].get(MADE)
    if made is None:
        return f"{path.name} does not say what made it"
    known = store.read_json(tables / "provenance.json", "run make reproduce").get(path.stem, {})
    for what in ("key", "commit"):
        if made[what] != known.get(what):
            return f"{path.name} has {what} {made[what]}, the tables {known.get(what)}"
    for name, digest in made["tables"].items():
        if not (tables / name).exists() or store.sha256(tables / name) != digest:
            return f"{path.name} shows another {name} than the one there"
    return ""


def _write(path: Path, notebook: dict) -> None:
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    store.write_bytes(path, text.encode())
