"""The roll-ups: made again from touched days, rebuilt as a whole, compared with what they are made of."""
