"""labkit: the small library behind two lab notebooks on recurrent networks.

Data flows one way: settings -> data -> model -> fit -> result -> figure. Read the modules in that
order: settings, sources, mnist / imdb, models, training (with metrics and progress), results, plotting.
"""

__version__ = "0.1.0"
