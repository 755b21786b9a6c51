"""What all sessions start with: COMMAND, what runs already, and processes of our own."""
