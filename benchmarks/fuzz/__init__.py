"""Fuzzing: files made by a fuzzer, given to whatever reads files of others."""
