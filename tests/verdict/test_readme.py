"""README.md and docs/results.md, read back and compared with the committed tables, independently of what wrote them."""

import itertools
import re
from functools import cache

import pandas as pd
import pytest
from made_up_tables import made_up

from helpers import store
from helpers.analysis.course import FADED
from helpers.rows import near_reading, of_reading, readings_in, runs_in
from helpers.table_folder import TableFolder
from helpers.verdict import claims, facts, gather, judge, readme, story

LINES = 150
NUMBER = r"-?\d+\.\d\d"


def rows_after(text: str, head: str) -> list[list[str]]:
    """Cells of the Markdown table whose first line begins so, the heading first."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(head))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table]
    return [rows[0], *rows[2:]]


@pytest.fixture(scope="module")
def texts(committed):
    return (committed / "README.md").read_text(), (committed / "docs/results.md").read_text()


@pytest.fixture(scope="module")
def table(committed):
    return cache(lambda name: pd.read_csv(committed / f"data/laptop/tables/{name}.csv"))


def own(table, name: str) -> pd.DataFrame:
    """The rows of a table of the reading with the most seeds of the main model in all, of equals the profile's own."""
    main = table("claims").query("width == 768")
    seeds = {reading: main.loc[main["reading"] == reading, "seeds"].sum() for reading in readings_in(main)}
    (mine,) = readings_in(table("training"))
    return of_reading(table(name), mine if seeds.get(mine, 0) == max(seeds.values()) else max(seeds, key=seeds.get))


def line_of(text: str, name: str) -> str:
    """The first sentences' line of that name."""
    return next(line for line in text.splitlines() if line.startswith(f"- **{name}:**"))


def end_and_peak(table, reading: str, width: int) -> dict[str, float]:
    """F1 by task of unseen instances at the last epoch and at each run's best, in raw states or t-SNE, the higher."""
    rows = of_reading(table("quantities"), reading).query("claim == 'task_validation' and model == 'trained'")
    means = rows[rows["width"] == width].groupby(["space", "at"])["value"].mean()
    return {at: max(means["raw", at], means["tsne", at]) for at in ("end", "peak")}


def test_the_readme_is_short(committed):
    assert len((committed / "README.md").read_text().splitlines()) <= LINES


def test_the_readmes_numbers_are_those_of_the_committed_tables(texts, table):
    """Every number and verdict of the five statements, in the table and in the sentences."""
    text, claimed = texts[0], own(table, "claims")
    mine = claimed[claimed["width"] == 768].set_index("claim")
    head, *rows = rows_after(text, "| the paper says |")
    assert len(rows) == 5
    keys = {clause.lower(): key for key, clause in story.FIVE.items()}
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        decided = mine.loc[keys[cells["the paper says"].lower()]]
        assert cells["verdict"] == f"**{decided['verdict']}**"
        assert cells["where"] == decided["where"]
        found = [float(n) for n in re.findall(NUMBER, cells["ours (95% interval)"])]
        assert found == pytest.approx(decided[["ours", "low", "high"][: len(found)]].tolist(), abs=0.0051)
        if cells["untrained"]:
            assert float(cells["untrained"]) == pytest.approx(decided["untrained"], abs=0.0051)
        clause = re.search(rf"that {re.escape(story.FIVE[decided.name])} \([\w ]+ ({NUMBER})", text)
        if decided["verdict"] in (judge.HOLDS, judge.NO_MORE, judge.FAILS) and decided.name not in story.SHORT:
            assert float(clause[1]) == pytest.approx(decided["ours"], abs=0.0051)
    first, *others = line_of(text, "In short").split("With reading ")
    assert first.startswith("Yes") == (mine.loc[story.SHORT, "verdict"] == judge.HOLDS).all()
    for said, rows in [(first, mine), *((other, _main(table, other.split()[0])) for other in others)]:
        short = [float(n) for n in re.findall(f"({NUMBER}) (?:to|on|and|\\()", said)]
        assert short == pytest.approx(rows.loc[story.SHORT, ["untrained", "ours"]].to_numpy().ravel(), abs=0.0051)
    apart = re.search(f"random clusters ({NUMBER})", text)
    count = table("clustering").query("split == 'subset' and label == 'task'")["k"].unique().item()
    assert not apart or float(apart[1]) == pytest.approx(1 - 1 / count, abs=0.0051)
    of_paper = mine[~mine.index.isin([claim.key for claim in claims.OURS])]
    said = re.search(r"In all, (\d+) of the paper's (\d+) statements about its main model", text)
    assert [int(n) for n in said.groups()] == [(of_paper["verdict"] == judge.HOLDS).sum(), len(of_paper)]
    fails = re.search(r"In all, (\d+) do not hold", text)
    assert int(fails[1]) == (of_paper["verdict"] == judge.FAILS).sum()


