"""Distillation into a language model: fit the generator, match its gradients, let it write (paper 3.1 to 3.3).

And beside it, into the embeddings of one learner (`embeddings`, `unrolling`, `embedded`, `projection`).
"""
