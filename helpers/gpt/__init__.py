"""The paper's GPT-2: the model, its batches, its training, and what is recorded on the way (section 3.1, Table 4)."""
