"""Where quantizers go, at which bit width: from the SOC, the settings and the node-bits file."""
