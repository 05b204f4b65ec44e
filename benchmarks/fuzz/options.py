"""libFuzzer's options, the same for every target."""

__all__ = ["options"]

SLOWEST_SECONDS = 60
"""One file that takes longer is a finding, as one that takes more than 2 GB (libFuzzer's own bound)."""


def options(seconds: int, prefix: str, most_bytes: int) -> list[str]:
    """Say how to fuzz.

    Args:
        seconds: how long.
        prefix: of the files in which findings are kept.
        most_bytes: of a file that is tried.
    """
    return [
        f"-max_total_time={seconds}",
        f"-max_len={most_bytes}",
        f"-timeout={SLOWEST_SECONDS}",
        f"-report_slow_units={SLOWEST_SECONDS}",
        f"-artifact_prefix={prefix}",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
