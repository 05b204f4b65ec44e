"""The families of heads, each with its coding of boxes."""
