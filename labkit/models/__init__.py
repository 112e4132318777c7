"""The models, each of which turns a batch into logits. Open classifiers.py, embeddings.py and linear.py to learn how.

fast.py computes the same as PyTorch's own layers in less time; you need it for no lesson.
"""