def _main(table, reading):
    """Rows of claims.csv of the main model in a reading, by claim."""
    rows = of_reading(table("claims"), reading)
    return rows[rows["width"] == 768].set_index("claim")


def test_what_changes_it_is_what_the_committed_tables_say(texts, table):
    sentence = line_of(texts[0], "What changes the result")
    deciding, outputs = readings_in(own(table, "claims"))[0], table("claims_outputs")
    told = re.findall(r"ith reading (\w+), (\d+) of (\d+) statements hold at width ([\d,]+) instead of (\d+)", sentence)
    unseen = own(table, "quantities").query("claim == 'task_validation' and width == 768 and space == 'centred'")
    before, centred = (
        unseen.query(f"at == 'end' and model == '{m}'")["value"].mean() for m in ("untrained", "trained")
    )
    course = own(table, "course_grids").query("grid == 'seeds' and width == 768 and split == 'validation'")
    course = course[course["space"] != "centred"].groupby(["space", "epoch"])["f1"].agg(["mean", "count"])
    highest = course.loc[course["count"] == course["count"].max(), "mean"].max()
    best = end_and_peak(table, deciding, 768)
    passing = [end_and_peak(table, reading, int(width.replace(",", ""))) for reading, *_, width, _ in told]
    passing = [n for found in passing if found["peak"] - found["end"] > FADED for n in (found["peak"], found["end"])]
    numbers = [float(n) for n in re.findall(NUMBER, sentence)]
    one_each = own(table, "alternatives_grids").query("grid == 'seeds' and width == 768 and split == 'subset'")
    named = "space == 'raw' and method == 'kmeans' and definition == 'majority' and clusters == 5"
    pairs = one_each.query(named)[["f1", "chance"]].mean()
    subset = own(table, "quantities").query(
        "claim == 'task_subset' and model == 'trained' and space in ('raw', 'tsne')"
    )
    means = subset.groupby(["width", "at", "space"])["value"].mean().groupby(["width", "at"]).max()
    assert numbers == pytest.approx(
        [best["end"], best["peak"], highest, centred, before, *pairs, *means, *passing], abs=0.0051
    )
    assert [int(w.replace(",", "")) for w in re.findall(r"\) at ([\d,]+\d)", sentence)] == list(means.index.levels[0])
    ours = {claim.key for claim in claims.OURS}
    said = re.search(r"alone, (\d+) of (\d+) statements hold at width ([\d,]+) instead of (\d+)", sentence)
    assert bool(said) == readings_in(outputs)[0].startswith(deciding), "what was changed in another reading is not told"
    if said:
        width = int(said[3].replace(",", ""))
        theirs, before = (t[(t["width"] == width) & ~t["claim"].isin(ours)] for t in (outputs, own(table, "claims")))
        counted = [(theirs["verdict"] == judge.HOLDS).sum(), len(theirs), (before["verdict"] == judge.HOLDS).sum()]
        assert [int(said[n]) for n in (1, 2, 4)] == counted
    for reading, count, of, width, instead in told:
        theirs, before = (
            t[(t["width"] == int(width.replace(",", ""))) & ~t["claim"].isin(ours)]
            for t in (of_reading(table("claims"), reading), own(table, "claims"))
        )
        holds = [(t["verdict"] == judge.HOLDS).sum() for t in (theirs, before)]
        assert [int(count), int(of), int(instead)] == [holds[0], len(theirs), holds[1]]


def test_the_run_of_make_reproduce_is_told_by_its_own_tables(texts, table):
    sentence = next(line for line in texts[0].splitlines() if line.startswith("One run of `make reproduce`"))
    scores = table("clustering").query("split == 'subset' and label == 'task' and layer > 0 and space != 'centred'")
    task = scores.groupby("epoch")["f1"].max().iloc[[0, -1]]
    same = table("neighbours").query("k == 10 and layer > 0").groupby("epoch")["same_task"].max().iloc[[0, -1]]
    assert [float(n) for n in re.findall(NUMBER, sentence)] == pytest.approx([*task, *same], abs=0.0051)


