"""The ground floor: paths, files, locks, processes and what the processor is told. It knows nothing of the course.

You need it when something goes wrong on one machine and not on another.
"""
