"""What a small set is worth: learners trained on it beside every baseline (paper 4.1), and what its texts are like."""
