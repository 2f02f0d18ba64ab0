"""What a decision process is made of: tables, layouts of transitions, dynamics of vectors, sampling from noise."""
