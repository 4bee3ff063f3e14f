"""Every setting of a reproduction, once: Tables 3, 4 and 5 of the paper, and what it leaves open.

A setting that the paper names carries the paper's name for it as `title`; the default is the paper's
value. A setting without a title is one that the paper leaves open, and its comment says why the
default is what it is. Settings are frozen: make other ones with `profiles.resolve("laptop", "seed=7")`.
"""

from helpers.settings.analysis import ClusteringSettings, NeighbourSettings, TsneSettings
from helpers.settings.data import DataSettings
from helpers.settings.experiment import RunSettings, Settings
from helpers.settings.probe import CHAT, PROMPT, ProbeSettings, template_text
from helpers.settings.section import SettingsError, digest, paper_names
from helpers.settings.training import ModelSettings, TrainingSettings

__all__ = [
    "CHAT",
    "PROMPT",
    "ClusteringSettings",
    "DataSettings",
    "ModelSettings",
    "NeighbourSettings",
    "ProbeSettings",
    "RunSettings",
    "Settings",
    "SettingsError",
    "TrainingSettings",
    "TsneSettings",
    "digest",
    "paper_names",
    "template_text",
]
