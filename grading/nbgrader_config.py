"""How nbgrader releases and grades the exercises; `make release` and `make grade` run it here."""

c = get_config()  # noqa: F821, nbgrader gives it

c.CourseDirectory.course_id = "labkit"
c.Execute.timeout = 60  # seconds a cell; a loop without an end costs its own points only
c.OverwriteCells.add_missing_cells = True  # a check that a student deleted comes back
