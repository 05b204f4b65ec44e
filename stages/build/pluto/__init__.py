"""The open runtime of the T41 (github.com/inoop/t41-pluto): the network in the form that its compiler reads."""
