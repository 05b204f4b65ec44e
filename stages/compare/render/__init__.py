"""What compare shows: figures, the report, tables, and lines for the terminal."""
