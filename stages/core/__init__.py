"""What several stages share: typed config, artifacts, graph, preprocessing, sessions, metrics."""
