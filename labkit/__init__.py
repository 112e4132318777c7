"""labkit: the small library behind two lab notebooks on recurrent networks.

Read in this order: settings, data/mnist, data/words, data/imdb, models/classifiers,
models/embeddings, models/linear, training, metrics, tables, figures. The other folders are
machinery; each says in its `__init__.py` when you need it.
"""

__version__ = "0.1.0"
