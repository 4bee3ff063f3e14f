"""The hidden states by hand: linked plots in JupyterLab. `from helpers.explorer import explore`."""

from helpers.explorer.app import Explorer, explore

__all__ = ["Explorer", "explore"]
