"""Sentences about tables: tidy tables in, Markdown out. One module a notebook; the notebooks state no number."""
