"""The original report's claims and their tests: claims.toml fixes them, cells.py trains, ledger.py judges.

You need it to question a verdict, or to add records of your own.
"""
