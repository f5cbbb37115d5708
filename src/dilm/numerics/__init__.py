"""The mathematics as pure functions on tensors and arrays: no models, no files, no randomness of their own."""
