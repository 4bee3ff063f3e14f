"""The rules on made-up tables: each must pass on one that shows its claim, and fail on one that does not."""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_up_tables import made_up

from helpers.figures.style import CLAIM_TITLES
from helpers.figures.verdict import VERDICT_COLOURS
from helpers.pretrained.paper_models import PAPER_MODELS
from helpers.running import verdict_grids
from helpers.tables import columns
from helpers.verdict import claims, facts, judge, reading_fit, readme, report
from helpers.verdict.judge import CONDITION, FAILS, HOLDS, NO_MORE, UNDECIDED, UNMEASURED, VERDICTS

EVERY = (*claims.CLAIMS, *claims.OURS)


@cache
def one_run(good: bool, seed: int) -> pd.DataFrame:
    return judge.quantities(made_up(good, seed))


def measured(good: bool, seeds=range(4)) -> pd.DataFrame:
    return pd.concat([one_run(good, seed) for seed in seeds], ignore_index=True)


@pytest.mark.parametrize("claim", EVERY, ids=lambda c: c.key)
def test_every_claim_holds_where_it_is_so_and_fails_where_it_is_not(claim):
    faded = claim.key == "peak"  # the one that says that clusters do not last
    for good, expected in ((not faded, HOLDS), (faded, FAILS)):
        table = judge.judge(measured(good), (768,)).set_index("claim")
        row = table.loc[claim.key]
        assert row["verdict"] == expected, row.to_dict()
        assert row["seeds"] == 4


def test_layer_0_that_moves_is_seen():
    tables = made_up(True)
    moved = tables["clustering"]["layer"] == 0
    tables["clustering"].loc[moved, "f1"] += tables["clustering"].loc[moved, "epoch"] / 200
    assert judge.quantities(tables).query("claim == 'layer0_flat' and space == 'raw'")["value"].item() > 0.4


def test_one_seed_is_no_proof():
    table = judge.judge(measured(True, seeds=[0]), (768,))
    assert set(table["verdict"]) == {UNDECIDED}
    assert table["condition"].str.contains("one seed").all()
    assert table["low"].isna().all()
    assert table["ours"].notna().all(), "the value is shown all the same"


def test_widths_without_runs_are_not_measured():
    table = judge.judge(measured(True))
    other = table[table["width"] == 2048]
    assert set(other["verdict"]) == {UNMEASURED}
    assert other["condition"].str.contains("needs a run of this width").all()
    assert "stops_at_51" not in set(other["claim"]), "the paper says that of its main model alone"


def test_a_claim_that_holds_on_centred_states_alone_holds_under_that_condition():
    both = measured(False)
    good = measured(True)
    mixed = pd.concat([both[both["space"] != "centred"], good[good["space"] == "centred"]])
    row = judge.judge(mixed, (768,)).set_index("claim").loc["task_subset"]
    assert row["verdict"] == CONDITION
    assert row["condition"] == claims.CENTRED
    assert "centred states" in row["quantity"]


def test_clusters_that_were_there_at_an_earlier_epoch_are_a_condition():
    def faded(seed: int) -> pd.DataFrame:
        tables = made_up(True, seed)
        late = tables["clustering"]["epoch"] > 60
        tables["clustering"].loc[late, "f1"] *= 0.5
        tables["clustering"] = tables["clustering"][tables["clustering"]["space"] == "raw"]
        return judge.quantities(tables)

    found = judge.judge(pd.concat([faded(seed) for seed in range(4)]), (768,)).set_index("claim")
    assert found.loc["task_subset", "verdict"] == CONDITION
    assert found.loc["task_subset", "condition"] == claims.AT_PEAK
    assert found.loc["peak", "verdict"] == HOLDS
    assert found.loc["distribution", "verdict"] == FAILS


def test_an_interval_on_both_sides_of_the_rule_is_undecided():
    table = measured(True)
    table = table.query("claim == 'task_subset' and space == 'raw' and at == 'end' and model == 'trained'")
    table = table.assign(value=[0.7, 1.0, 0.8, 1.0])
    row = judge.judge(table, (768,)).set_index("claim").loc["task_subset"]
    assert row["verdict"] == UNDECIDED
    assert "both sides" in row["condition"]


