"""What a run leaves behind: its folder, checkpoints, notebooks executed without a person, and runs compared.

You need it to know how a killed run goes on, or why a finished one is shown and not repeated.
"""
