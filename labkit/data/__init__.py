"""Digits and reviews: what a model is given. Open mnist.py, words.py and imdb.py to learn how.

official.py, sample.py and download.py find, check and fetch the files: for when data are missing.
"""
