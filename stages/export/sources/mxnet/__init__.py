"""MXNet networks: a symbol (the operators, JSON) and params (their arrays), read without MXNet."""
