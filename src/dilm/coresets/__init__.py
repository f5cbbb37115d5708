"""Coreset methods: which rows of each class of a pool to keep. Each is a `protocols.Selector` in a file of its own.

| selector | keeps | needs | another rng, another set |
|---|---|---|---|
| `random.Random` | rows drawn uniformly: the baseline that a method must beat | nothing | yes |
| `kmeans_nearest.KMeansNearest` | the row nearest each k-means centre (the paper's "k-centers") | an encoder | yes |
| `farthest_first.FarthestFirst` | greedy k-center: always the row farthest from those kept | an encoder | yes |
| `herding.Herding` | greedily, rows whose mean follows the mean of the class | an encoder | no |
| `distribution_matching.DistributionMatching` | the same, for the real rows' mean | encoders, real rows | no |
| `typical.Typical` | k-means nearest among long rows that a linear probe is sure of | an encoder, real rows | yes |
| `likeliest.Likeliest` | the rows that a generator finds likeliest | a generator | no |
| `facility_location.FacilityLocation` | greedily, rows such that every row has one that is like it | an encoder | no |
| `gradient_matching.GradientMatching` | greedily, rows whose gradients add up to the (real) class's | a learner | no |
| `moderate.Moderate` | rows at the median distance from the centre of the class | an encoder | no |
| `nearest_rows.NearestRows` | the row nearest each of given texts | an encoder, texts | no |
| `validated.Validated` | the set from which quick learners do best on held-out rows | an encoder, held-out rows | yes |
| `cynical.Cynical` | greedily, the set whose words and pairs of words are nearest to the real rows' | real rows | no |
| `el2n.EL2N` | the rows that briefly trained learners get most wrong; poor at few rows | such learners | no |

`distinct.Distinct` puts any of them to work without near-duplicates.
What all of them share (a class at a time, no text twice, too small a class is an error) is in `classwise`.
"""
