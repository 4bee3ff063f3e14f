import pandas as pd

from helpers.findings import pretrained
from helpers.tables import LABELS

ROWS = pd.DataFrame(
    [
        {"model": model, "revision": revision, "label": label, "layer": layer, "f1": f1, "source": source}
        for model, revision, layer, source, scores in (
            ("gemma", "main", 14, "ours", (0.9, 0.3, None)),
            ("LLaMa-7B", None, None, "paper", (0.96, 0.57, 0.94)),
        )
        for label, f1 in zip(LABELS, scores, strict=True)
    ]
)
SOLVED = pd.DataFrame({"model": "gemma", "revision": "main", "task": ["a", "b"], "solved": [0.0, 0.5]})


def test_a_model_stands_beside_the_papers_without_what_cannot_be_told():
    said = pretrained.answer(ROWS, SOLVED)
    scores = "F1 0.90 by category, the paper's task (0.96) and 0.30 by task, its distribution (0.57)"
    assert f"gemma main, layer 14: {scores}; in brackets" in said
    assert "solves 25% of the instances" in said
    assert "word pair" not in said


def test_layers_and_neighbours_are_told_by_the_embeddings_and_the_best_layer():
    named = {"model": "gemma", "revision": "main"}
    layers = pd.DataFrame([{**named, "layer": layer, "space": "raw", "label": label, "f1": f1}
                           for label in LABELS for layer, f1 in ((0, 0.3), (1, 0.9), (2, 0.5))])  # fmt: skip
    assert "F1 by task 0.30 at the embeddings, 0.90 at most (layer 1)" in pretrained.layers(layers)
    near = pd.DataFrame(
        {"model": "gemma", "revision": "main", "layer": [0, 1], "same_task": [0.5, 0.8], "accuracy": [0.1, 0.7]}
    )
    said = pretrained.neighbours(near)
    assert "0.50 at the embeddings and 0.80 at most (layer 1)" in said
    assert "right for 70% of held-out" in said
    later = pd.concat([layers, layers.assign(revision="late", f1=layers["f1"] / 2)])
    assert "0.90 at revision main and 0.45 at revision late" in pretrained.revisions(later)
    assert "by 3 categories, by 16 tasks" in pretrained.maps(3, 16, 0.25)
    assert "(25% here)" in pretrained.maps(3, 16, 0.25)