def test_what_the_states_hold_is_what_the_committed_tables_say(texts, table):
    sentence = line_of(texts[0], "What the states hold")
    judged = own(table, "claims").query("width == 768 and seeds > 1").set_index("claim")
    if {"within_input", "probe"} <= set(judged.index):
        numbers = judged.loc[["within_input", "probe"], ["untrained", "ours"]].to_numpy().ravel()
    else:
        controls = table("controls").query("width == 768 and split == 'validation' and layer > 0")
        best = controls.groupby(["control", "epoch"])["value"].max()
        numbers = [best[name].iloc[n] for name in ("within_input_f1", "linear_probe") for n in (0, -1)]
    chance = table("controls").query("control == 'within_input_chance' and split == 'validation' and layer > 0")
    chance = chance[chance["epoch"] == chance["epoch"].max()]["value"].max()
    numbers = [*numbers[:2], chance, *numbers[2:]]
    assert [float(n) for n in re.findall(NUMBER, sentence)] == pytest.approx(numbers, abs=0.0051)


def test_the_shares_of_variance_are_those_of_the_committed_table(texts, table):
    said = re.search(r"At the last layer, (.*) with the task\.", texts[1])[1]
    states = table("variance").query("width == 768")
    last = states[(states["epoch"] == states["epoch"].max()) & (states["layer"] == states["layer"].max())]
    share = last.groupby(["split", "part"], sort=False)["share"].mean()
    places = [(split, part) for split in ("subset", "validation") for part in ("input", "output", "task")]
    assert re.findall(r"(\d+)%", said) == [f"{100 * share[place]:.0f}" for place in places]


def test_every_statement_of_the_results_is_that_of_the_committed_tables(texts, table):
    """Every verdict, mean and interval of the large table."""
    cell_form = re.compile(
        r"\*\*(?P<verdict>[^*]+)\*\*: (?P<ours>-?[\d.]+) \((?:(?P<low>-?[\d.]+) to (?P<high>-?[\d.]+)|one seed)"
    )
    statements = {claim.statement: claim.key for claim in (*claims.CLAIMS, *claims.OURS)}
    seen, asked = 0, []
    for start, first in (("| the paper says |", 3), ("| we ask |", 2)):
        head, *rows = rows_after(texts[1], start)
        asked += [(row[0], title, cell) for row in rows for title, cell in zip(head[first:], row[first:], strict=True)]
    for said, title, cell in asked:
        if not (found := cell_form.search(cell)):
            continue
        width = int(re.search(r"width ([\d,]+)", title)[1].replace(",", ""))
        reading = None if "outputs" in title else re.search(r", (\w+) \(", title)
        named = "claims_outputs" if "outputs" in title else "claims"
        rows_of = of_reading(table(named), reading[1]) if reading else own(table, named)
        rows_of = table(named) if "outputs" in title else rows_of
        row = rows_of[(rows_of["claim"] == statements[said]) & (rows_of["width"] == width)].iloc[0]
        under = row["verdict"] == judge.CONDITION  # the page names the condition
        assert found["verdict"].startswith("holds ") if under else found["verdict"] == row["verdict"], cell
        for name in ("ours", "low", "high"):
            if found[name]:
                assert float(found[name]) == pytest.approx(row[name], abs=0.0051), cell
        at_most, known = int(re.search(r"\((\d+) seeds?\)", title)[1]), re.search(r"; (\d+) seeds\)", cell)
        assert row["seeds"] == (int(known[1]) if known else 1 if "one seed" in cell else at_most), (title, cell)
        seen += 1
    assert seen > 80


