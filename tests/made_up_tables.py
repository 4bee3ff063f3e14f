"""Tables of a made-up run, for tests of what is judged by them."""

import numpy as np
import pandas as pd

EPOCHS = range(0, 101, 5)


def made_up(good: bool, seed: int = 0, width: int = 768) -> dict[str, pd.DataFrame]:
    """Tables of a run in which every claim of the paper is so, or none."""
    place = {"width": width, "seed": seed, "reading": "gpt2"}
    noise = np.random.default_rng(seed).normal(0, 0.005, 10_000).tolist()
    training, clustering, hard, near, moved = [], [], [], [], []
    for epoch in range(101):
        if good:
            grown = 1 / (1 + np.exp(-(epoch - 35) / 3))
            accuracy = 0.95 * grown - (0.002 * abs(epoch - 51) if epoch > 45 else 0)
            loss = 4 - 3 * min(1, epoch / 40)
        else:  # accuracy creeps up as the loss falls, and is best at epoch 20
            accuracy = 0.1 + 0.6 * min(1, epoch / 20) - (0.001 * epoch if epoch > 20 else 0)
            loss = 4 - 3 * epoch / 100
        rate = 1e-4 * (1 + np.cos(np.pi * epoch / 100)) / 2
        both = {"accuracy_validation": accuracy, "accuracy_subset": accuracy}
        training.append(place | both | {"epoch": epoch, "loss": loss, "output_loss": loss, "learning_rate": rate})
    for epoch in EPOCHS:
        grown = 1 / (1 + np.exp(-(epoch - 35) / 3)) if good else 1 - 0.8 * epoch / 100
        for layer in range(7):
            share = layer / 6 if good else (6 - layer) / 6
            f1 = 0.2 + 0.77 * grown * share if good else 0.3 + 0.6 * grown * share
            rows = [(split, label) for split in ("subset", "validation")
                    for label in ("task", "distribution", "distribution_mapping")]  # fmt: skip
            clustering += [
                place
                | {
                    "epoch": epoch,
                    "layer": layer,
                    "split": s,
                    "label": label,
                    "space": space,
                    "f1": f1 + noise.pop(),
                    "k": 10,
                }
                for s, label in rows
                for space in ("raw", "centred")
            ]
            hard += [
                place
                | {
                    "epoch": epoch,
                    "layer": layer,
                    "space": s,
                    "accuracy_hard": 1.0,
                    "nearer_own_task": f1 if good else 0.1,
                    "pairs_separated": f1 if good else 0.1,
                }
                for s in ("raw", "centred")
            ]
            near.append(place | {"epoch": epoch, "layer": layer, "k": 10, "same_task": f1, "accuracy": f1})
    for layer in range(7):
        for direction, share in {"task": 0.8 if good else 0.1, "random": 0.1}.items():
            moved.append(place | {"layer": layer, "direction": direction, "became_other": share})
    controls = [
        place | {"epoch": epoch, "layer": layer, "split": "validation", "control": control, "value": value}
        for epoch, value in ((0, 0.5), (100, 0.95 if good else 0.6))
        for layer in range(7)
        for control in ("within_input_f1", "linear_probe")
    ]
    parts = {
        "training": training,
        "controls": controls,
        "clustering": clustering,
        "hard": hard,
        "neighbours": near,
        "interventions": moved,
    }
    return {name: pd.DataFrame(rows) for name, rows in parts.items()}
