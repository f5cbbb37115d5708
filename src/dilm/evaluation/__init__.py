"""What a small set is worth: learners trained on it from scratch, many times, beside every baseline (paper 4.1)."""
