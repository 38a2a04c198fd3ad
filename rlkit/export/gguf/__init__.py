"""GGUF files, by llama.cpp's own converter and quantizer."""
