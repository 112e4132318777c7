"""labkit: the small library behind two lab notebooks on recurrent networks.

Data flows one way: settings -> data -> model -> fit -> result -> figure. Read the modules in that
order: settings, sources, mnist / words and imdb, embeddings, models (with recurrence), training (with metrics, progress
and checkpoints), results, plotting.
"""

__version__ = "0.1.0"
