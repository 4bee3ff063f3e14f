import errno
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helpers import store


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.json"
    store.write_json(path, {"a": 1})

    def fail_halfway():
        with store.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert store.read_json(path, "") == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_says_so_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    store.write_json(path, {"a": 1})

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(store.ArtefactError, match=r"disk is full .* while writing .*a\.json; free some space"):
        store.write_json(path, {"a": 2})
    monkeypatch.undo()
    assert store.read_json(path, "") == {"a": 1}


def test_missing_broken_and_changed_files_are_named_with_the_remedy(tmp_path):
    with pytest.raises(store.ArtefactError, match=r"x\.json is missing; make it"):
        store.read_json(tmp_path / "x.json", "make it")
    broken = tmp_path / "y.json"
    broken.write_text("{")
    with pytest.raises(store.ArtefactError, match=r"y\.json is not readable JSON"):
        store.read_json(broken, "make it")
    with pytest.raises(store.ArtefactError, match="SHA-256 differs"):
        store.check_file(broken, "0" * 64, "make it")
    assert store.check_file(broken, store.sha256(broken), "") == broken


def test_provenance_names_commit_and_versions():
    found = store.provenance()
    assert found["commit"]
    assert found["versions"]["torch"].startswith("2.")


def test_a_folder_is_locked_for_one_and_swept_of_what_a_killed_process_left(tmp_path):
    left = tmp_path / "deep" / ".a.json.123.tmp"
    left.parent.mkdir()
    left.write_text("half")
    with store.locked(tmp_path):
        assert not left.exists()
        with pytest.raises(store.ArtefactError, match="another process"), store.locked(tmp_path):
            pass
    with store.locked(tmp_path):
        pass


def test_rows_join_a_table_and_only_those_alike_give_way(tmp_path):
    path = tmp_path / "t.csv"
    first = pd.DataFrame({"run": ["0123", "0456", "0456"], "seed": [1, 2, 2], "value": [0.5, 0.25, 0.125]})
    store.add_rows(path, first, ["run", "seed"])
    again = pd.DataFrame({"run": ["0456"], "seed": [2], "value": [0.75]})
    for _ in range(2):
        store.add_rows(path, again.assign(run="456"), ["run", "seed"])  # as a column of numbers is read back
        found = store.read_table(path, "")
        assert found.to_numpy().tolist() == [[123, 1, 0.5], [456, 2, 0.75]]
    store.add_rows(path, again[:0], ["run", "seed"])
    assert len(store.read_table(path, "")) == 2, "nothing new takes nothing away"
    path.write_text(path.read_text().replace("0.75", "0.76"))
    with pytest.raises(store.ArtefactError, match="was changed since"):
        store.add_rows(path, again, ["run", "seed"])


def test_a_sealed_folder_is_refused_with_a_file_more_less_or_other(tmp_path):
    for name in ("a.json", "b.json", ".lock"):
        (tmp_path / name).write_text(name)
    store.seal_folder(tmp_path)
    store.check_folder(tmp_path, "make it again")
    (tmp_path / ".lock").write_text("hidden files do not count")
    store.check_folder(tmp_path, "make it again")
    for change in (
        lambda: (tmp_path / "a.json").write_text("other"),
        (tmp_path / "a.json").unlink,
        lambda: (tmp_path / "c.json").write_text("more"),
        lambda: (tmp_path / store.SUMS).write_text((tmp_path / store.SUMS).read_text().replace("  a", " \ta")),
    ):
        change()
        with pytest.raises(store.ArtefactError, match=r"[ac]\.json .*; make it again"):
            store.check_folder(tmp_path, "make it again")
        (tmp_path / "c.json").unlink(missing_ok=True)
        (tmp_path / "a.json").write_text("a.json")
        store.seal_folder(tmp_path)


def test_nothing_large_is_tracked_by_git():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=store.NATURAL.parent.parent, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: git ls-files needs one")
    paths = [store.NATURAL.parent.parent / name for name in listed.stdout.split("\0") if name]
    assert not [p for p in paths if p.exists() and p.stat().st_size > 2_000_000]


def test_a_relative_root_is_the_same_from_every_folder(tmp_path):
    """A notebook's kernel starts in another folder than the command."""
    ask = "import os; from helpers import store; print(store.ROOT, os.environ['CLM_ROOT'])"
    environment = os.environ | {"CLM_ROOT": "here", "PYTHONPATH": str(store.REPOSITORY)}
    shown = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert shown.split() == [str(tmp_path / "here")] * 2


def test_paths_from_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.located("~/words") == tmp_path / "words"
    assert store.located("words") == store.ROOT / "words"
    assert store.located("/words") == Path("/words")


def test_a_root_that_is_a_file_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(store.ArtefactError, match=r"cannot write into .*file/data"),
        store.locked(tmp_path / "file/data"),
    ):
        pass
    with pytest.raises(store.ArtefactError, match=r"cannot write .*file/data/t\.json"):
        store.write_json(tmp_path / "file/data/t.json", {})


def test_a_folder_that_cannot_be_written_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(store.ArtefactError, match="cannot write into"):
        store.writable(tmp_path / "file" / "inside")
    made = store.writable(tmp_path / "a" / "b")
    assert list(made.iterdir()) == []
