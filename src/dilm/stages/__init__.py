"""The road, a file per stage and a stage per verb, in the order of `pipeline.STAGES`; `embed` is a side road.

Each has one function `run(bench)` that reads what earlier stages left in the run folder, writes its own products there
and returns plain facts about them. Stages do not know each other; `pipeline` puts them in order. Beside them stand what
several stages share: `training`, `students`, `text`.
"""
