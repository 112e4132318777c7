"""Both notebooks in JupyterLab, in a real browser: no cell fails, the page in a cell answers."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from labkit.machine import paths

NOTEBOOKS = {"01_mnist": "digits", "02_imdb": "reviews"}
TINY = {"preset": "quick", "data_source": "sample", "num_examples": 300, "num_epochs": 1}
PAGE = "from labkit.page import export\n\nexport.show(folder.path, {data})"
SECONDS = 600  # a notebook may take, however slow the machine
TOKEN = "of-this-test"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jupyterlab")


@pytest.fixture(scope="module")
def jupyterlab(folder):
    """Start a JupyterLab on tiny copies of both notebooks, each with a page; yield its URL."""
    for name, data in NOTEBOOKS.items():
        path = paths.CHECKOUT / "notebooks" / f"{name}.ipynb"
        notebook = json.loads(path.read_text(encoding="utf-8"))
        tiny = "\n".join(f"{key} = {value!r}" for key, value in TINY.items())
        (parameters,) = (
            cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])
        )
        for cell in notebook["cells"]:
            cell |= {"outputs": [], "execution_count": None} if "outputs" in cell else {}
        parameters["source"] = "".join(parameters["source"]) + "\n" + tiny
        last = {"cell_type": "code", "id": "page", "metadata": {}, "outputs": []}
        last |= {"execution_count": None, "source": PAGE.format(data=data)}
        if not any("export.show" in "".join(cell["source"]) for cell in notebook["cells"]):
            notebook["cells"].append(last)
        (folder / path.name).write_text(json.dumps(notebook), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--no-browser --port={port} --LabApp.expose_app_in_browser=True --allow-root"
    command = [sys.executable, "-m", "jupyterlab", *options.split()]
    command.append(f"--IdentityProvider.token={TOKEN}")
    home = {"JUPYTER_CONFIG_DIR": "config", "JUPYTERLAB_WORKSPACES_DIR": "spaces"}
    home |= {"JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    here = os.environ | {name: f"{folder / place}" for name, place in home.items()}
    with open(folder / "lab.log", "w") as log:
        here |= {"LABKIT_RUNS": f"{folder / 'runs'}"}
        lab = subprocess.Popen(command, cwd=folder, env=here, stdout=log, stderr=log)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={TOKEN}")
                break
            except OSError:
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/lab/workspaces"
    finally:
        lab.terminate()
        lab.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_in_jupyterlab_and_its_page_answers(jupyterlab, browser, folder, name):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    # a workspace of its own: else JupyterLab opens the other notebook and its page again
    tab.goto(f"{jupyterlab}/{name}/tree/{name}.ipynb?token={TOKEN}")
    tab.locator(".jp-Notebook .jp-Cell").first.wait_for()
    tab.evaluate("jupyterapp.shell.currentWidget.sessionContext.ready")
    run = "jupyterapp.commands.execute('notebook:run-all-cells')"
    tab.evaluate(f"Promise.race([{run}, new Promise((go) => setTimeout(go, {1000 * SECONDS}))])")
    frame = tab.frame_locator("iframe[title='labkit page']")
    frame.locator("#answers tr").first.wait_for()
    tab.evaluate("jupyterapp.commands.execute('docmanager:save')")
    cells = json.loads((folder / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    failed = [cell["source"] for cell in code for output in cell["outputs"] if "ename" in output]
    assert not failed
    picture = tab.locator("img[alt^='A page on which']")
    assert picture.count() == 1 and not picture.is_visible()

    before = frame.locator("#answers").inner_text()
    if name == "01_mnist":
        frame.locator("#clear").click()
        pad = frame.locator("#pad")
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        for k, (x, y) in enumerate([(0.2, 0.2), (0.7, 0.2), (0.4, 0.8)]):
            tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
            if not k:
                tab.mouse.down()
        tab.mouse.up()
    else:
        frame.locator("#sentence").fill("An awful film, and still I liked every minute.")
    frame.locator("#answers tr").first.wait_for()
    tab.wait_for_timeout(1_000)
    assert frame.locator("#answers").inner_text() != before
    context.close()