def test_the_interval_of_a_quantity_without_bounds_is_students():
    mean, low, high = judge.interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert (low, high) == (pytest.approx(2 - 4.302653 / 3**0.5), pytest.approx(2 + 4.302653 / 3**0.5))


@pytest.mark.parametrize(
    "values", [[0.98, 1.0, 1.0], [0.0, 0.02], [0.5, 0.5, 0.5], [0.1, 0.9], [1.0, 1.0], [0.0, 0.0, 0.0]]
)
def test_the_interval_of_a_share_lies_within_0_and_1_and_holds_the_mean(values):
    mean, low, high = judge.interval(values, claims.SHARE)
    assert mean == pytest.approx(np.mean(values))
    assert 0 <= low <= mean + 0.01
    assert mean - 0.01 <= high <= 1
    negative = judge.interval([-v for v in values], claims.CHANGE)
    assert -1 <= negative[1] <= negative[2] <= 1


@pytest.mark.parametrize(("mean", "spread", "least"), [(0.5, 0.1, 0.93), (0.9, 0.05, 0.91), (0.97, 0.02, 0.91)])
@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_holds_the_mean_of_simulated_seeds(mean, spread, least, seeds):
    size = mean * (1 - mean) / spread**2 - 1
    drawn = np.random.default_rng(0).beta(mean * size, (1 - mean) * size, (3000, seeds))
    found = [judge.interval(values, claims.SHARE) for values in drawn]
    assert np.mean([low <= mean <= high for _, low, high in found]) > least


def test_every_claims_values_lie_within_its_bounds():
    both = pd.concat([one_run(good, seed) for good in (True, False) for seed in range(2)])
    for claim in EVERY:
        assert both.loc[both["claim"] == claim.key, "value"].between(*claim.bounds).all(), claim.key


def test_what_a_run_cannot_tell_is_left_out_and_not_guessed():
    tables = made_up(True)
    short = {name: t[t["epoch"] <= 40] if "epoch" in t else t for name, t in tables.items() if name != "interventions"}
    table = judge.quantities(short)
    found = set(table["claim"])
    assert "stops_at_51" not in found, "its best epoch may lie ahead"
    assert set(table.query("claim == 'task_subset'")["at"]) == {claims.PEAK}, "that is not late in training"
    assert "interventions" not in found
    assert "accuracy_late" in found


LOSSES = {
    "gpt2": True,
    "fitted": False,
    "gpt2 training.loss_on=outputs": False,
    "fitted training.loss_on=sequence": True,
}


@pytest.mark.parametrize(("reading", "near_zero"), LOSSES.items())
def test_accuracy_is_near_zero_while_the_loss_that_is_trained_on_falls(reading, near_zero):
    """Here accuracy comes at epoch 35; the loss on all tokens falls before, that on outputs with it."""
    tables = {n: t.assign(reading=reading) if "reading" in t else t for n, t in made_up(True).items()}
    tables["training"]["output_loss"] = 1 - tables["training"]["accuracy_validation"]
    found = judge.quantities(tables).set_index("claim").loc["accuracy_late", "value"]
    assert (found < 0.1) == near_zero


def test_clusters_that_are_not_there_cannot_last():
    tables = made_up(True)
    tables["clustering"]["f1"] = 0.4
    found = set(judge.quantities(tables)["claim"])
    assert not {"persists", "saturate_together"} & found
    assert "task_subset" in found


def test_runs_of_a_sweep_are_measured_one_by_one():
    parts = [{n: t.assign(run=r) for n, t in made_up(g).items()} for r, g in (("a", True), ("b", False))]
    stacked = {name: pd.concat([p[name] for p in parts]) for name in parts[0]}
    found = judge.quantities(stacked)
    for run, good in (("a", True), ("b", False)):
        alone = judge.quantities(made_up(good))
        mine = found[found["run"] == run].drop(columns="run").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, alone)


