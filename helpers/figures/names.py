"""File names of figures: by the paper's number where the paper has the figure."""

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
