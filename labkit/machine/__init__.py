"""The ground floor: paths, files, locks, processes, the processor. It knows nothing of the course.

You need it when something goes wrong on one machine and not on another.
"""
