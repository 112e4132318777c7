"""labkit: the small library behind two lab notebooks on recurrent networks.

Read in this order: settings, data/mnist, data/words, data/imdb, models/classifiers,
models/embeddings, models/linear, training, metrics, tables, figures; probes with the sections on
causes. The other folders are machinery; each says in its `__init__.py` when you need it.
"""

import os
import sys
import warnings

# PyTorch's threads wait for each other by spinning. Beside another busy program one of them loses
# its processor, the other spins until it is back, and a step takes up to thirty times as long.
# So they are told here, in this one place, to sleep instead, before PyTorch is loaded and reads it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if "torch" in sys.modules:
        warnings.warn(
            "PyTorch was imported before labkit, so its threads spin: beside other busy programs a "
            "training may take several times as long. Import labkit first.",
            stacklevel=2,
        )

__version__ = "0.1.0"
