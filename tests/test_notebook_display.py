"""What a notebook shows, in a real kernel: figures that everybody has, and cells as they are."""

import io

import nbclient
import nbformat
import numpy as np
import pytest
from matplotlib import colors
from matplotlib import pyplot as plt
from PIL import Image

from labkit import figures, notebook_display

CELL = """
import pandas
from labkit import figures
ax = figures.length_histogram([5, 500], 500).axes[0]
ax.set_title("a < b")
pandas.DataFrame({"text": ["x" * 60]})
"""


@pytest.mark.parametrize("backend", ["Agg", "module://ipykernel.pylab.backend_inline"])
def test_figures_and_cells_are_whole_whatever_the_environment_says(backend, monkeypatch):
    """Reference: nbformat's names of kinds; a screen reader is given the `alt` of HTML only."""
    monkeypatch.setenv("MPLBACKEND", backend)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.execute(notebook, kernel_name="python3")
    outputs = [output.data for output in notebook.cells[0].outputs if "data" in output]
    (figure,) = (data for data in outputs if "image/png" in data)
    alt = "words in a review (≥ 1200: 1200), reviews, a &lt; b, cut at 500"
    assert figure["text/html"].startswith(f'<img alt="{alt}" src="data:image/png;base64,')
    assert figure["image/png"].strip() in figure["text/html"]
    assert any("x" * 60 in data.get("text/html", "") for data in outputs)


def test_256_colours_are_enough_for_the_colours_of_all_models():
    """Reference: the colours that were asked for; a step of 8 in 255 is not seen.

    Beside them is a picture of many other colours, as in the figures of the probes.
    """
    figure, (picture, ax) = plt.subplots(1, 2)
    picture.imshow(np.random.default_rng(0).random((32, 32)), cmap="viridis")
    for x, (colour, _) in enumerate(figures.STYLES.values()):
        ax.plot([x, x + 1], [0, 1], color=colour)
    drawn = Image.open(io.BytesIO(notebook_display._png(figure))).convert("RGB")
    pixels = np.array(drawn).reshape(-1, 3).astype(int)
    for colour, _ in figures.STYLES.values():
        asked = np.array(colors.to_rgb(colour)) * 255
        assert abs(pixels - asked).max(axis=1).min() <= 8, colour
    plt.close(figure)
