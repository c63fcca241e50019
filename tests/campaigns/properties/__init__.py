"""Properties of the numbers, each measured: tests try some examples of each, the campaign ``numbers`` thousands."""
