"""Sentences about tables: tidy tables in, Markdown out.

Each module names the notebooks that it speaks for; those state no number themselves.
"""
