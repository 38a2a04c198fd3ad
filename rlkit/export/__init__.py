"""From what a run trained to what others run: merged weights, GGUF files, repositories on the Hub."""
