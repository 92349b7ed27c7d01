"""One's own taste: the default tower tuned on a few judgements, and its repository."""
