"""Methods that live in their own repositories: a command that reads one folder and writes another."""
