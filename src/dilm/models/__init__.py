"""Models behind the sockets: any causal LM as generator, any sequence classifier as learner, any encoder as map."""
