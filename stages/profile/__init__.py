"""A board's profile log: hot layers, and a cost model fitted to them."""
