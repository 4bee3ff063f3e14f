"""The columns of every table, the short names that stand in them, and the paper's numbers of figures.

data/README.md says what the columns hold.
"""

LABELS = ("task", "distribution", "distribution_mapping")  # the identities that clusters are scored against
SCORES = ("f1", "ari", "ami")
SPLITS = ("subset", "validation")  # the sets whose states are recorded

CLAIMS = (
    "claim width about where quantity paper ours low high seeds verdict condition untrained gain gain_low gain_high"
)
TABLES = {
    "table2": "split instances paper",
    "table6": "width parameters paper",
    "grammar": "metacharacters matches_other_task nearest_has_task mean_length",
    "training": "width seed epoch loss output_loss accuracy_subset accuracy_validation learning_rate seconds",
    "clustering": "width seed epoch layer split label space k f1 ari ami",
    "variance": "width seed epoch layer split factor explained",
    "hard": "width seed epoch layer space pairs_separated nearer_own_task accuracy_hard accuracy_original",
    "neighbours": "width seed epoch layer k same_task accuracy",
    "surface": "width seed split control label f1 ari ami",
    "controls": "width seed epoch layer split control value",
    "alternatives": "width seed split space method clusters definition epoch layer f1 chance",
    "interventions": "width seed layer direction became_other stayed instances",
    "quantities": "width seed claim space at model value",
    "outputs": "width seed claim space at model value",
    "multiverse": "variant width seed claim space at model value",
    "parts": "variant width seed claim space at model value",
    "alternatives_grids": "grid run variant width seed split space method clusters definition epoch layer f1 chance",
    "readings": "plan rung epochs run reading width seed status kept fit learns learns_hard late abrupt flat "
    "starts_low share_rises knn_rises stops parameters commit",
    "claims": CLAIMS,
    "claims_outputs": CLAIMS,
    "thresholds": "claim width number verdict",
    "table1": "model revision label layer f1 ari ami source",
    "table1_intervals": "model revision label metric low high",
    "table1_restarts": "model revision label start inertia f1",
    "llm_layers": "model revision layer space label k f1 ari ami",
    "llm_neighbours": "model revision layer k same_task same_category accuracy",
    "llm_solved": "model revision category task solved",
    "latency": "points plots action milliseconds slowest",
    "gpu_checks": "check model quantity value tolerance passed card commit",
    "bench": "name ours baseline baseline_name ratio unit cpu instructions commit",
}

# What a figure of the paper shows, and the width of its model -> its number.
FIGURES = {
    ("f1", 768): 1,
    ("training", 768): 2,
    ("neighbours", 768): 3,
    ("scores", 768): 4,
    ("scores", 32): 5,
    ("neighbours", 2048): 6,
    ("scores", 2048): 7,
    ("neighbours", 32): 8,
}


def stem(shows: str, width: int) -> str:
    """File name of a figure without suffix: with the paper's number where it has one, else with the width."""
    number = FIGURES.get((shows, width))
    return f"fig{number}_{shows}" if number else f"{shows}_w{width}"
