"""Networks with channels last, computed with channels first."""
