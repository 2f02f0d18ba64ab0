"""What a commitment induces, one kind of world a file: how it is scored, stepped, played in batches and answered."""
