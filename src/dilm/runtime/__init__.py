"""Tools that touch the machine: seeds, devices, optimisers, progress, hashes. They know no datasets or models."""
