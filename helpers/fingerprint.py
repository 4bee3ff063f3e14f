"""Hashes of the code that a result depends on: modules and notebooks, without comments and docstrings.

A module is named by its place in the package, as in `gpt.train`. What it imports from the package is no part of its
own hash, so that moving or renaming a module changes nothing; what it depends on is followed through its imports.
"""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# Settings count by their values; how files are written and how time is counted do not change what is in them.
NOT_COUNTED = {"settings", "profiles", "store", "fingerprint", "errors", "timing"}


class FingerprintError(ImportError):
    """An import from this package that names no module; the message says where and what."""


def of_code(*modules: str) -> str:
    """Hash of the named modules of this package, of these alone, as in of_code("gpt.train", "gpt.model").

    Raises:
        FingerprintError: there is no such module.
    """
    return _join(sorted(_known(name)[1] for name in modules))


def of_notebook(path: Path) -> str:
    """Hash of a notebook's cells, Markdown included, and of every helper module that its code depends on.

    Raises:
        FingerprintError: the notebook, or a module, imports one that does not exist.
    """
    cells = json.loads(path.read_text())["cells"]  # nbformat takes a second to import
    sources = ["".join(c["source"]) for c in cells]
    code = "\n".join(_python_only(s) for s, c in zip(sources, cells, strict=True) if c["cell_type"] == "code")
    return _join([*sources, of_code(*closure(imports(ast.parse(code), path.name)))])


def closure(modules: set[str]) -> set[str]:
    """The named modules and all that they import from this package, without those that do not count."""
    found: set[str] = set()
    waiting = [m for m in modules if _counts(m)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [m for m in _known(name)[0] if _counts(m)]
    return found


def _counts(module: str) -> bool:
    return module.partition(".")[0] not in NOT_COUNTED


def imports(tree: ast.AST, where: str) -> set[str]:
    """The modules of this package that a syntax tree imports, at any depth of it.

    A package counts as its `__init__`, which an import of anything inside it runs.

    Args:
        where: named in the error.

    Raises:
        FingerprintError: an import names no module of this package, or is relative.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise FingerprintError(f"{where}, line {node.lineno}: write the import as from helpers..., not as relative")
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            found |= {_module_of(node.module, alias.name, where, node.lineno) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {_module_of(a.name, "", where, node.lineno) for a in node.names if _is_ours(a.name)}
    return {part for name in found for part in _with_packages(name)}


def _is_ours(name: str) -> bool:
    return name == PACKAGE.name or name.startswith(f"{PACKAGE.name}.")


def _module_of(module: str, name: str, where: str, line: int) -> str:
    """The module that `from module import name` reads: a module of that name, or the one that defines it."""
    inside = ".".join(module.split(".")[1:])
    candidates = [f"{inside}.{name}".strip(".")] * bool(name) + [inside] * bool(inside or not name)
    for candidate in candidates:
        if candidate == "" or _path(candidate):
            return candidate
    raise FingerprintError(f"{where}, line {line}: there is no module {PACKAGE.name}.{candidates[0]}")


def _with_packages(name: str) -> set[str]:
    """The module, and the packages around it that have code of their own."""
    parts = name.split(".") if name else []
    around = [".".join(parts[:n]) for n in range(1, len(parts))]
    return {n for n in [name, *around] if n and _path(n)}


def _path(module: str) -> Path | None:
    place = PACKAGE.joinpath(*module.split("."))
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.exists()), None)


def _tree(module: str) -> ast.Module:
    if (path := _path(module)) is None:
        raise FingerprintError(f"there is no module {PACKAGE.name}.{module}")
    return ast.parse(path.read_text())


@cache
def _known(module: str) -> tuple[set[str], str]:
    """The modules of this package that a module imports, and the hash of its code.

    The latter is without docstrings, comments and imports from this package.
    """
    tree = _tree(module)
    imported = imports(tree, module)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return imported, hashlib.sha256(repr(_canonical(_WithoutImports().visit(tree))).encode()).hexdigest()


class _WithoutImports(ast.NodeTransformer):
    """Leaves out imports from this package."""

    def visit_ImportFrom(self, node: ast.ImportFrom):
        return None if _is_ours(node.module or "") else node

    def visit_Import(self, node: ast.Import):
        node.names = [alias for alias in node.names if not _is_ours(alias.name)]
        return node if node.names else None


def _canonical(node: object) -> object:
    """A syntax tree as nested tuples, without what is empty: the same for every version of Python."""
    if isinstance(node, ast.AST):
        fields = [(name, _canonical(value)) for name, value in ast.iter_fields(node) if value not in (None, [])]
        return (type(node).__name__, *fields)
    return [_canonical(item) for item in node] if isinstance(node, list) else node


def _python_only(source: str) -> str:
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def _join(parts) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
