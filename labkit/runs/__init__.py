"""What a run leaves behind, how it goes on when it was stopped, and how it is repeated.

You need it to know how a killed run goes on, or why a finished one is shown and not repeated.
"""