def test_other_numbers_of_the_results_are_those_of_the_committed_tables(texts, table):
    text, scores = texts[1], table("clustering").query("width == 768 and split == 'validation' and layer > 0")
    spaces = {"raw": "raw", "t-SNE": "tsne", "input-centred": "centred"}
    for label, states, *cells in rows_after(text, "| clusters by |")[1:]:
        label = {"task": "task", "distribution and mapping": "distribution_mapping"}[label]
        mine = scores[(scores["space"] == spaces[states]) & (scores["label"] == label)]
        best = mine.groupby(["seed", "epoch"])["f1"].max().groupby("epoch").mean()
        numbers = [float(re.search(NUMBER, cell)[0]) for cell in cells]
        assert numbers == pytest.approx([best.iloc[0], best.max(), best.iloc[-1]], abs=0.0051)
    course = table("course").query("width == 768 and space == 'raw' and layer > 0 and seed == 0")
    for words, *cells in rows_after(text, "| clusters of |")[1:]:
        mine = course[course["split"] == {"training subset": "subset", "unseen instances": "validation"}[words]]
        best = mine.loc[mine.groupby("epoch")["f1"].idxmax()].set_index("epoch")
        for cell, name in zip(cells, ("sees_input", "sees_output", "sees_task"), strict=True):
            expected = best[name].iloc[[0, -1]].tolist()
            assert [float(n) for n in cell.split(" → ")] == pytest.approx(expected, abs=0.0051)
    ours, paper = rows_after(text, "| model | at |")[1:]
    models = table("table1").set_index(["model", "label"])
    for row, model in ((ours, ours[0]), (paper, paper[0].removesuffix(" (paper)"))):
        for cell, label in zip(row[2:], ("task", "distribution", "distribution_mapping"), strict=True):
            expected = models.loc[(model, label), ["f1", "ari", "ami"]].tolist()
            assert [float(n) for n in cell.split(" / ")] == pytest.approx(expected, abs=0.00051)
    speed = table("bench").dropna(subset="ratio").set_index(["name", "baseline_name", "commit"])["ratio"]
    parts = text.split("Processor: ")[1:]
    rows = [row for part in parts for row in rows_after(part, "| measured |")[1:]]
    assert len(rows) == len(speed)
    for name, baseline, *_, ratio, commit in rows:
        assert float(ratio) == pytest.approx(speed[name, baseline, commit], rel=0.006)


def test_both_pages_are_what_their_templates_make_of_the_committed_tables(committed, texts):
    """Whoever renews the tables, or a template, also gives `make readme`."""
    known = gather.of_profile(TableFolder(committed / "data/laptop/tables"), story.WIDTH)
    executed = {path.stem for path in (committed / "data/laptop/notebooks").glob("*.ipynb")}
    assert readme.readme(texts[0], known, executed) == texts[0]
    assert readme.results(known) == texts[1]


def test_every_link_of_the_pages_leads_somewhere():
    pages = [store.REPOSITORY / "README.md", *(store.REPOSITORY / "docs").glob("*.md")]
    for page in pages:
        text = page.read_text()
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, link


SURFACE = [
    {"seed": 0, "split": split, "label": "task", "control": "edit_distance", "f1": f1}
    for split, f1 in (("subset", 0.58), ("validation", 0.48))
]


def known_of(tables: dict[str, pd.DataFrame], judged: pd.DataFrame, **more) -> dict:
    """What the story needs, of made-up runs."""
    nothing = {
        "of_controls": None,
        "until": {},
        "of_surface": pd.DataFrame(SURFACE),
        "of_course": pd.DataFrame(),
        "of_pairs": [],
        "claims_outputs": None,
        "other_readings": {},
        "quantities": None,
        "searches": [],
        "confirmed": [],
    }
    scores = tables["clustering"].assign(space=tables["clustering"]["space"].replace("centred", "tsne"))
    own = {"training": tables["training"], "clustering": scores}
    own |= {"of_hard": tables["hard"], "of_neighbours": tables["neighbours"]}
    return nothing | {"reading": "gpt2", "own": "gpt2", "claims": judged} | own | more


@cache
def judged(good: bool) -> pd.DataFrame:
    found = pd.concat([judge.quantities(made_up(good, seed)) for seed in range(3)])
    return judge.judge(found, (768,))


def test_other_numbers_make_other_sentences():
    for good in (True, False):
        said = story.sentences(known_of(made_up(good), judged(good)))
        here, elsewhere = said["What reproduces"], said["What does not"]
        for clause in story.FIVE.values():
            assert clause in (here if good else elsewhere)
            assert clause not in (elsewhere if good else here)
        assert "make verdict" in said["What changes the result"]
        if good:
            assert "untrained 0.20, random clusters 0.90; the paper: predominantly" in here
        assert said["In short"].startswith("Yes. From the untrained model to epoch 100" if good else "Not as KMeans")
        assert "up to 0.58 on the training subset and 0.48 on unseen instances (data set of seed 0)" in elsewhere
    assert "'high' would be" not in story.title(known_of(made_up(True), judged(True)))
    known = known_of(made_up(False), judged(False))
    low = known["clustering"].assign(f1=known["clustering"]["f1"] / 2)
    assert "at most 0.40; 'high' would be above 0.8" in story.title(known | {"clustering": low})


