"""The user's samples: where they lie, how they are split, and which labels they have."""
