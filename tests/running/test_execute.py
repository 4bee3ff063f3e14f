import nbformat
import pytest

from helpers.running.execute import NotebookError, _check_complete, run


def make(path, *code):
    cells = [nbformat.v4.new_code_cell("value = 1", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in code]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def execute(tmp_path, *code, **parameters):
    source = make(tmp_path / "n.ipynb", *code)
    target, log = tmp_path / "out" / "n.ipynb", tmp_path / "logs" / "n.log"
    run(source, target, log, parameters)
    return target, log


def test_a_notebook_runs_with_its_parameters_and_logs_what_it_prints(tmp_path, capfd):
    target, log = execute(tmp_path, "print('twice', 2 * value)", value=21)
    assert "twice 42" in log.read_text()
    assert nbformat.read(target, 4).cells[-1].outputs
    assert capfd.readouterr() == ("", ""), "what a kernel says goes to the log"


def test_a_failing_cell_keeps_the_notebook_and_names_everything(tmp_path):
    with pytest.raises(NotebookError) as error:
        execute(tmp_path, "1 / 0")
    for word in ("n.ipynb failed", "ZeroDivisionError", "n.failed.ipynb", "n.log"):
        assert word in str(error.value)
    assert (tmp_path / "out" / "n.failed.ipynb").exists()
    assert not (tmp_path / "out" / "n.ipynb").exists()
    assert not (tmp_path / "out" / "n.running.ipynb").exists()


def test_a_failure_leaves_an_earlier_success_alone_and_a_success_clears_the_failure(tmp_path):
    target, _ = execute(tmp_path, "print('good')")
    before = target.read_bytes()
    with pytest.raises(NotebookError):
        execute(tmp_path, "raise ValueError('bad')")
    assert target.read_bytes() == before
    execute(tmp_path, "print('good')")
    assert not target.with_name("n.failed.ipynb").exists()


def test_a_killed_kernel_is_a_failure(tmp_path):
    with pytest.raises(NotebookError, match=r"n\.ipynb failed"):
        execute(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "print('never')")
    assert not (tmp_path / "out" / "n.ipynb").exists()


def test_unknown_parameters_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(NotebookError, match="no parameter vlaue; it has value"):
        execute(tmp_path, "print(value)", vlaue=2)
    assert not (tmp_path / "out").exists()


def test_a_cell_that_never_ran_is_noticed(tmp_path):
    path = make(tmp_path / "n.ipynb", "print(1)")
    with pytest.raises(NotebookError, match="cell 1 never ran"):
        _check_complete(path)


def test_a_kernel_takes_no_port_of_the_machine(tmp_path):
    target, _ = execute(tmp_path, "from ipykernel import get_connection_info\nprint(get_connection_info())")
    text = nbformat.read(target, 4).cells[-1].outputs[0].text
    assert '"transport": "ipc"' in text
    assert '"transport": "tcp"' not in text


def test_a_kernel_that_dies_at_its_start_says_why(tmp_path, monkeypatch):
    profile = tmp_path / "profile_default"
    profile.mkdir()
    (profile / "ipython_kernel_config.py").write_text(
        "import os, sys\nprint('no room for a kernel', file=sys.stderr, flush=True)\nos._exit(3)\n"
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    with pytest.raises(NotebookError, match=r"(?s)Kernel died.*no room for a kernel.*n\.log"):
        execute(tmp_path, "print('never')")
