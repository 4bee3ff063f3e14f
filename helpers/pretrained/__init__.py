"""Pretrained language models on 16 natural tasks: loading, observing, Table 1 (section 3.4)."""
