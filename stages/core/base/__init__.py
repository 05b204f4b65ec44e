"""What every stage and command stands on: errors, console, files that appear whole, pinned sources, processes."""
