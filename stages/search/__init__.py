"""What the commands that try candidates of a network share: the settings to try them with, and their metric."""
