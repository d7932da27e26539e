"""What is known: messages, facts by block, and which of them are in doubt."""
