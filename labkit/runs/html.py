"""An executed notebook as a lab report: one HTML file to print or to hand in, without its code."""

from __future__ import annotations

from pathlib import Path

from labkit.machine import files


def write_report(source: Path, output: Path | None) -> Path:
    """Write the report of an executed notebook, or of the one in a run's folder; return its path.

    Figures stand in the file, which needs no network; formulas stay as they are typed. Raises
    ValueError where there is no executed notebook.
    """
    import nbformat
    from nbconvert import HTMLExporter

    found = sorted(source.glob("*.ipynb")) if source.is_dir() else [source]
    if len(found) != 1:
        raise ValueError(
            f"{source} holds {len(found)} notebooks: name the executed one, as saved by JupyterLab "
            "or written by `labkit run`."
        )
    notebook = nbformat.read(found[0], as_version=4)
    if not any(cell.get("outputs") for cell in notebook.cells):
        raise ValueError(f"{found[0]} has not been executed: run it and save it first.")
    nowhere = {"mathjax_url": "", "require_js_url": "", "jquery_url": "", "mermaid_js_url": ""}
    exporter = HTMLExporter(exclude_input=True, exclude_input_prompt=True, **nowhere)
    exporter.exclude_output_prompt = exporter.embed_images = True
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": found[0].stem}})
    path = output or found[0].with_suffix(".html")
    files.write_text(path, page)
    return path
