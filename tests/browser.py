"""A headless Chromium for tests that look at pages, and a JupyterLab for it; Debian's, driven by Playwright."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

FLAGS = (
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",  # WebGL without a GPU
)  # fmt: skip
TOKEN = "clm"
LONG = 120  # seconds that a busy machine may take for what is there in one otherwise
IDLE = "explorer.wait().stage.sender.idle"  # the browser has drawn all that an explorer is to show


def chromium() -> str:
    """The browser's path; skips the test, saying how to get one, where there is none."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium (or any Chrome on the PATH) runs this test")
    return path


@contextlib.contextmanager
def browsing(**context):
    """A page, and the list of what goes wrong on it: errors in the console, exceptions, failed requests."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_context(**context).new_page()
        page.set_default_timeout(1000 * LONG)
        problems: list[str] = []
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: problems.append(f"{e} {e.stack}"))
        page.on("requestfailed", lambda r: problems.append(f"{r.url} {r.failure}"))
        try:
            yield page, problems
        finally:
            browser.close()


@contextlib.contextmanager
def jupyterlab(folder: Path):
    """A JupyterLab server on the notebooks of a folder, with this environment; gives its address."""
    config = folder / ".jupyter"
    (config / "labconfig").mkdir(parents=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}  # it asks a server for news
    (config / "labconfig" / "page_config.json").write_text(json.dumps(quiet))
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--port=0", f"--IdentityProvider.token={TOKEN}",
        "--expose-app-in-browser", "--allow-root", f"--notebook-dir={folder}",
    ]  # fmt: skip
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(config), "JUPYTER_RUNTIME_DIR": str(config / "runtime")}
    environment.pop("CLM_HEADLESS", None)
    with open(folder / "jupyterlab.log", "w") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            about = config / "runtime" / f"jpserver-{server.pid}.json"  # the server says there which port it took
            for _ in range(4 * LONG):
                with contextlib.suppress(OSError, ValueError):
                    address = f"http://127.0.0.1:{json.loads(about.read_text())['port']}"
                    with urllib.request.urlopen(f"{address}/api?token={TOKEN}"):
                        break
                time.sleep(0.25)
            else:
                pytest.fail((folder / "jupyterlab.log").read_text()[-2000:])
            yield address
        finally:
            server.terminate()
            server.wait(LONG)


class Notebook:
    """A notebook open in JupyterLab: run its cells, and ask its kernel."""

    def __init__(self, page, address: str, folder: Path, name: str, *cells: str) -> None:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, folder / name)
        self.page = page
        page.goto(f"{address}/lab/tree/{name}?token={TOKEN}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.sessionContext")
        self.do("application:toggle-left-area")

    def do(self, command: str) -> None:
        """Run a command of JupyterLab, by its name."""
        self.page.evaluate(
            """async command => {
                await window.jupyterapp.shell.currentWidget.sessionContext.ready;
                await window.jupyterapp.commands.execute(command);
            }""",
            command,
        )

    def restart(self) -> None:
        """Restart the kernel, and wait for the new one."""
        kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        self.page.evaluate(f"() => {kernel}.restart()")
        self.page.wait_for_function(f"() => {kernel}.status === 'idle' && {kernel}.connectionStatus === 'connected'")

    def frames(self, count: int) -> None:
        """Wait until the page has drawn so many frames."""
        self.page.evaluate(
            """async count => {
                for (let i = 0; i < count; i++) await new Promise(requestAnimationFrame);
            }""",
            count,
        )

    def ask(self, expression: str):
        """The value of an expression in the kernel, through JSON."""
        reply = self.page.evaluate(
            """async expression => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({
                    code: '', silent: true, store_history: false, user_expressions: { value: expression } });
                return (await future.done).content.user_expressions.value;
            }""",
            f"__import__('json').dumps({expression})",
        )
        assert reply["status"] == "ok", reply
        return json.loads(json.loads(_literal(reply["data"]["text/plain"])))

    def shows(self, *texts: str) -> None:
        """Wait until the page shows the texts in the notebook's output: it hears of a change after the kernel."""
        for text in texts:
            self.page.locator(".jp-OutputArea").first.filter(has_text=text).wait_for()

    def until(self, expression: str, seconds: float = LONG):
        """Wait until an expression in the kernel is true; returns its value."""
        end = time.monotonic() + seconds
        while not (value := self.ask(expression)):
            assert time.monotonic() < end, f"{expression} stayed {value!r}"
            time.sleep(0.1)
        return value


def _literal(text: str) -> str:
    """A Python string literal, as the kernel shows it, as JSON."""
    import ast

    return json.dumps(ast.literal_eval(text))
