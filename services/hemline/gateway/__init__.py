"""The only public door: answers, events and users."""
