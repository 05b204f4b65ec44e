"""Reading the network that init is given: export's own steps, in a folder of their own."""
