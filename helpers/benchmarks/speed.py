"""Speed and memory against named baselines, each pair measured in one run on this machine (`make bench`)."""

import argparse
import sys

import pandas as pd

from helpers import store
from helpers.benchmarks import analysis, probing, sweeps, training
from helpers.device import processor
from helpers.errors import exit_status
from helpers.tables import checked, columns

BENCHES = {
    "training": training.training_throughput,
    "beside": training.beside_another,
    "growth": training.growth,
    "data": training.data_generation,
    "kmeans": analysis.kmeans_sweep,
    "search": analysis.search,
    "tsne": analysis.tsne_fit,
    "probe": probing.probe_throughput,
    "lens": probing.transformer_lens,
    "sweep": sweeps.sweep_workers,
}


def measure(names: list[str], profile: str = "laptop") -> None:
    """Measure and write bench.csv: rows of this kind of processor take the place of its earlier ones.

    Args:
        names: of BENCHES.
        profile: whose tables to write to.
    """
    path = store.DATA / profile / "tables" / "bench.csv"
    for name in names:
        print(f"measuring {name} ...", flush=True)
        found = pd.DataFrame(BENCHES[name](), columns=columns("bench")).assign(**processor(), commit=store.commit())
        print(found.round(3).to_string(index=False), flush=True)
        store.add_rows(path, checked("bench", found), ["name", "baseline_name", "cpu", "instructions"], digits=4)
    print(f"written to {path}")


def main(arguments: list[str] | None = None) -> int:
    """Command line; writes bench.csv and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.benchmarks.speed", description=__doc__)
    parser.add_argument("--only", choices=list(BENCHES), action="append", help="measure this alone (repeatable)")
    parser.add_argument("--profile", default="laptop", help="whose tables to write to (default: laptop)")
    given = parser.parse_args(arguments)
    return exit_status(lambda: measure(given.only or list(BENCHES), given.profile))


if __name__ == "__main__":
    sys.exit(main())
