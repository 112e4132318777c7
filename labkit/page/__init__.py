"""A run's own models, alive in one HTML file: draw a digit, type a sentence, watch them read.

You need it to change that page, or to read a net's forward pass as plain arithmetic (forward.js).
"""
