"""The leader's side of the game: what it may know, the rounds that it plays, and the ledger."""
