"""How nbgrader releases and grades the exercises; `make release` and `make grade` run it here."""

import os
import re
from textwrap import dedent

from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import NbGraderPreprocessor

c = get_config()  # noqa: F821, nbgrader gives it

c.CourseDirectory.course_id = "labkit"
c.Execute.timeout = 60  # seconds a cell; a loop without an end costs its own points only
c.OverwriteCells.add_missing_cells = True  # a check that a student deleted comes back


class FoldSolutions(NbGraderPreprocessor):
    """Puts each solution below its hints, folded, before nbgrader cuts it out of the code."""

    def preprocess(self, notebook, resources):
        cells = {cell.id: cell for cell in notebook.cells}
        for name, cell in cells.items():
            if found := re.search(r"### BEGIN SOLUTION\n(.*\n) *### END", cell.source, re.DOTALL):
                solution = f"```python\n{dedent(found[1])}```"
                summary = "<details><summary>Solution · 答案</summary>"
                cells[f"{name}-hints"].source += f"\n\n{summary}\n\n{solution}\n\n</details>"
        return notebook, resources


if os.environ.get("SOLUTIONS"):  # for those who learn alone, in a folder that no class is given
    c.CourseDirectory.release_directory = "alone"
    usual = GenerateAssignment.preprocessors.default()
    c.GenerateAssignment.preprocessors = [FoldSolutions, *usual]
