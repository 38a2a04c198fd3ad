"""The card of a model: what is known of it, in a page that may leave this machine."""
