"""Models as judges: a classifier, a language model behind an endpoint, an ensemble of rewards."""
