"""Code: does the program that the completion wrote pass its tests?"""
