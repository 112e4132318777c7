"""An executed notebook as a lab report: one HTML file to print or to hand in.

Of its code, settings and answers to exercises stay. Formulas are drawn: the file asks no host.
"""

from __future__ import annotations

import base64
import io
import json
from html import escape
from pathlib import Path

from jinja2 import pass_context

from labkit.machine import files, paths

SHOWN = {"parameters", "injected-parameters"}  # tags of cells whose code stays


def write_report(source: Path, exercises: Path | None, output: Path | None) -> Path:
    """Write the report of an executed notebook, or of the one in a run's folder; return its path.

    exercises: another, put behind it. Raises ValueError where there is no executed notebook.
    """
    from nbconvert import HTMLExporter

    path, notebook = _executed(source)
    if exercises:
        cells = _executed(exercises)[1].cells
        notebook.cells += [cell for cell in cells if not cell.get("id", "").endswith("-hints")]
    for cell in notebook.cells:
        answer = cell.metadata.get("nbgrader", {}).get("solution")
        if not answer and SHOWN.isdisjoint(cell.metadata.get("tags", [])):
            cell.metadata.transient = {"remove_source": cell.cell_type == "code"}
    nowhere = {"mathjax_url": "", "require_js_url": "", "jquery_url": "", "mermaid_js_url": ""}
    exporter = HTMLExporter(exclude_input_prompt=True, embed_images=True, **nowhere)
    exporter.exclude_output_prompt = True
    exporter.register_filter("markdown2html", _to_html)
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})
    output = output or path.with_suffix(".html")
    files.write_text(output, page)
    return output


def _executed(source: Path):
    import nbformat

    found = [source]
    if source.is_dir():  # `labkit run` may have been given another place for the notebook
        places = {source, Path(), paths.runs_root(), paths.ROOT / "notebooks"}
        every = [path for place in places for path in place.glob("*.ipynb")]
        said = json.dumps(f"run folder: {source.resolve()}\n", ensure_ascii=False)[1:-1]
        of_it = [path for path in every if said in path.read_text("utf-8", "replace")]
        found = sorted(of_it, key=lambda path: path.stat().st_mtime)[-1:]  # the newest
    if not found:
        raise ValueError(
            f"No notebook of the run {source} is in it, here, in runs or in notebooks: name the "
            "executed one, as saved by JupyterLab or written by `labkit run`."
        )
    notebook = nbformat.read(found[0], as_version=4)
    if not any(cell.get("outputs") for cell in notebook.cells):
        raise ValueError(f"{found[0]} has not been executed: run it and save it first.")
    return found[0], notebook


@pass_context
def _to_html(context, source: str) -> str:
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    pasted = context.get("cell", {}).get("attachments", {})
    renderer = IPythonRenderer(escape=False, attachments=pasted, exclude_anchor_links=True)
    renderer.inline_math = _drawn
    renderer.block_math = lambda tex: f'<p style="text-align: center">{_drawn(tex)}</p>'
    return MarkdownWithMath(renderer=renderer).render(source)


def _drawn(tex: str) -> str:
    """Return a formula as a picture in the text, or as it was typed if it cannot be drawn."""
    from matplotlib import font_manager, mathtext

    picture, size = io.BytesIO(), font_manager.FontProperties(size=11)
    try:
        depth = mathtext.math_to_image(f"${tex.strip()}$", picture, size, dpi=72, format="svg")
    except ValueError:
        return escape(f"${tex}$")
    data = base64.b64encode(picture.getvalue()).decode()
    look = f"display: inline; height: auto; vertical-align: -{depth}pt"
    return f'<img alt="{escape(tex)}" style="{look}" src="data:image/svg+xml;base64,{data}">'
