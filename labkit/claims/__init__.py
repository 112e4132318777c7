"""The original report's claims and their tests.

You need it to question a verdict, or to add records of your own. plan.py reads the records and what
claims.toml fixes, arms.py builds and trains, cells.py runs what has no record, ledger.py judges.
"""
