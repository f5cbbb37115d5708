"""`dilm search`: settings tried on dev rows, by one process or many; see `tuning.search`."""
