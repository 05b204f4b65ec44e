"""Other spellings of what a network computes: in operators that SOCs run in integers."""
