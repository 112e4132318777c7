"""The models: a batch becomes logits. Open classifiers.py, embeddings.py, linear.py to learn how.

fast.py computes the same as PyTorch's own layers in less time; you need it for no lesson.
"""
