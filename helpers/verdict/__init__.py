"""The paper's statements, judged by the tables, and the pages that say so."""