def swept(finished, code="c1", f1=0.5, reading="gpt2", variant="") -> dict[str, pd.DataFrame]:
    """What a sweep of three seeds gives where only some are finished; `code` goes into the runs' names."""
    rows, parts = [], {}
    for seed in range(3):
        run, place = f"{code}-{seed}", {"variant": variant, "width": 768, "seed": seed, "reading": reading}
        if seed not in finished:
            rows.append({"run": run, **place, "status": "not run", "commit": None, "computed": None})
            continue
        rows.append({"run": run, **place, "status": "done", "commit": code, "computed": f"cpu {code}", "epochs": 100})
        tables = made_up(True)
        tables["training"] = tables["training"].assign(seconds=36.0)
        tables["training"].loc[7, "seconds"] = 10_000  # a machine that slept
        searched = {"split": "subset"} | dict.fromkeys(("space", "method", "definition"), "x")
        searched |= {"clusters": 1, "epoch": 9, "layer": 6, "f1": f1, "chance": 0.2}
        tables["alternatives"] = pd.DataFrame([{"width": 768, "seed": seed, **searched}])
        seen = dict.fromkeys((f"{of}_{n}" for of in ("sees", "share") for n in ("task", "input", "output")), 0.1)
        course = {"width": 768, "seed": seed, "split": "subset", "space": "raw", "accuracy": 0.5, **seen}
        heights = [(epoch, layer, f1 * layer / 2) for epoch in (0, 9) for layer in (0, 1, 2)]
        tables["course"] = pd.DataFrame([course | dict(zip(("epoch", "layer", "f1"), h, strict=True)) for h in heights])
        for name, table in tables.items():
            seeds = {"seed": seed, "reading": reading} if "seed" in table else {}
            parts.setdefault(name, []).append(table.assign(run=run, **seeds))
    return {"runs": pd.DataFrame(rows)} | {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


def test_a_grids_results_join_those_of_other_grids(tmp_path):
    for name in ("quantities", "parts", "quantities"):
        verdict_grids.save_grid(name, swept([0]), tmp_path)
    found = pd.read_csv(tmp_path / "alternatives_grids.csv")
    assert sorted(found["grid"]) == ["parts", "seeds"]
    course = pd.read_csv(tmp_path / "course_grids.csv")
    assert course.groupby("grid")["layer"].agg(list).to_dict() == {"parts": [2, 2], "seeds": [2, 2]}, "the highest"
    assert list(pd.read_csv(tmp_path / "quantities.csv")) == columns("quantities")
    assert set(pd.read_csv(tmp_path / "parts.csv")["variant"]) == {"default"}
    facts = json.loads((tmp_path / "verdict.json").read_text())
    assert facts["seeds"] == facts["parts"]
    assert facts["seeds"]["epochs"] == {"gpt2": {"768": 100}}
    assert facts["seeds"]["hours"] == {"c1-0": 1.0}, "100 epochs of 36 seconds; the others have not run"


def test_a_clone_with_one_run_of_three_keeps_the_rows_of_the_others(tmp_path):
    verdict_grids.save_grid("quantities", swept([0, 1, 2]), tmp_path)
    before = {name: pd.read_csv(tmp_path / f"{name}.csv") for name in ("quantities", "alternatives_grids")}
    verdict_grids.save_grid("quantities", swept([1], "c2", f1=0.9), tmp_path)
    for name, was in before.items():
        now = pd.read_csv(tmp_path / f"{name}.csv")
        assert now.groupby("seed").size().to_dict() == was.groupby("seed").size().to_dict()
        others = [t[t["seed"] != 1].reset_index(drop=True) for t in (was, now)]
        pd.testing.assert_frame_equal(*others)
    now = pd.read_csv(tmp_path / "alternatives_grids.csv").set_index("seed")
    assert now["run"].to_dict() == {0: "c1-0", 1: "c2-1", 2: "c1-2"}
    assert now["f1"].to_dict() == {0: 0.5, 1: 0.9, 2: 0.5}
    facts = json.loads((tmp_path / "verdict.json").read_text())["seeds"]
    assert facts["hours"] == {"c1-0": 1.0, "c2-1": 1.0, "c1-2": 1.0}
    assert (facts["commits"], facts["computed"]) == (["c1", "c2"], ["cpu c1", "cpu c2"])
    verdict_grids.save_grid("quantities", swept([0, 1, 2], "c3"), tmp_path)
    facts = json.loads((tmp_path / "verdict.json").read_text())["seeds"]
    assert facts["commits"] == ["c3"], "nothing is left of the others"
    assert facts["hours"] == {f"c3-{seed}": 1.0 for seed in range(3)}


def test_runs_of_another_reading_do_not_take_the_place_of_these(tmp_path):
    verdict_grids.save_grid("quantities", swept([0, 1]), tmp_path)
    before = pd.read_csv(tmp_path / "quantities.csv")
    verdict_grids.save_grid("quantities", swept([0], "c2", reading="fitted"), tmp_path)
    now = pd.read_csv(tmp_path / "quantities.csv")
    pd.testing.assert_frame_equal(now[now["reading"] == "gpt2"], before)
    assert set(now.loc[now["reading"] == "fitted", "seed"]) == {0}
    fits = pd.read_csv(tmp_path / "readings_confirmed.csv")
    assert sorted(zip(fits["reading"], fits["seed"], strict=True)) == [("fitted", 0), ("gpt2", 0), ("gpt2", 1)]


def test_a_run_is_compared_by_what_readings_are_compared_by():
    found = verdict_grids.confirmed(swept([0, 1])).set_index("seed")
    assert set(found.index) == {0, 1}, "finished runs alone"
    assert set(found["epochs"]) == {100}
    targets = [target.key for target in reading_fit.TARGETS]
    assert (found["fit"] == found[[*targets, "parameters"]].mean(axis=1)).all()
    assert found["stops"].isna().all(), "nobody knows the best epoch before the schedule's end"


def test_seeds_that_stopped_earlier_confirm_nothing():
    rows = [("fitted", 768, 0, 200, 0.7), ("fitted", 768, 1, 200, 0.9), ("fitted", 768, 2, 100, 0.1)]
    rows += [("gpt2", 768, 0, 200, 0.5), ("fitted", 32, 0, 500, 0.6)]
    table = pd.DataFrame(rows, columns=["reading", "width", "seed", "epochs", "fit"])
    table = table.assign(late=1.0, learns=table["fit"] - 0.2, flat=table["fit"] + 0.2)
    first, second, third = facts.confirmed(table)
    assert [first[f"without_late{end}"] for end in ("", "_low", "_high")] == pytest.approx([0.8, 0.7, 0.9])
    assert (first["reading"], first["fit"], first["low"], first["high"], first["seeds"]) == ("fitted", 0.8, 0.7, 0.9, 2)
    assert (second["reading"], third["width"]) == ("gpt2", 32)
    assert facts.confirmed(None) == []


def test_a_run_that_went_further_takes_the_place_of_its_rows(tmp_path):
    for epochs, f1 in ((55, 0.5), (100, 0.9)):
        made = swept([0], f1=f1, variant=f"reading=gpt2 width=768 seed=0 training.stop_epoch={epochs}")
        verdict_grids.save_grid("quantities", made, tmp_path)
    for name in ("alternatives_grids", "course_grids"):
        table = pd.read_csv(tmp_path / f"{name}.csv")
        assert set(table["variant"]) == {"default"}
        assert table.groupby(list({"epoch", "split", "space"} & set(table)))["f1"].nunique().eq(1).all()
        assert (table["f1"] >= 0.9).all()
    spaced = "width=128 data.metacharacters=['plus', 'star'] training.stop_epoch=None model.dropout=0"
    assert verdict_grids.changes(spaced) == "data.metacharacters=['plus', 'star'] model.dropout=0"


def test_each_reading_is_judged_by_itself():
    """Seeds of two readings make no interval together."""
    both = pd.concat([measured(True), measured(False).assign(reading="torch")])
    table = judge.judge(both, (768,)).set_index(["claim", "reading"])["verdict"]
    assert table.xs("gpt2", level="reading").eq(HOLDS).sum() > 10
    assert table["task_subset", "torch"] == FAILS
    numbers = judge.at_thresholds(both, (768,)).groupby("reading")["number"].count()
    assert numbers["gpt2"] == numbers["torch"]


def test_table_1_is_decided_by_our_probe_of_the_same_model():
    model = PAPER_MODELS[0]
    ours = pd.DataFrame([{"model": model.hub_id, "source": "ours", "label": "task", "f1": 0.9}])
    rows = judge.table1_rows(ours)
    assert len(rows) == 5
    assert rows["verdict"].tolist() == [HOLDS, *[UNMEASURED] * 4]
    assert judge.table1_rows(ours.assign(f1=0.6))["verdict"][0] == FAILS


def test_either_kind_of_pretrained_model_is_decided_by_the_worst_of_its_kind():
    names = ["google/gemma-3-270m", "gpt2", "google/gemma-3-270m-it", "meta-llama/Llama-2-7b-chat-hf"]
    f1s = [(0.93, 0.90, 0.96), (0.94, 0.92, 0.96), (0.95, 0.93, 0.97), (0.5, 0.45, 0.55)]
    ours = pd.DataFrame({"model": names, "revision": "main", "source": "ours", "label": "task"})
    ours["f1"] = [f1 for f1, _, _ in f1s]
    spread = ours.assign(metric="f1", low=[low for _, low, _ in f1s], high=[high for _, _, high in f1s])
    both = judge.tuned_rows(ours, spread)
    assert both["verdict"].tolist() == [HOLDS, FAILS]
    assert both["ours"].tolist() == [0.93, 0.5]
    one_tuned = judge.tuned_rows(ours[:3], spread)
    assert one_tuned["verdict"].tolist() == [HOLDS, UNDECIDED]
    assert one_tuned["condition"][1].startswith("one model alone, google/gemma-3-270m-it; ")
    none_tuned = judge.tuned_rows(ours[:2], spread)
    assert none_tuned["verdict"].tolist() == [HOLDS, UNMEASURED]
    assert "togethercomputer/Llama-2-7B-32K-Instruct" in none_tuned["condition"][1]
    wide = judge.tuned_rows(ours[:2], spread.assign(low=0.6))
    assert wide["verdict"][0] == UNDECIDED


def test_the_spread_of_a_part_is_over_its_own_seeds_and_the_default():
    rows = [("default", 0.5), ("data.seed=1", 0.7), ("data.seed=2", 0.9), ("training.init_seed=1", 0.5)]
    table = pd.DataFrame([{"variant": v, "claim": "c", "value": x} for v, x in rows]).assign(
        space="raw", at="end", model="trained"
    )
    found = judge.spread_by_part(table).loc["c", "raw", "end", "trained"]
    assert found["data"] == pytest.approx(0.2)
    assert found["initialisation"] == 0
    assert np.isnan(found["order"])


def test_a_choice_carries_a_claim_if_it_alone_moves_it_over_its_number():
    def table(**values):
        rows = [("knn_high", "all", "end", "trained", variant, value) for variant, value in values.items()]
        return pd.DataFrame(rows, columns=["claim", "space", "at", "model", "variant", "value"])

    variants = table(default=0.9, slow=0.3, quick=0.95, broken=np.nan)
    found = judge.flipped(variants, table(default=0.9, one=0.85, two=0.7))
    assert found[["variant", "default", "value", "seeds"]].to_numpy().tolist() == [["slow", 0.9, 0.3, 0.5]]
    assert judge.flipped(variants, table())["seeds"].isna().all()
    assert judge.flipped(table(slow=0.3), table()).empty


def test_a_rule_of_two_numbers_is_met_between_them_alone():
    rule = claims.Rule(above=36, below=66)
    assert str(rule) == "above 36 and below 66"
    assert rule.of(40, 60) is True
    assert rule.of(70, 90) is rule.of(1, 36) is False
    assert rule.of(20, 50) is rule.of(20, 90) is None
    assert (rule.short(30), rule.short(70)) == (6, 4)
    assert rule.short(50) < 0


def test_hard_examples_apart_by_distance_alone_are_a_condition():
    together = []
    for seed in range(3):
        tables = made_up(True, seed)
        tables["hard"]["pairs_separated"] = 0.0
        together.append(judge.quantities(tables))
    row = judge.judge(pd.concat(together), (768,)).set_index("claim").loc["hard_separate"]
    assert (row["verdict"], row["condition"]) == (CONDITION, claims.BY_DISTANCE)
    assert row["otherwise"] == 0 < row["ours"], "what the paper's own way of looking gives stands beside it"


def test_hard_examples_are_asked_at_the_layer_with_the_best_clusters():
    tables = made_up(True)
    tables["hard"]["pairs_separated"] = tables["hard"]["layer"].map({1: 0.9, 6: 0.3}).fillna(0)
    chosen = "claim == 'hard_separate' and space == 'raw' and model == 'trained'"
    found = judge.quantities(tables).query(chosen)
    assert found["value"].item() == 0.3, "random clusters, in a layer without others, would part most"


def test_what_a_missing_quantity_needs_is_not_what_the_runs_have():
    """Runs whose states were not kept have gone as far as late quantities ask, which is not what is missing."""
    whole = judge.quantities(made_up(True))
    learned = whole[whole["claim"].str.startswith("accuracy")]
    needs = judge.judge(learned, (768,)).set_index("claim")["condition"]
    assert needs["task_subset"] == "needs what the runs of this width have not recorded"
    assert needs["persists"].startswith("needs a run of this width with clusters")
    assert "schedule" in judge.judge(learned[:0], (768,)).set_index("claim")["condition"]["task_subset"]


def test_a_condition_needs_two_seeds_of_the_papers_own_view():
    good, none = measured(True, range(3)), measured(False, range(3))
    mixed = pd.concat([none[none["space"] == "raw"].query("seed == 0"), good[good["space"] == "centred"]])
    row = judge.judge(mixed, (768,)).set_index("claim").loc["task_subset"]
    assert (row["verdict"], row["seeds"]) == (UNDECIDED, 1)


def test_the_untrained_model_stands_beside_each_score():
    table = judge.judge(measured(True), (768,)).set_index("claim")
    assert table.loc["task_subset", "untrained"] == pytest.approx(0.2, abs=0.02)
    assert np.isnan(table.loc["task_rises", "untrained"]), "a change from it is no score"


def one_place(claim: str, trained: list[float], untrained: list[float]) -> pd.DataFrame:
    """Quantities of one claim on raw states at the end, a seed each."""
    place = {"width": 768, "reading": "gpt2", "claim": claim, "space": "raw", "at": "end"}
    return pd.DataFrame(
        [
            place | {"seed": seed, "model": model, "value": value}
            for model, values in (("trained", trained), ("untrained", untrained))
            for seed, value in enumerate(values)
        ]
    )


def test_what_untrained_models_show_as_well_is_no_work_of_training():
    def verdict(trained, untrained):
        table = judge.judge(one_place("distribution_validation", trained, untrained), (768,))
        return table.set_index("claim").loc["distribution_validation"]

    high = [0.95, 0.97, 0.96]
    row = verdict(high, [0.96, 0.96, 0.97])
    assert row["verdict"] == NO_MORE
    assert row["gain_low"] < 0 < row["gain_high"]
    assert verdict(high, [0.5, 0.52, 0.51])["verdict"] == HOLDS
    low = [0.5, 0.52, 0.51]
    assert verdict(low, [0.9, 0.92, 0.91])["verdict"] == FAILS, "a rule that fails is asked of nothing else"
    # Seeds differ much, and each gains alike: pairs see what means would not.
    spread = np.array([0.86, 0.88, 0.91, 0.93, 0.96])
    assert verdict(spread, spread - 0.02)["verdict"] == HOLDS


def test_a_condition_that_untrained_models_meet_as_well_is_none():
    low = one_place("distribution", [0.5, 0.52, 0.51], [0.4, 0.42, 0.41])
    for untrained, expected in (([0.5, 0.5, 0.5], CONDITION), ([0.95, 0.96, 0.97], FAILS)):
        centred = one_place("distribution", [0.95, 0.97, 0.96], untrained).assign(space="centred")
        table = judge.judge(pd.concat([low, centred]), (768,)).set_index("claim")
        assert table.loc["distribution", "verdict"] == expected


def test_a_gain_is_taken_from_the_same_seeds_untrained_model():
    table = one_place("task_subset", [0.5, 0.9, 0.7], [0.4, 0.8, 0.6]).sample(frac=1, random_state=0)
    row = judge.judge(table, (768,)).set_index("claim").loc["task_subset"]
    assert [row["gain"], row["gain_low"], row["gain_high"]] == pytest.approx([0.1, 0.1, 0.1])


@pytest.mark.parametrize("good", [True, False])
def test_a_claim_is_harder_to_meet_the_more_high_must_be(good):
    found = measured(good)
    decided = judge.judge(found, (768,)).set_index("claim")["verdict"]
    table = judge.at_thresholds(found, (768,)).set_index(["claim", "number"])["verdict"]
    order = {FAILS: 0, UNDECIDED: 1, CONDITION: 1, NO_MORE: 2, HOLDS: 2}
    for claim, part in table.groupby(level="claim"):
        assert part.sort_index().map(order).is_monotonic_decreasing
        number = next(c.rule.above for c in EVERY if c.key == claim)
        assert table[claim, number] == decided[claim]
    assert {"task_subset", "knn_high", "accuracy_subset"} <= set(table.index.get_level_values("claim"))
    assert "task_rises" not in table.index.get_level_values("claim"), "a change has a number of its own"


def test_every_verdict_has_its_word_in_page_readme_and_figure():
    assert set(VERDICTS) == set(report.CLASSES) == set(readme.PLURAL) == set(VERDICT_COLOURS)
    text = report.TEMPLATE.read_text()
    assert all(f".{name} .verdict" in text for name in report.CLASSES.values())


def test_every_claim_has_its_words_in_figures():
    assert set(CLAIM_TITLES) == {claim.key for claim in EVERY}


def test_the_highest_of_tsne_states_is_also_looked_for_where_the_search_fitted_it():
    tables = made_up(False)
    tables["clustering"]["space"] = tables["clustering"]["space"].replace("centred", "tsne")
    way = {"space": "tsne", "method": "kmeans", "clusters": 1, "definition": "matched", "width": 768, "seed": 0}
    way |= {"reading": "gpt2"}
    found = [way | {"split": "validation", "f1": 0.97}, way | {"split": "subset", "f1": 0.99, "method": "ward"}]
    tables["alternatives"] = pd.DataFrame(found)
    highest = (
        judge.quantities(tables)
        .query("space == 'tsne' and at == 'peak' and model == 'trained'")
        .set_index("claim")["value"]
    )
    assert highest["task_validation"] == 0.97
    assert highest["task_subset"] < 0.95, "another way than the paper's does not count"


def test_quantities_of_a_width_and_reading_come_from_one_table():
    def rows(width, reading, value):
        return {"width": width, "seed": 0, "reading": reading, "claim": "task_subset", "value": value}

    own = pd.DataFrame([rows(768, "gpt2", 1.0), rows(768, "torch", 2.0), rows(32, "gpt2", 3.0)])
    found = judge.joined(own, pd.DataFrame([rows(768, "gpt2", 4.0)]))
    assert found["value"].tolist() == [2.0, 3.0, 4.0]
