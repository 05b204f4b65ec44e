"""The files that init writes: conf/model/NAME.yaml and conf/data/NAME.yaml, each guess with its evidence beside it."""