def test_the_courses_are_those_of_the_runs_that_decide_where_they_are_known():
    known = known_of(made_up(True), judged(True))
    assert story.title(known).startswith("In one run, unseen instances are solved")
    rows = [
        {"width": 768, "seed": s, "reading": "gpt2", "space": "raw", "epoch": e, "f1": f, "accuracy": a}
        for s in (0, 1)
        for e, f, a in ((0, 0.2, 0.0), (50, 0.5 + 0.2 * s, 0.9), (100, 0.3, 1.0))
    ]
    known = known | {"of_course": pd.DataFrame(rows)}
    assert story.title(known).startswith(
        "Unseen instances are solved (accuracy 1.00)\nTheir F1 by task is at most 0.60, mean over seeds"
    )
    figure = story.figure(known)
    assert "2 seeds" in figure.get_suptitle()
    assert "range over seeds" in figure.axes[0].get_title()


def test_f1_where_a_task_may_have_several_clusters_is_a_mean_over_seeds_and_permuted_labels_stand_beside_it():
    place = {"space": "raw", "method": "kmeans", "definition": "majority", "clusters": 5, "split": "subset"}
    rows = [
        place
        | {"grid": "seeds", "variant": "default", "width": 768, "reading": "gpt2", "seed": s, "f1": f, "chance": 0.3}
        for s, f in ((0, 0.6), (1, 0.8))
    ]
    shuffled = {"grid": "multiverse", "variant": "data.shuffled_outputs=True", "width": 128, "f1": 0.5}
    rows += [rows[0] | shuffled, rows[0] | {"clusters": 1, "f1": 0.0}, rows[0] | {"grid": "parts", "f1": 0.0}]
    found = facts.a_cluster_for_each_pair(pd.DataFrame(rows))
    assert [(r["width"], r["control"], r["seeds"]) for r in found] == [(768, False, 2), (128, True, 1)]
    assert found[0]["subset_f1"] == pytest.approx(0.7)
    said = story.sentences(known_of(made_up(True), judged(True), of_pairs=found))["What changes the result"]
    assert "F1 of the training subset is 0.70 (labels permuted: 0.30)" in said
    assert "input-output pairs" not in story.sentences(known_of(made_up(True), judged(True)))["What changes the result"]


def test_how_readings_compare_is_told_for_each_search_and_on_fresh_seeds():
    def said(**known) -> str:
        return readme._why({"searches": [], "confirmed": []} | known)

    assert said() == ""
    searches = [{"of": 2, "last": 2, "width": 768, "reading": "fitted", "epochs": 30},
                {"of": 24, "last": 3, "width": 32, "reading": "fitted model.dropout=0.1", "epochs": 200}]  # fmt: skip
    told = said(searches=searches)
    assert "of 2 at width 768, *fitted* (one run each, to epoch 30)" in told
    assert "of 24 at width 32, *fitted, dropout 0.1* (one run each, 3 of them to epoch 200)." in told
    fits = [{"width": w, "reading": r, "fit": f, "low": f - 0.05, "high": f + 0.05, "seeds": 3}
            for w, r, f in ((768, "fitted", 0.7), (768, "gpt2", 0.5), (32, "fitted", 0.6))]  # fmt: skip
    told = said(searches=searches, confirmed=fits)
    assert "0.70 (0.65 to 0.75 over 3 seeds) for *fitted* and 0.50 (0.45 to 0.55 over 3 seeds) for *gpt2*." in told
    assert "0.60" not in told, "the main model alone"


def test_other_widths_are_told_beside_the_main_models():
    rows = [
        {"width": w, "seed": s, "reading": "gpt2", "claim": "task_subset", "space": space, "at": at, "model": "trained",
         "value": value}
        for w, seeds, end, peak in ((768, (0, 1), 0.4, 0.5), (2048, (0,), 0.6, 0.8)) for s in seeds
        for space, less in (("raw", 0), ("tsne", 0.1), ("centred", -0.3))
        for at, value in (("end", end - less), ("peak", peak - less))
    ]  # fmt: skip
    more = {"at": "end", "claim": "task_validation"}
    quantities = pd.DataFrame([*rows, rows[0] | more, rows[0] | more | {"at": "peak"}])

    def told(table) -> str:
        return story.sentences(known_of(made_up(False), judged(False), quantities=table))["What changes the result"]

    assert "is 0.40 (0.50) at 768, 0.60 (0.80) at 2,048, one seed (reading gpt2). " in told(quantities) + " "
    assert "By width" not in told(quantities[quantities["width"] == 768])


