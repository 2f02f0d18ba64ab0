"""Who answers a commitment, one family a file."""
