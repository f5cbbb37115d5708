"""The road, a file per stage and a stage per verb: load, pretrain, fit, match, generate, select, evaluate, report.

Each has one function `run(bench)` that reads what earlier stages left in the run folder, writes its own products there
and returns plain facts about them. Stages do not know each other; `pipeline` puts them in order.
"""
