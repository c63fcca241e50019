"""Declared runs whose results the book quotes; each writes an artefact to ``results/``."""
