"""How dF/dx is obtained: one paper a file."""
