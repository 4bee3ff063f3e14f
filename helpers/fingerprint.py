"""What a result depends on, as hashes: the code of modules and notebooks, without comments and docstrings."""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# Settings count by their values, and how files are written does not change what is in them.
NOT_COUNTED = {"settings", "store", "fingerprint"}


def of_code(*modules: str) -> str:
    """Hash of the named modules of this package, of these alone."""
    return _join(_source_digest(name) for name in sorted(modules))


def of_notebook(path: Path) -> str:
    """Hash of a notebook's cells, Markdown included, and of every helper module that its code imports."""
    cells = json.loads(path.read_text())["cells"]  # nbformat takes a second to import
    sources = ["".join(c["source"]) for c in cells]
    code = "\n".join(_python_only(s) for s, c in zip(sources, cells, strict=True) if c["cell_type"] == "code")
    return _join([*sources, of_code(*closure(_imports(ast.parse(code))))])


def closure(modules: set[str]) -> set[str]:
    """The named modules and all that they import from this package, without those that do not count."""
    found: set[str] = set()
    waiting = [m for m in modules if m not in NOT_COUNTED]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [m for m in _imports(_tree(name)) if m not in NOT_COUNTED]
    return found


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text())


@cache
def _source_digest(module: str) -> str:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(repr(_canonical(tree)).encode()).hexdigest()


def _canonical(node: object) -> object:
    """A syntax tree as nested tuples, without what is empty: the same for every version of Python."""
    if isinstance(node, ast.AST):
        fields = [(name, _canonical(value)) for name, value in ast.iter_fields(node) if value not in (None, [])]
        return (type(node).__name__, *fields)
    return [_canonical(item) for item in node] if isinstance(node, list) else node


def _imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("helpers.")}
    return {name for name in found if (PACKAGE / f"{name}.py").exists()}


def _python_only(source: str) -> str:
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def _join(parts) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
