"""What compare goes by: the networks, and what one pass over the debug pictures shows of them."""
