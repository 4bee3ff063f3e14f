import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import artefacts
import pandas as pd
import pytest
from browser import browsing
from pool_tasks import note_stage

from helpers import fingerprint, store
from helpers.explorer import sources
from helpers.pretrained import default_model
from helpers.pretrained.probe import open_probe
from helpers.profiles import PROFILES, resolve
from helpers.running import copies, execute, job, reproduce, stages
from helpers.settings import DataSettings
from helpers.tables import TABLES, columns
from helpers.task import synthetic
from helpers.verdict import report

ROOT = store.REPOSITORY
FOLDER = Path("no-tables-yet")
SWEPT = {name for names in stages.FROM_SWEEPS.values() for name in names}  # by other commands


def make(root, *arguments):
    command = [sys.executable, "-m", "helpers.running.reproduce", *arguments]
    environment = os.environ | {"CLM_ROOT": str(root)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The whole smoke profile, from nothing."""
    root = tmp_path_factory.mktemp("smoke")
    result = make(root, "--profile", "smoke")
    assert result.returncode == 0, result.stdout + result.stderr
    return root


def test_every_table_and_figure_is_made_and_a_second_call_does_nothing(smoke):
    tables = {path.stem: pd.read_csv(path) for path in (smoke / "data/smoke/tables").glob("*.csv")}
    assert set(tables) == set(TABLES) - {"bench", "latency", "claims_outputs", "gpu_checks", "gpu_runs", *SWEPT}
    for name, table in tables.items():
        assert list(table) == columns(name)
        assert len(table)
    figures = list((smoke / "figures/smoke").glob("*.svg"))
    assert len(figures) > 10
    assert all(path.with_suffix(".png").stat().st_size > 5000 for path in figures)
    assert {p.stem for p in (smoke / "data/smoke/notebooks").glob("*.ipynb")} == set(stages.STAGES)
    assert (smoke / "data/smoke/report.html").exists()
    again = make(smoke, "--profile", "smoke")
    assert again.stdout.count("up to date") == len(stages.STAGES)
    assert "report: data/smoke/report.html" in again.stdout


@pytest.mark.parametrize("width", [1200, 380])
def test_the_report_is_whole_in_a_browser(smoke, width):
    """On a desk and on a phone: nothing fails, every figure is drawn, every link leads somewhere."""
    path = smoke / "data/smoke/report.html"
    with browsing(viewport={"width": width, "height": 900}) as (page, problems):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert problems == []
        drawn = page.eval_on_selector_all("img", "all => all.map(i => [i.alt, i.naturalWidth, i.clientWidth])")
        assert len(drawn) > 5
        for alt, natural, shown in drawn:
            assert len(alt) > 10
            assert natural > 100
            assert shown > 100
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing hangs over the side"
        for link in page.eval_on_selector_all("a", "all => all.map(a => a.getAttribute('href'))"):
            if link.startswith("#"):
                assert page.locator(f"[id='{link[1:]}']").count() == 1, link
            elif "://" not in link:
                target = (path.parent / link).resolve().relative_to(smoke.resolve())
                assert (ROOT / target).exists(), link
        rows = page.locator(".claims tbody tr").count()
        assert rows == len(pd.read_csv(smoke / "data/smoke/tables/claims.csv"))
        headings = page.locator("h3, ul.missing li").all_inner_texts()  # what the profile does not make is listed
        for n in range(1, 9):
            assert any(h.startswith(f"Figure {n}:") for h in headings)
        for n in range(1, 8):
            assert any(h.startswith(f"Table {n}") for h in headings)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
        page.emulate_media(media="print")
        assert page.locator(".claims tbody tr").last.is_visible(), "statements that are folded away are printed"


def test_two_at_once_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    with store.locked(tmp_path / "data/smoke/logs"):
        assert reproduce.main(["--profile", "smoke"]) == 1
    assert "another process is working on" in capsys.readouterr().err


@pytest.fixture
def job_of_made_up_notebooks(tmp_path, monkeypatch):
    """A job whose notebooks note when they ran; and what they noted."""
    noted = {}
    monkeypatch.setattr(job, "_run", note_stage)
    monkeypatch.setattr(job.Job, "_note", lambda _, stage, facts: noted.update({stage: facts}) or "done")
    return job.Job(resolve("smoke"), tmp_path, "smoke", "", force=True), noted


@pytest.mark.parametrize("together", [1, 3])
def test_a_notebook_begins_when_those_it_needs_have_ended(job_of_made_up_notebooks, together):
    made, noted = job_of_made_up_notebooks
    assert made.run(list(stages.STAGES), together) == list(stages.STAGES)
    for name, stage in stages.STAGES.items():
        assert all(noted[need]["ended"] < noted[name]["began"] for need in stage.needs)


def test_what_does_not_need_a_failed_notebook_is_done(job_of_made_up_notebooks, tmp_path):
    made, noted = job_of_made_up_notebooks
    (tmp_path / "05_probe_llms.fails").touch()
    with pytest.raises(ValueError, match="05_probe_llms cannot be"):
        made.run(list(stages.STAGES), 2)
    assert set(stages.STAGES) - set(noted) == {"05_probe_llms", "06_explore", "10_verdict"}


def test_failures_of_notebooks_are_told_together(tmp_path):
    found = job._all_of({"a": execute.NotebookError("a: no"), "b": execute.NotebookError("b: no")}, ["c", "d"])
    assert isinstance(found, execute.NotebookError)
    assert str(found).splitlines() == ["a: no", "b: no", "not run: c, d"]


def test_the_time_left_is_that_of_the_longest_chain_or_of_the_work(tmp_path):
    made = job.Job(resolve("smoke"), tmp_path, "smoke", "", force=True)
    made.expected = dict.fromkeys(stages.STAGES, 60.0)
    assert made._left(list(stages.STAGES), {}, 1) == 600
    assert made._left(list(stages.STAGES), {}, 9) == 300, "01, 02, 03, 09, 10"
    assert made._left(["09_readings", "10_verdict"], {"03_clustering": 45.0}, 2) == 135
    assert made._left([], {"10_verdict": 90.0}, 2) == 0, "longer than expected"
    del made.expected["10_verdict"]
    assert made._left(["10_verdict"], {}, 1) is None


def test_the_time_of_a_run_from_nothing_is_that_of_the_settings_as_they_are(tmp_path):
    (tmp_path / "tables").mkdir()
    short, long = (resolve("laptop", f"training.stop_epoch={epochs}") for epochs in (20, 30))
    for settings, seconds, kept in ((long, 50.0, 50.0), (long, 9.0, 50.0), (short, 20.0, 20.0), (short, 30.0, 30.0)):
        reproduce._note_whole(settings, tmp_path, seconds, 2)
        (facts,) = store.read_json(tmp_path / "tables" / "whole.json", "").values()
        assert facts["seconds"] == kept


def test_the_time_of_a_notebook_from_nothing_is_that_of_the_settings_as_they_are(tmp_path):
    (tmp_path / "tables").mkdir()
    short, long = (resolve("laptop", f"training.stop_epoch={epochs}") for epochs in (20, 30))
    for settings, seconds, kept in ((long, 50.0, 50.0), (long, 9.0, 50.0), (short, 20.0, 20.0), (short, 30.0, 30.0)):
        job._note_provenance(tmp_path, "02_train", {"seconds": seconds, "work": {}}, settings)
        assert job._expected(tmp_path, "laptop") == {"02_train": kept}


def test_the_committed_tables_are_whole(committed):
    folder = committed / "data/laptop/tables"
    for name in set(TABLES) - SWEPT - {"gpu_checks", "gpu_runs"}:
        assert list(pd.read_csv(folder / f"{name}.csv")) == columns(name)
    made = json.loads((folder / "provenance.json").read_text())
    assert made.pop(store.SEAL)
    assert set(stages.STAGES) - set(made) <= {"06_explore"}  # it makes pictures, no table
    assert not any("changes" in facts["commit"] for facts in made.values())
    figures = {p.stem for p in (committed / "figures/laptop").glob("*.svg")}
    assert {s for f in report.OF_PAPER[:4] for s in f.stems} <= figures


LINKED = re.compile(r"\(data/laptop/notebooks/(\w+)\.ipynb\)")
MEGABYTE = 2**20


def test_committed_notebooks_are_linked_and_of_the_committed_tables_run(committed):
    """README links the executed copies that are there, and no other; each is of the run that made the tables."""
    folder = committed / "data/laptop/notebooks"
    copies_there = {path.stem: path for path in folder.glob("*.ipynb") if path.stem in stages.STAGES}
    linked = set(LINKED.findall((committed / "README.md").read_text()))
    assert linked == set(copies_there), "README's list of notebooks links what is committed, and no more"
    said = [copies.stale(path, committed / "data/laptop/tables") for path in copies_there.values()]
    assert not any(said), said
    assert all(path.stat().st_size < MEGABYTE for path in copies_there.values())


def test_executed_copies_are_text_and_pictures_of_the_tables_run(smoke):
    for name in stages.STAGES:
        path = smoke / f"data/smoke/notebooks/{name}.ipynb"
        assert copies.stale(path, smoke / "data/smoke/tables") == ""
        assert path.stat().st_size < 2 * MEGABYTE, "two widths; the laptop profile has one"
        text = path.read_text()
        assert not [word for word in (str(smoke), str(ROOT), "\\u001b", "jupyter.widget", "\r") if word in text]
        kinds = {k for cell in json.loads(text)["cells"] for o in cell.get("outputs", ()) for k in o.get("data", ())}
        assert kinds <= set(copies.KINDS)
    assert "image/png" in kinds, "the verdict shows its figures"


def test_git_takes_the_laptops_executed_notebooks_alone():
    if not (ROOT / ".git").exists():
        pytest.skip("a download without git")
    names = ["01_generate_data.ipynb", "01_generate_data.json", "01_generate_data.outputs.json"]
    names += [f"01_generate_data.{state}.ipynb" for state in ("failed", "running")]
    paths = [f"data/{profile}/notebooks/{name}" for profile in PROFILES for name in names]
    ignored = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert set(paths) - set(ignored) == {"data/laptop/notebooks/01_generate_data.ipynb"}


def test_make_clean_keeps_what_is_committed(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    kept = ["data/laptop/notebooks/03_clustering.ipynb", "data/laptop/tables/t.csv", "figures/laptop/f.svg"]
    gone = ["data/laptop/notebooks/03_clustering.json", "data/laptop/notebooks/03_clustering.failed.ipynb"]
    gone += [
        "data/paper/notebooks/03_clustering.ipynb",
        "data/smoke/tables/t.csv",
        "data/laptop--seed-7/notebooks/n.ipynb",
    ]
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    subprocess.run(["make", "-s", "clean"], cwd=tmp_path, check=True)
    assert [name for name in (*kept, *gone) if (tmp_path / name).exists()] == kept


def test_a_report_of_nothing_says_what_to_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store, "DATA", tmp_path)
    assert report.main(["--profile", "smoke"]) == 1
    assert "make reproduce PROFILE=smoke" in capsys.readouterr().err


def test_a_lost_table_reruns_its_notebook_alone(smoke):
    (smoke / "data/smoke/tables/grammar.csv").unlink()
    result = make(smoke, "--profile", "smoke")
    assert result.stdout.count("up to date") == len(stages.STAGES) - 1
    assert "01_generate_data: done" in result.stdout
    assert (smoke / "data/smoke/tables/grammar.csv").exists()


def test_overrides_write_beside_the_profile_and_share_its_runs(smoke):
    trained = {p.name for p in (smoke / "data/runs").iterdir()}
    result = make(smoke, "--profile", "smoke", "--set", "neighbours.k=5", "--only", "02_train")
    assert result.returncode == 0, result.stderr
    (folder,) = (smoke / "data").glob("smoke--neighbours.k-5-*")
    assert (folder / "tables/training.csv").exists()
    assert {p.name for p in (smoke / "data/runs").iterdir()} == trained
    assert not (folder / "tables/clustering.csv").exists(), "03 was not asked for"


def test_the_controls_of_the_data_can_be_looked_at(smoke):
    """Settings under which what notebook 01 asserts of the task cannot be so."""
    controls = "data.shuffled_outputs=true data.train_on_hard_examples=false"
    result = make(smoke, "--profile", "smoke", "--set", controls, "--only", "01_generate_data")
    assert result.returncode == 0, result.stderr


def test_a_table_that_nobody_can_check_is_lost(smoke):
    """SHA256SUMS or provenance.json gone: readers refuse the tables, so their notebooks run again."""
    manifest = smoke / "data/smoke/notebooks/04_knn.json"
    known, said = json.loads(manifest.read_text()), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "ROOT", smoke)
        assert stages.up_to_date("04_knn", manifest, known["key"], said.append)
        for name in (store.SUMS, "provenance.json"):
            path = smoke / "data/smoke/tables" / name
            before = path.read_bytes()
            path.unlink()
            assert not stages.up_to_date("04_knn", manifest, known["key"], said.append)
            path.write_bytes(before)
        assert stages.up_to_date("04_knn", manifest, known["key"], said.append)
    assert ["neighbours.csv" in said[0], "provenance.json" in said[1]] == [True, True]


def test_provenance_is_written_beside_the_tables(smoke):
    found = json.loads((smoke / "data/smoke/tables/provenance.json").read_text())
    assert found.pop(store.SEAL)
    assert set(found) == set(stages.STAGES)
    assert all({"commit", "seconds", "seeds", "versions"} <= set(facts) for facts in found.values())


def one_run(path):
    """The source of the run whose file this is, opened anew."""
    return sources.open_folder(next(p for p in path.parents if p.parent.name == "runs"))


def data_set(path):
    manifest = store.read_json(path.with_name("manifest.json"), "run it again")
    synthetic.load(DataSettings(**manifest["settings"]))


def table(path):
    """A table, or all that stand in a folder's SHA256SUMS."""
    paths = [path] if path.suffix == ".csv" else path.parent.glob("*.csv")
    return [store.read_table(p, "make it again") for p in paths]


def of_notebooks(path):
    """What decides whether a notebook runs again."""
    profile = path.relative_to(store.ROOT).parts[1]
    for manifest in store.DATA.glob(f"{profile}/notebooks/*.outputs.json"):
        own = manifest.with_name(manifest.name.replace(".outputs", ""))
        known = store.known_json(own)
        if path in ([own] if known is None else stages.lost(known)):
            raise store.ArtefactError(f"{path} was changed")


def coordinates(path):
    method, split, space, layer, _ = path.stem.split("-")
    folder = path.parents[1]
    sources.open_folder(folder).coordinates(split, int(layer.removeprefix("layer")), space, method)


# Every kind of file that a run leaves, and what reads it; None where no command does.
READERS = {
    "data/*/*/.lock": None,  # empty, as is the next
    "data/*/*/.SHA256SUMS.lock": None,
    "data/datasets/*/*": data_set,
    "data/runs/*/*.json": one_run,
    "data/runs/*/epochs/*.safetensors": lambda path: one_run(path).run.record(int(path.stem)),
    "data/runs/*/checkpoints/*.safetensors": lambda path: one_run(path).run.model(path.name.split("-")[0]),
    "data/runs/*/clustering/*/*.json": lambda path: one_run(path).known_scores(),
    "data/*/*/explorer/*.safetensors": coordinates,
    "data/probes/*/layers-*.csv": lambda path: sources.open_folder(path.parent).known_scores(),
    "data/probes/*/SHA256SUMS": lambda path: sources.open_folder(path.parent).known_scores(),
    "data/probes/*/*": lambda path: open_probe(path.parent).solved(),
    "data/models/*/[!.]*": lambda path: default_model.default_folder(),
    "data/smoke*/tables/whole.json": lambda path: store.read_json(path, "run it again"),
    "data/smoke*/tables/provenance.json": lambda path: store.read_json(path, "run it again"),
    "data/smoke*/tables/*": table,
    "data/smoke*/notebooks/*.outputs.json": lambda path: store.read_json(path, "run it again"),
    "data/smoke*/notebooks/*": of_notebooks,
    "figures/smoke*/*": of_notebooks,
    "data/smoke*/report.html": None,  # a page for people, written anew by make report
    "data/smoke*/logs/*": None,  # for people
}  # fmt: skip


def test_a_flipped_bit_in_any_kind_of_file_is_found(smoke, monkeypatch):
    """One bit at a time, at random places of one file of each kind; what is found names the file or its folder."""
    monkeypatch.setattr(store, "ROOT", smoke)
    monkeypatch.setattr(store, "DATA", smoke / "data")
    rng, kinds = random.Random(0), {}
    for path in sorted(p for folder in ("data", "figures") for p in (smoke / folder).rglob("*") if p.is_file()):
        name = path.relative_to(smoke)
        kind = next((k for k in READERS if name.match(k)), None)
        assert kind, f"{name} is of no known kind: add it to READERS"
        kinds.setdefault((kind, path.suffix), []).append(path)
    assert {kind for kind, _ in kinds} == set(READERS), "a kind that no run leaves any more"
    silent, counts = [], []
    for (kind, ending), paths in kinds.items():
        path, read = rng.choice(paths), READERS[kind]
        if read is None:
            counts.append(artefacts.Kind(kind, ending, 0, 0))
            continue
        assert not artefacts.complaint(read, path), "as it is, it is read in silence"
        missed = artefacts.flip(rng, path, read)
        counts.append(artefacts.Kind(kind, ending, artefacts.FLIPS, artefacts.FLIPS - len(missed)))
        silent += missed
    artefacts.note(counts)
    assert not silent


def test_a_flipped_bit_in_any_committed_table_or_its_provenance_is_found(committed, monkeypatch):
    rng, silent = random.Random(0), []
    for path in sorted((committed / "data/laptop/tables").iterdir()):
        read = store.known_json if path.suffix == ".json" else table
        assert not artefacts.complaint(read, path), "as it is, it is read in silence"
        silent += artefacts.flip(rng, path, read)
    assert not silent


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "labtop"], ["unknown profile 'labtop'", "laptop"]),
        (["--set", "sead=1"], ["unknown setting 'sead'", "seed"]),
        (["--set", "training.learning_rate=0"], ["training.learning_rate=0", "greater than 0"]),
        (["--set", "clustering.spaces=raw"], ["clustering.spaces=raw", "centred", "make sweep"]),
        (["--set", "training.device=foo"], ["'foo'", "cuda"]),
        (["--set", "probe.device=cuda:99"], ["'cuda:99'", "device=auto"]),
        (["--set", "probe.data=/nonexistent"], ["/nonexistent", "data/README.md"]),
        (["--set", "probe.pairs_per_task=100000"], ["100000"]),
    ],
)
def test_bad_requests_end_at_once_with_the_remedy(tmp_path, arguments, words):
    result = make(tmp_path, *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_setting_reruns_what_depends_on_it():
    base = stages.keys(resolve("laptop"), FOLDER)

    def changed(overrides):
        now = stages.keys(resolve("laptop", overrides), FOLDER)
        return {name for name in base if now[name] != base[name]}

    assert changed("neighbours.k=5") == {"04_knn", "10_verdict"}
    of_clusters = {"03_clustering", "06_explore", "07_controls", "09_readings", "10_verdict"}
    assert changed("clustering.n_init=3") == changed("tsne.perplexity=9") == of_clusters
    assert changed("training.learning_rate=1e-3") == set(base) - {"01_generate_data", "05_probe_llms"}
    assert changed("data.max_repeats=3") == set(base) - {"05_probe_llms"}
    assert changed("seed=1") == set(base) - {"05_probe_llms"}
    assert changed("probe.n_init=9") == {"05_probe_llms", "06_explore", "10_verdict"}


def test_a_helper_reruns_the_notebooks_that_import_it(monkeypatch):
    base = stages.keys(resolve("laptop"), FOLDER)
    real = fingerprint._known

    def changed(module):
        monkeypatch.setattr(fingerprint, "_known", lambda n: (real(n)[0], "changed") if n == module else real(n))
        now = stages.keys(resolve("laptop"), FOLDER)
        monkeypatch.setattr(fingerprint, "_known", real)
        return {name for name in base if now[name] != base[name]}

    of_a_run = set(base) - {"01_generate_data", "05_probe_llms"}
    assert changed("analysis.neighbours") == {"04_knn", "05_probe_llms", "06_explore", "10_verdict"}
    assert changed("pretrained.observe") == {"05_probe_llms", "06_explore", "10_verdict"}
    assert changed("analysis.clustering") == set(base) - {"01_generate_data", "02_train", "04_knn"}
    assert changed("analysis.controls") == {"07_controls"}
    assert changed("gpt.train") == of_a_run
    assert changed("explorer.app") == {"06_explore"}
    assert changed("verdict.judge") == of_a_run - {"02_train", "04_knn"}  # 03 judges too
    assert changed("findings.neighbours") == {"04_knn", "10_verdict"}
    assert changed("benchmarks.speed") == set()


@pytest.mark.parametrize("place", ["{}/words", "~/words"])
def test_a_changed_word_pair_reruns_the_probe_and_what_shows_it(tmp_path, monkeypatch, place):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(store.NATURAL, tmp_path / "words")
    settings = resolve("laptop", f"probe.data={place.format(tmp_path)}")
    before = stages.keys(settings, FOLDER)
    pairs = tmp_path / "words/linguistic/antonyms.json"
    pairs.write_text(pairs.read_text().replace("}", ', "thick": "thin"}'))
    after = stages.keys(settings, FOLDER)
    assert {name for name in before if before[name] != after[name]} == {
        "05_probe_llms",
        "06_explore",
        "10_verdict",
    }


@pytest.mark.parametrize(
    ("table", "rerun"), [("quantities", {"10_verdict"}), ("readings", {"09_readings", "10_verdict"})]
)
def test_a_table_of_sweeps_reruns_what_reads_it(tmp_path, table, rerun):
    settings = resolve("laptop")
    before = stages.keys(settings, tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / f"{table}.csv").write_text("width,seed\n")
    after = stages.keys(settings, tmp_path)
    assert {name for name in before if before[name] != after[name]} == rerun


def test_make_lists_its_targets_with_help():
    shown = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("reproduce", "test", "lab", "bench", "clean", "help"):
        assert f"  {target} " in shown
    assert "PROFILE is now laptop" in shown


def test_pins_have_one_source():
    """environment.yml installs requirements.lock, which satisfies pyproject.toml."""
    import tomllib

    from packaging.requirements import Requirement

    assert "-r requirements.lock" in (ROOT / "environment.yml").read_text()
    lines = [x for x in (ROOT / "requirements.lock").read_text().splitlines() if x and not x.startswith("#")]
    assert all("==" in line for line in lines)
    pins = {}
    for requirement in map(Requirement, lines):
        if requirement.marker is None:
            pins[requirement.name] = next(iter(requirement.specifier)).version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert all("==" in text for text in extras.pop("bench")), "not in the lock, so pinned where it stands"
    for text in itertools.chain(project["dependencies"], *extras.values()):
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[wanted.name]), wanted.name
