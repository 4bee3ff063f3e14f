"""Each notebook's question, and its answer in a line, for the README."""

from helpers.figures.style import CLAIM_TITLES, reading_title, variant_title
from helpers.verdict import story
from helpers.verdict.claims import EVERY
from helpers.verdict.judge import HOLDS


def of_notebooks(known: dict) -> dict[str, tuple[str, str]]:
    """Name of a notebook -> the question that it asks and the answer in a line, of the profile's own run.

    One entry a notebook, hence long.

    Args:
        known: of `gather.of_profile`.
    """
    near, moved, accuracy = known["neighbours"], known["interventions"], known["accuracy"]
    raw, tsne = (known["task"][space] for space in ("raw", "tsne"))
    surface, subset = (known["surface"][split] for split in ("validation", "subset"))
    ours, paper = known["table1"]
    main = story.statements_at(known["claims"], story.main_width(known["claims"]))
    return {
        "01_generate_data": (
            "Do instructions give their task away?",
            f"{known['grammar']['nearest_has_task']:.0%} of unseen instructions have the task of the nearest training "
            "instruction",
        ),
        "02_train": (
            "Does the model learn the task?",
            f"Accuracy on unseen instances reaches {accuracy['highest']:.2f} at epoch {accuracy['epoch']}",
        ),
        "03_clustering": (
            "Do hidden states cluster by task?",
            f"{_clustered(max(raw['end'], tsne['end']))}: F1 of unseen instances {raw['end']:.2f} (t-SNE "
            f"{tsne['end']:.2f}; untrained {raw['start']:.2f} and {tsne['start']:.2f}); with each input's mean state "
            f"subtracted {known['task']['centred']['end']:.2f} (untrained {known['task']['centred']['start']:.2f})",
        ),
        "04_knn": (
            "Do nearest neighbours solve unseen instances?",
            _solved_by_neighbours(near["accuracy_start"], near["accuracy_end"]),
        ),
        "05_probe_llms": (
            "Do pretrained models cluster by task?",
            f"{ours['model']}: F1 {ours['scores']['task'][0]:.2f} ({known['probed']['low']:.2f} to "
            f"{known['probed']['high']:.2f} over instructions and KMeans' starts) by three categories, which the paper "
            f"calls tasks (by the input word alone {known['words_alone']:.2f}); {paper['model']} in the paper: "
            f"{paper['scores']['task'][0]:.2f}",
        ),
        "06_explore": ("What do the clusters look like?", "Linked scatter plots through layers and training"),
        "07_controls": (
            "What would F1 be without a model?",
            f"Unseen instances: up to {surface['highest']:.2f}, {surface['from']} (raw states {raw['end']:.2f}). "
            f"Training subset: up to {subset['highest']:.2f}, {subset['from']} "
            f"(raw states {known['task_subset']['end']:.2f})",
        ),
        "08_interventions": (
            "Does the answer follow a moved state?",
            f"Moved by the difference of two tasks' means, {moved['task']:.0%} give the other task's answer (a random "
            f"move: {moved['random']:.0%}); moved to the other task's mean for that input, which also holds the "
            f"answer, {moved['mean']:.0%}",
        ),
        "09_readings": ("What do the paper's open choices change?", _most(known["varied"])),
        "10_verdict": (
            "Which of the paper's statements hold?",
            f"{story.count(main, HOLDS)} of {len(main)} about its main model ({story.deciding(main)})",
        ),
    }


def _clustered(f1: float) -> str:
    return "Yes" if f1 > EVERY["task_validation"].rule.above else "Not as KMeans sees them"


def _solved_by_neighbours(before: float, after: float) -> str:
    solved = "Yes" if after > EVERY["knn_high"].rule.above else "No"
    alike = ", and as well before training" if abs(after - before) < 0.02 else ""
    return f"{solved}{alike}: their vote is right for {after:.0%}, untrained for {before:.0%}"


def _most(varied: dict | None) -> str:
    """The change that raises F1 by task of unseen instances most, and the quantity that any change raises most."""
    if varied is None or "task_validation" not in varied["quantities"]:
        return "Nothing raises F1 by task of unseen instances" if varied else "Not measured yet (`make verdict`)"
    one = varied["quantities"]["task_validation"]
    if one["seeds"] and one["highest"] <= one["seeds"][1]:
        least, greatest = one["seeds"]
        return (
            f"No choice raises F1 of unseen instances beyond what other seeds give ({least:.2f} to {greatest:.2f}, "
            f"width {varied['width']}, reading {reading_title(varied['reading'])}). The largest rise: "
            f"{_most_of_all(varied['quantities'])}"
        )
    return (
        f"F1 of unseen instances rises most, {one['default']:.2f} to {one['highest']:.2f}, with "
        f"{variant_title(one['variant'])} (width {varied['width']}, reading {reading_title(varied['reading'])})"
    )


def _most_of_all(quantities: dict[str, dict]) -> str:
    """The quantity that one change takes farthest above what other seeds give, as a clause."""
    gains = {key: one["highest"] - (one["seeds"] or (0, one["default"]))[1] for key, one in quantities.items()}
    key = max(gains, key=gains.get)
    one = quantities[key]
    return f"'{CLAIM_TITLES[key]}': {one['default']:.2f} to {one['highest']:.2f} with {variant_title(one['variant'])}"
