"""Which width each node gets, for a budget or a target."""
