"""Tools that touch the machine: seeds, devices, optimisers, progress, hashes. They know nothing of datasets or models."""
