"""A detector's decoding for boards: a C++ header, and the tables of a head that it follows."""
