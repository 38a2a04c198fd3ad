"""Training stages, thin over TRL's trainers."""
