"""Grid files, and the runs that they ask for.

A grid file names a profile, settings that all runs share, lists of values to combine, and variants:

    profile: laptop
    set: training.stop_epoch=20 clustering.spaces=raw,centred
    grid:
      width: [32, 64]
      seed: [0, 1, 2, 3, 4]
    variants:            # optional: every combination once for each of these
      - {}
      - {training.loss_on: outputs}
"""

import datetime
import itertools
import json
import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import yaml

from helpers import fingerprint, store
from helpers.analysis import measure
from helpers.errors import Refused
from helpers.gpt import runs
from helpers.profiles import ALIASES, resolve
from helpers.settings import RunSettings, Settings, SettingsError, digest

ANALYSIS = ("clustering", "tsne", "neighbours")  # the sections of the settings that the analysis reads


class GridError(Refused):
    """A grid file that cannot be; the message names the file, the entry and the remedy."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep: the values that set it apart, the variant among them in words, and all its settings."""

    values: dict
    variant: str
    settings: Settings
    run: RunSettings

    @property
    def key(self) -> str:
        """Hash of what fixes the run's tables: settings and code."""
        analysis = {name: getattr(self.settings, name).model_dump(mode="json") for name in ANALYSIS}
        run = self.run.model_dump(mode="json", exclude={"training": {"device"}})
        return digest([run, analysis, code_of_runs()], 16)

    @property
    def name(self) -> str:
        """For people: the values that set it apart."""
        return ", ".join(f"{k.rpartition('.')[2]} {v}" for k, v in self.values.items())

    @property
    def folder(self) -> Path:
        """Where its result lies, or will."""
        return store.DATA / "sweeps" / "results" / self.key


def code_of_runs() -> str:
    """Hash of the code that trains and analyses a run."""
    return fingerprint.of_code(*runs.CODE, *measure.CODE, "task.grammar", "task.synthetic", "gpt.runs")


class _Strict(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, not the last one's win."""

    def construct_mapping(self, node, deep=False):
        """As SafeLoader's; raises GridError for a key given twice."""
        merge = "tag:yaml.org,2002:merge"  # `<<: *name` takes over what stands elsewhere, and may be overridden
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != merge]
        if twice := [key for n, key in enumerate(keys) if key in keys[:n]]:
            raise GridError(f"line {node.start_mark.line + 1}: {twice[0]!r} is given twice; keep one")
        return super().construct_mapping(node, deep)


def read_grid(path: Path) -> list[Point]:
    """The runs that a grid file asks for, each once.

    Raises:
        GridError: the file is missing or not of the form above, or a setting in it cannot be.
    """
    content = read_yaml(path)
    return with_file_in_errors(path, lambda: points(**content))


def with_file_in_errors(path: Path, action: Callable[[], list]):
    """What an action gives; an error of settings names the file that they are from."""
    try:
        return action()
    except (SettingsError, GridError) as error:
        raise GridError(f"{path}: {error}") from None


def read_yaml(path: Path, more: Collection[str] = ()) -> dict:
    """The entries of a grid file, as arguments of `points`, and those named by `more` where it has them.

    Raises:
        GridError: the file is missing, or is no mapping of such entries.
    """
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8-sig"), _Strict)
    except FileNotFoundError:
        raise GridError(f"{path} does not exist; `make sweep GRID=...` names a grid file") from None
    except OSError as error:
        raise GridError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise GridError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise GridError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except (GridError, RecursionError, ValueError, TypeError) as error:  # a date that is none, a list as a key
        raise GridError(f"{path}: {str(error) or type(error).__name__}") from None
    entries = ("profile", "set", "grid", "variants", *sorted(more))
    if not isinstance(content, dict) or not set(content) <= set(entries):
        listed = f"{', '.join(entries[:-1])} and {entries[-1]}"
        raise GridError(f"{path} must be a mapping with {listed}, none of them needed")
    return {"common" if k == "set" else k: v for k, v in content.items() if v is not None}


def points(profile: str = "laptop", common: str = "", grid: dict | None = None, variants: list | None = None):
    """The runs of a grid: every combination of its values, for every variant.

    Args:
        profile: whose settings the rest starts from.
        common: assignments that all runs share, as `make SET` takes them.
        grid: setting -> list of values.
        variants: settings to change together; [{}] if None.

    Raises:
        GridError, SettingsError
    """
    grid, variants = grid or {}, variants or [{}]
    for name, value in (("profile", profile), ("set", common)):
        if not isinstance(value, str):
            raise GridError(f"{name}: {value!r} is no word; write it as text")
    if not isinstance(grid, dict):
        raise GridError("grid must be a mapping from setting to list of values, such as {seed: [0, 1, 2]}")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise GridError(f"grid: {name} must be a list of values, such as [0, 1, 2]")
    if not isinstance(variants, list) or not all(isinstance(v, dict) for v in variants):
        raise GridError("variants must be a list of mappings from setting to value, such as - {seed: 3}")
    found: dict[str, Point] = {}
    for variant in variants:
        _refuse_twice([*grid, *variant])
        for combination in itertools.product(*grid.values()):
            values = dict(zip(grid, combination, strict=True)) | variant
            settings = resolve(profile, f"{common} {' '.join(_assignment(*item) for item in values.items())}")
            for run in settings.runs():
                named = values if len(settings.runs()) == 1 else values | place_of(run)
                point = Point(named, " ".join(f"{k}={v}" for k, v in variant.items()), settings, run)
                found.setdefault(point.key, point)
    return list(found.values())


def _refuse_twice(names: list[str]) -> None:
    """Refuse a setting that grid and variant both name, or one of them by two names."""
    known = [ALIASES.get(name, name) for name in names]
    if twice := [name for name, setting in zip(names, known, strict=True) if known.count(setting) > 1]:
        raise GridError(f"{' and '.join(dict.fromkeys(twice))}: one setting is given twice; leave one of them out")


def place_of(run: RunSettings) -> dict:
    """The width and the seed of a run."""
    return {"width": run.model.hidden_dimension, "seed": run.seed}


def _assignment(name: str, value: object) -> str:
    if isinstance(value, (datetime.date, bytes, set)):
        raise GridError(f"{name}: {value!r} is no number, word or list of them; put it in quotes")
    try:
        text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    except TypeError:
        raise GridError(f"{name}: {value!r} holds more than numbers and words; put them in quotes") from None
    return shlex.quote(f"{name}={text}")
