"""The simplified instruction-following task: its grammar and its data sets (sections 2.2 and 3.1)."""
