"""Where agents run, what they are asked, and what happens when no answer comes."""
