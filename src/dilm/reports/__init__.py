"""What a user opens after `dilm distill`: a terminal table, figures, a self-contained page, a dataset card."""
