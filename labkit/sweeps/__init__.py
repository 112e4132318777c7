"""Tuning over any number of machines with Optuna: a trial is one run of a notebook.

You need it to run or repair a sweep; README.md beside this file says how to start one.
"""
