"""Coreset methods: which rows of each class of a pool to keep. Each is a `protocols.Selector` in a file of its own.

| selector | keeps | needs | another rng, another set |
|---|---|---|---|
| `random.Random` | rows drawn uniformly: the baseline that a method must beat | nothing | yes |
| `kmeans_nearest.KMeansNearest` | the row nearest each k-means centre (the paper's "k-centers") | an encoder | yes |
| `farthest_first.FarthestFirst` | greedy k-center: always the row farthest from those kept | an encoder | yes |
| `herding.Herding` | greedily, rows whose mean follows the mean of the class | an encoder | no |
| `typical.Typical` | k-means nearest among long rows that a linear probe is sure of | an encoder, real rows | yes |
| `likeliest.Likeliest` | the rows that a generator finds likeliest | a generator | no |

What all of them share (a class at a time, no text twice, too small a class is an error) is in `classwise`.
"""
