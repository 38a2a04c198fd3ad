"""To the Hub: what is pushed, how, and what the hub says."""
