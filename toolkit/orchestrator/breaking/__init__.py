"""What stops trading, by evidence or by people, and how it goes on."""
