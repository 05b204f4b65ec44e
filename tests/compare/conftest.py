import stages.compare.plot  # noqa: F401  compare draws in forked processes, which need not import it once more
