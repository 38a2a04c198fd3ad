"""Arithmetic puzzles: does the completion's expression reach the target?"""
