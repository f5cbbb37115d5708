"""For all tests. `--doctest-modules` would import every conftest.py a second time, under one and the same name."""

collect_ignore_glob = ["conftest.py", "*/conftest.py"]
