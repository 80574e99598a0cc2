"""The peers: what a user would pick instead, doing nothing but verify and acknowledge, and the physical limit."""
