"""Colour codes that several plots share: a value has the same number, and so the same colour, in all of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

ALWAYS = {"correct": ["right", "wrong"]}  # names that exist even where no instance has them


def shared_codes(values: Sequence[np.ndarray | None], by: str) -> tuple[list[np.ndarray | None], list]:
    """Number the values that plots are coloured by.

    Args:
        values: one (N,) a plot; None where it is still being computed.
        by: one of sources.COLOURS.

    Returns:
        Codes (N,) a plot, None where its values are, and the sorted names of the codes.
    """
    found = [None if v is None else pd.factorize(v, use_na_sentinel=False) for v in values]
    own = [np.asarray(ALWAYS[by], dtype=object)] if by in ALWAYS else []
    own = own or [np.asarray(uniques, dtype=object) for _, uniques in filter(None, found)]
    names = pd.Index(pd.factorize(np.concatenate(own), sort=True, use_na_sentinel=False)[1] if own else [])
    return [None if pair is None else names.get_indexer(pair[1])[pair[0]] for pair in found], list(names)
