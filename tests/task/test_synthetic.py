import os
import re
import subprocess
import sys

import pandas as pd
import pytest

from helpers import store
from helpers.profiles import resolve
from helpers.task import grammar, synthetic


def draw(seed, overrides="", profile="laptop"):
    return synthetic.generate(resolve(profile, overrides).run(768, seed).data)


@pytest.fixture(scope="module")
def paper():
    return draw(0)


@pytest.mark.parametrize("seed", range(6))
def test_sizes_are_table_2s_for_any_seed(seed):
    made = draw(seed)
    assert dict(zip(*synthetic.sizes(made)[["split", "instances"]].T.to_numpy(), strict=True)) == {
        "train": 7300,
        "subset": 180,
        "validation": 315,
    }
    original = made.distributions[~made.distributions["hard"]]
    per_task = original.groupby("task")["distribution"].count()
    assert (len(per_task), len(original), per_task.min() >= 1, per_task.max() <= 6) == (50, 149, True, True)
    hard = made.distributions[made.distributions["hard"]]
    assert (hard["task"].nunique(), len(hard)) == (5, 11)
    validation = made.split("validation")
    assert (validation["task"].nunique(), validation["distribution"].nunique()) == (10, 21)
    subset = made.split("subset")
    assert subset["hard"].mean() == 0.5
    assert subset.loc[~subset["hard"], "task"].nunique() == 5


def test_instructions_match_their_expression_unless_hard(paper):
    expression = paper.distributions.set_index("distribution")["expression"]
    for i in paper.instances.drop_duplicates("instruction_id").itertuples():
        assert bool(re.fullmatch(expression[i.distribution], i.instruction)) is not i.hard


def test_no_instruction_has_two_tasks_and_no_split_leaks(paper):
    i = paper.instances
    assert (i.groupby("instruction")["task"].nunique() == 1).all()
    assert (i.groupby("instruction")["split"].nunique() == 1).all()
    assert not i.duplicated(["instruction", "input"]).any()
    validation = paper.split("validation")
    assert set(validation["mapping"]) <= set(paper.split("train")["mapping"])
    assert not validation["hard"].any()


def test_tasks_are_functions_that_share_no_mapping(paper):
    mappings = paper.instances.drop_duplicates("mapping")
    assert not mappings.duplicated(["input", "output"]).any()
    assert not mappings.duplicated(["task", "input"]).any()
    assert (mappings.groupby("task").size() == 5).all()
    assert (mappings["input"] != mappings["output"]).all()
    assert (paper.instances.groupby("distribution")["task"].nunique() == 1).all()


def test_inputs_are_shared_by_many_tasks(paper):
    shared = synthetic.tasks_per_input(paper)
    assert len(shared) == 25
    assert shared.min() >= 5


@pytest.mark.parametrize("replacement", ["instruction", "task"])
def test_hard_examples_have_the_inputs_of_their_originals_and_other_outputs(replacement):
    data = draw(0, f"data.hard_replacement={replacement}")
    pairs = synthetic.hard_pairs(data)
    assert len(pairs) == 33
    assert (pairs["symbols_changed"] >= 1).all()
    if replacement == "instruction":
        assert (pairs["symbols_changed"] == 1).all(), "one word for a task stands for a symbol wherever that occurs"
    functions = data.instances.drop_duplicates("mapping").groupby("task")
    for old, new in set(zip(pairs["original_task"], pairs["hard_task"], strict=True)):
        a, b = (functions.get_group(t).set_index("input")["output"] for t in (old, new))
        assert set(a.index) == set(b.index)
        assert (a != b.loc[a.index]).all()


def test_one_word_signals_a_hard_task_if_asked_for():
    data = draw(0, "data.hard_replacement=task")
    assert synthetic.sizes(data)["instances"].tolist() == [7300, 180, 315]
    expression_of = data.distributions.set_index("distribution")["expression"]
    first = data.instances.drop_duplicates("instruction_id").set_index("instruction_id")
    for _, part in first[first["hard"]].groupby("task"):
        originals = first.loc[part["original"]]
        changes = [
            {(a, b) for a, b in zip(*pair, strict=True) if a != b}
            for pair in zip(originals["instruction"], part["instruction"], strict=True)
        ]
        assert all(len(change) == 1 for change in changes), "one word, wherever it stands"
        (new,) = {b for change in changes for _, b in change}
        words = {expression.replace("{1,2}", "") for expression in part["distribution"].map(expression_of)}
        assert not any(new in word for word in words)
    assert first["instruction"].is_unique


def test_subset_holds_hard_instructions_beside_their_originals(paper):
    subset = paper.split("subset")
    hard = subset[subset["hard"]]
    assert set(hard["original"]) == set(subset.loc[~subset["hard"], "instruction_id"])
    assert (subset["split"] == "train").all()


def test_seeds_differ_and_repeat():
    assert draw(1).content == draw(1).content != draw(2).content


def test_the_same_bytes_whatever_the_hash_seed(tmp_path):
    code = (
        "from helpers import store; from helpers.task import synthetic; from helpers.profiles import resolve;"
        "d = synthetic.save(synthetic.generate(resolve('laptop').run(768, 3).data));"
        "print(*(store.sha256(d / f'{n}.parquet') for n in ('instances', 'distributions')))"
    )
    found = set()
    for hash_seed in ("1", "77"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "CLM_ROOT": str(tmp_path / hash_seed)}
        found.add(subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True).stdout)
    assert len(found) == 1


def test_round_trip_and_refusal_of_changed_files(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DATA", tmp_path)
    made = draw(0, profile="smoke")
    with pytest.raises(store.ArtefactError, match=r"missing.*make reproduce"):
        synthetic.load(made.settings)
    folder = synthetic.save(made)
    read = synthetic.load(made.settings)
    pd.testing.assert_frame_equal(read.instances, made.instances)
    manifest = store.read_json(folder / "manifest.json", "")
    assert {"seed", "settings", "content", "commit", "versions", "files"} <= set(manifest)
    path = folder / "instances.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(store.ArtefactError, match=r"instances\.parquet was changed"):
        synthetic.load(made.settings)


def test_many_times_more_tasks_and_instructions():
    made = draw(
        0,
        "data.number_of_tasks=250 data.distributions=750 data.task_vocabulary_size=50 "
        "data.instructions_per_distribution=20 data.instruction_vocabulary_size=200",
    )
    assert made.instances.loc[~made.instances["hard"], "task"].nunique() == 250
    assert made.instances["instruction"].nunique() == 750 * 20 + 33


def test_a_tight_vocabulary_works_or_says_what_ran_out():
    made = draw(0, "data.number_of_tasks=25 data.distributions=80 data.task_vocabulary_size=16")
    assert not made.instances.drop_duplicates("mapping").duplicated(["input", "output"]).any()
    with pytest.raises(grammar.GrammarError, match=r"no output left.*data\.task_vocabulary_size=13"):
        draw(0, "data.number_of_tasks=25 data.distributions=80 data.task_vocabulary_size=13")


def test_surface_measures(paper):
    assert 0 <= synthetic.ambiguous_share(paper) < 0.1
    assert synthetic.surface_accuracy(paper) > 0.8