def test_a_second_reading_is_told_beside_the_first():
    first, second = judged(False).assign(reading="gpt2"), judged(True).assign(reading="torch")
    known = known_of(made_up(False), first, other_readings={"torch": second})
    assert "ith reading torch, " in story.sentences(known)["What changes the result"]
    assert list(story.kinds_of_run(known)) == ["768", "768, torch"]
    verdicts = story.verdicts(known).axes[0].collections[0].get_array()
    assert verdicts.shape == (len(claims.CLAIMS), 2)
    markers = [line.get_marker() for line in story.figure(known).axes[1].get_lines()]
    assert {"o", "s"} <= set(markers), "both readings stand beside each statement"


def test_a_reading_whose_runs_are_too_short_to_tell_neither_decides_nor_is_told():
    """As many seeds, but most statements are about epochs that they have not reached."""
    first, whole = judged(True).assign(reading="gpt2"), judged(True).assign(reading="torch")
    short = whole.assign(seeds=whole["seeds"].where(whole.index < 2, 0))
    assert facts.deciding_reading(pd.concat([first, short]), "torch") == "gpt2"
    assert facts.deciding_reading(pd.concat([first, whole]), "torch") == "torch"
    known = known_of(made_up(True), first, other_readings={"torch": short})
    assert "reading torch" not in story.sentences(known)["What changes the result"]
    assert list(story.kinds_of_run(known)) == ["768"]


def test_a_run_of_another_reading_is_told_beside_the_statements():
    tables = made_up(True)
    said = story.own_run(known_of(tables, judged(False), own="torch"))
    assert "One run of `make reproduce` (reading torch, 100 epochs), from untrained" in said
    at_end = {name: tables[name][tables[name]["epoch"] == 100] for name in ("clustering", "neighbours")}
    task = at_end["clustering"].query("split == 'subset' and label == 'task' and layer > 0")["f1"].max()
    assert f"to {task:.2f}, hard examples" in said
    assert f"to {at_end['neighbours'].query('layer > 0')['same_task'].max():.2f}" in said
    assert story.own_run(known_of(tables, judged(False))) == ""
    longer = {"gpt2": {"768": 200}}
    assert "(reading gpt2, 100 epochs)" in story.own_run(known_of(tables, judged(False), until=longer))


def test_readings_are_told_apart_where_a_table_names_them():
    runs = pd.DataFrame({"width": [768, 768, 32], "seed": [0, 1, 0]})
    assert runs_in(runs) == "widths 32, 768, reading gpt2, 1 to 2 seeds"
    assert runs_in(runs, 32) == "width 32, reading gpt2, seed 0"
    named = runs.assign(reading=["gpt2", "torch", None])
    assert readings_in(named) == ["gpt2", "torch"]
    assert of_reading(named, "torch")["seed"].tolist() == [1, 0], "what names no reading belongs to any"
    assert len(of_reading(runs, "torch")) == 3
    changed = runs.assign(reading=["gpt2", "gpt2 training.loss_on=outputs", "torch"])
    assert near_reading(changed, "gpt2")["seed"].tolist() == [0, 1]
    assert runs_in(near_reading(changed, "gpt2")) == "width 768, reading gpt2, 1 seed each"
    assert runs_in(changed[1:2]) == "width 768, reading gpt2 with a choice changed, seed 1"
    assert runs_in(pd.DataFrame({"width": [768, 32], "seeds": [3, 5]})) == "widths 32, 768, reading gpt2, 3 to 5 seeds"
    assert runs_in(pd.DataFrame({"width": [16], "seeds": [0]})) == "width 16, reading gpt2, no run long enough"


def test_tables_of_one_folder_make_both_pages_without_optional_ones(committed, tmp_path):
    """No make verdict, no make bench: the pages say so."""
    for path in (committed / "data/laptop/tables").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for name in ("claims_outputs", "quantities", "multiverse", "parts", "alternatives_grids", "bench", "latency"):
        (tmp_path / f"{name}.csv").unlink(missing_ok=True)
    known = gather.of_profile(TableFolder(tmp_path), story.WIDTH) | {"other_readings": {}}
    text = readme.results(known)
    assert "Not measured yet" in text
    before = (committed / "README.md").read_text()
    text = readme.readme(before, known | {"own": known["reading"]}, set())
    assert "Nothing else has been measured yet" in text
    for page in (text, readme.readme(before, known, set())):
        assert "ith the loss on the output token" not in page
